// The ways of a page to the broker of its browser: in a shared worker; where there are none, in one
// of the pages, which a lock elects; and where storage is blocked, in one of the frames of a page.
import { basePath, serverUrl } from "../app/base-path";
import { chosenTeam } from "../app/storage";
import type { FromBroker, ToBroker } from "./messages";

export interface Link {
  post(message: ToBroker): void;
  close(): void;
}

export interface LinkListener {
  receive(message: FromBroker): void;
  /** The broker is another one, which knows nothing about this page yet. */
  renewed(): void;
  /** The broker has ended. */
  lost(): void;
  /** The link does not work in this browser. */
  failed(): void;
}

type Open = (listener: LinkListener) => Link;

/** Returns the ways that this browser offers, the best first. */
export function ways(): Open[] {
  const found: Open[] = [];
  if ("SharedWorker" in window) found.push(workerLink);
  // Locks are offered on secure pages only.
  if ("locks" in navigator && "BroadcastChannel" in window) found.push(electedLink);
  found.push(pageLink);
  return found;
}

/** A hash of the sources of the stream, which the build inserts. */
declare const __STREAM_BUILD__: string;

/** Pages of different builds, or of different teams, do not share a worker. */
const NAME = `tinpot ${__STREAM_BUILD__} ${chosenTeam()}`;

function workerLink({ receive, failed }: LinkListener): Link {
  // Relative URLs would inherit the credentials of the page's address.
  const url = import.meta.env.DEV ? "/src/stream/worker.ts" : "/ui/stream-worker.js";
  const worker = new SharedWorker(serverUrl() + url, { type: "module", name: NAME });
  const { port } = worker;
  worker.addEventListener("error", failed);
  port.addEventListener("message", ({ data }: MessageEvent<FromBroker>) => receive(data));
  port.start();
  return {
    post: (message) => port.postMessage(message),
    close: () => {
      worker.removeEventListener("error", failed);
      port.postMessage({ type: "leave" } satisfies ToBroker);
      port.close();
    },
  };
}

/** A message of a page to the page with the broker, or the greeting of a new broker. */
type Bus = { from: string; message: ToBroker } | { hello: true };

function electedLink({ receive, renewed, failed }: LinkListener): Link {
  const name = `${NAME} ${basePath()}`;
  const id = crypto.randomUUID();
  const bus = new BroadcastChannel(name);
  // Each page has a channel of its own, since all pages would receive the messages of one.
  const inbox = new BroadcastChannel(`${name} ${id}`);
  const end = new AbortController();
  let local: ((message: ToBroker) => void) | null = null;
  inbox.onmessage = ({ data }: MessageEvent<FromBroker>) => receive(data);
  bus.onmessage = ({ data }: MessageEvent<Bus>) => {
    if ("hello" in data) renewed();
  };
  const lead = async (): Promise<void> => {
    const { Broker } = await import("./broker");
    if (end.signal.aborted) return;
    const broker = new Broker(true);
    const outboxes = new Map<string, BroadcastChannel>();
    bus.onmessage = ({ data }: MessageEvent<Bus>) => {
      if ("hello" in data) return;
      const outbox = outboxes.get(data.from) ?? new BroadcastChannel(`${name} ${data.from}`);
      outboxes.set(data.from, outbox);
      broker.receive(data.from, (message) => outbox.postMessage(message), data.message);
      if (data.message.type !== "leave") return;
      outboxes.delete(data.from);
      outbox.close();
    };
    local = (message) => broker.receive(id, receive, message);
    bus.postMessage({ hello: true } satisfies Bus);
    renewed();
    // The lock is held until the page closes its link.
    await new Promise<void>((done) => {
      end.signal.addEventListener("abort", () => done(), { once: true });
    });
    local = null;
    broker.close();
    bus.close();
    for (const outbox of outboxes.values()) outbox.close();
  };
  navigator.locks.request(name, { signal: end.signal }, lead).catch(() => {
    if (!end.signal.aborted) failed();
  });
  return {
    post: (message) => {
      if (local !== null) local(message);
      else bus.postMessage({ from: id, message } satisfies Bus);
    },
    close: () => {
      if (local === null) {
        bus.postMessage({ from: id, message: { type: "leave" } } satisfies Bus);
        bus.close();
      }
      inbox.close();
      end.abort();
    },
  };
}

/** The broker in a window, which all frames of one page use. */
interface Host {
  window: Window;
  receive(page: string, send: (message: FromBroker) => void, message: ToBroker): void;
  /** Called when the broker ends with its frame. */
  users: Map<string, () => void>;
}

declare global {
  interface Window {
    tinpotStream?: Host | undefined;
  }
}

/** The windows of a page that are searched for a broker. */
const WINDOWS_MAX = 500;

/** Returns the broker of a frame of the same page. Frames of other sites deny access. */
function findHost(): Host | null {
  const found: Window[] = [window.top ?? window];
  for (let at = 0; at < found.length && at < WINDOWS_MAX; at += 1) {
    const one = found[at] as Window;
    try {
      const host = one.tinpotStream;
      if (host !== undefined && !one.closed) return host;
    } catch {
      // A window of another site.
    }
    for (let child = 0; child < one.length; child += 1) found.push(one[child] as Window);
  }
  return null;
}

function makeHost(): Host {
  // Set before the broker is loaded, so that frames which open at the same time share it.
  const broker = import("./broker").then(({ Broker }) => new Broker(false));
  const host: Host = {
    window,
    receive: (page, send, message) => void broker.then((one) => one.receive(page, send, message)),
    users: new Map(),
  };
  window.tinpotStream = host;
  window.addEventListener(
    "pagehide",
    () => {
      window.tinpotStream = undefined;
      void broker.then((one) => one.close());
      for (const lost of [...host.users.values()]) lost();
    },
    { once: true },
  );
  return host;
}

let frames = 0;

/** Works without storage, which browsers may block in frames of other sites. */
function pageLink({ receive, lost }: LinkListener): Link {
  const host = findHost() ?? makeHost();
  frames += 1;
  const id = `${frames} ${Math.random()}`;
  host.users.set(id, lost);
  return {
    post: (message) => {
      if (host.window.closed) lost();
      else host.receive(id, receive, message);
    },
    close: () => {
      host.users.delete(id);
      host.receive(id, receive, { type: "leave" });
    },
  };
}
