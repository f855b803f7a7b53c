export { hub, StreamHub, LOGS_MAX } from "./hub";
export type { LogFollower, ServerInfo, StreamState, Topic } from "./hub";
export { isOutage, useResource, useResync } from "./hooks";
export type { Resource } from "./hooks";
