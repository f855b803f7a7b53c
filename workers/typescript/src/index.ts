/** Workers of Tinpot. */

export { JoinRefused, loadIdentity, saveIdentity } from "./identity.js";
export type { Identity } from "./identity.js";
export type { Level } from "./logs.js";
export { Context, Permanent, Worker, join } from "./worker.js";
export type { ActionOptions, JoinOptions, Retry, Run, WorkerOptions } from "./worker.js";
