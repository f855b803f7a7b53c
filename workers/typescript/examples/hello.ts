/** A worker with two actions. Start a coordinator, then this, then `tinpot run greet --name Ada`. */

import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "../src/index.js";

const schema = {
  type: "object",
  properties: { name: { type: "string" } },
  required: ["name"],
  additionalProperties: false,
};

await new Worker({ broker: "mqtt://localhost:1883", name: "hello", slots: 4 })
  .action("greet", ({ name }: { name: string }) => `Hello ${name}`, { schema })
  .action("count", async ({ to = 10 }: { to?: number }, context) => {
    for (let number = 1; number <= to; number += 1) {
      context.log(`at ${number}`);
      context.progress(number, to);
      // Ends early when the execution is cancelled.
      await sleep(1000, undefined, { signal: context.signal });
    }
    return to;
  })
  .run();
