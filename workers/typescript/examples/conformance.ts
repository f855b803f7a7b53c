/** The worker with the actions that the suites call. */

import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleepFor } from "node:timers/promises";
import { Worker, join, loadIdentity } from "../src/index.js";
import type { Context, Identity } from "../src/index.js";

const { MQTT_BROKER: broker = "", WORKER_NAME: name = "", CONCURRENCY: slots = "1" } = process.env;
const token = process.env["TINPOT_JOIN_TOKEN_FILE"];
let identity: Identity | undefined;
if (token !== undefined) {
  if (!existsSync("worker.key")) {
    await join({ broker, token: readFileSync(token, "utf8"), name, save: "worker.key" });
  }
  identity = loadIdentity("worker.key");
}

const sleep = async ({ seconds }: { seconds: number }, { signal }: Context): Promise<void> => {
  await sleepFor(seconds * 1000, undefined, { signal });
};

let calls = 0;

await new Worker({ broker, name, slots: Number(slots), identity })
  .action("echo", ({ text }: { text: string }) => text)
  .action("count", () => (calls += 1))
  .action("lines", ({ count }: { count: number }, context) => {
    for (let number = 1; number <= count; number += 1) context.log(`line ${number}`);
  })
  .action("sleep", sleep)
  .action("sleep_briefly", sleep, { timeout: 300 })
  .action("sleep_retried", sleep, { retry: { retries: 2, delay_ms: 100 } })
  .action("fail", ({ message }: { message: string }) => {
    throw new Error(message);
  })
  .action("big", ({ bytes }: { bytes: number }) => "x".repeat(bytes))
  .run();
