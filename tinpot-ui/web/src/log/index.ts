export { LogViewer } from "./viewer";
export { LOG_KEYS } from "./keys";
