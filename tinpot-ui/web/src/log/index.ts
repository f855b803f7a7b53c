export { LOG_KEYS } from "./keys";
export { LogViewer } from "./viewer";
