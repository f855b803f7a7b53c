export type { Resource } from "./hooks";
export { isOutage, useResource, useResync } from "./hooks";
export type { LogFollower } from "./hub";
export { hub, StreamHub } from "./hub";
export type { ServerInfo, StreamState, Topic } from "./messages";
