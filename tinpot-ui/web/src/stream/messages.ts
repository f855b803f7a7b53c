// The messages between a page and the broker, which holds the connection to the server.
import type { StreamMessage } from "../api/types";

/**
 * The state of the stream: `idle` without a subscription, `stale` after the connection was lost,
 * when the page may be out of date, and `closed` if the server refuses the stream, which is
 * requested again from time to time. It is `denied` without a sign-in.
 */
export type StreamState = "idle" | "connecting" | "live" | "stale" | "closed" | "denied";

export interface ServerInfo {
  version: string;
  instance: string;
}

export type Topic = "executions" | "workers" | "queues" | "catalogue";

export type ToBroker =
  /** Everything that the page subscribes to. It replaces the message of this type before. */
  | {
      type: "want";
      /** The URL of the server, without a slash at its end. */
      server: string;
      topics: Topic[];
      /** The followed executions, each with the last line that the page has. */
      logs: [id: string, after: number][];
      /** If true, a shared connection is held for its state alone. */
      attend: boolean;
    }
  /** The page is still there; the broker answers with the same message. */
  | { type: "alive" }
  /** The network may be back: an interrupted connection is opened again at once. */
  | { type: "retry" }
  | { type: "leave" };

export type FromBroker =
  | {
      type: "state";
      state: StreamState;
      server: ServerInfo | null;
      /** If true, events were missed before this state. */
      missed: boolean;
    }
  | { type: "message"; message: StreamMessage }
  /** The `Date` header of the server, with the browser's times of the request and the response. */
  | { type: "clock"; date: string | null; sent: number; received: number }
  | { type: "alive" }
  /** The broker does not know this page, which has to send its subscriptions again. */
  | { type: "unknown" };
