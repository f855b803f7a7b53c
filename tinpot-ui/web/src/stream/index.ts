export { hub, StreamHub, LOGS_MAX } from "./hub";
export type { LogFollower, ServerInfo, StreamState, Topic } from "./hub";
export { useResource, useResync } from "./hooks";
export type { Resource } from "./hooks";
