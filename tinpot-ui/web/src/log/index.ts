export { LOG_KEYS } from "./keys";
export { type AttemptInfo, attemptId, type LogSteps } from "./step-headings";
export { type LogHandle, LogViewer } from "./viewer";
