// The shared worker of a browser: all pages of a server use its connection.
import { Broker } from "./broker";
import type { FromBroker, ToBroker } from "./messages";

const broker = new Broker(true);
let pages = 0;

self.addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0];
  if (port === undefined) return;
  pages += 1;
  const id = String(pages);
  const send = (message: FromBroker): void => port.postMessage(message);
  port.addEventListener("message", ({ data }: MessageEvent<ToBroker>) =>
    broker.receive(id, send, data),
  );
  // Newer browsers report the end of a page that could not say so.
  port.addEventListener("close", () => broker.receive(id, send, { type: "leave" }));
  port.start();
});
self.addEventListener("online", () => broker.receive("", () => undefined, { type: "retry" }));
