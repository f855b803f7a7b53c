export type { Resource } from "./hooks";
export { isOutage, useResource, useResync } from "./hooks";
export type { LogFollower, ServerInfo, StreamState, Topic } from "./hub";
export { hub, LOGS_MAX, StreamHub } from "./hub";
