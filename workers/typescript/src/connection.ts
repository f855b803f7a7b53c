/** One connection to a broker, which is established again whenever it is lost. */

import * as crypto from "node:crypto";
import mqtt from "mqtt";
import type { IClientOptions, MqttClient } from "mqtt";

const KEEP_ALIVE = 10;
/** The bytes that may wait for a slow broker. Further frames are dropped: they are sent again. */
const QUEUE_BYTES = 16 * 1024 * 1024;

/** The callbacks of a connection. */
export interface Listener {
  /** The connection is up, and subscribed to its topics. */
  up(): void;
  frame(bytes: Buffer): void;
}

/** A connection to a broker. */
export class Connection {
  isUp = false;
  /** The reason of the broker, if it refused the connection or a topic. */
  refusal: string | undefined;
  private readonly client: MqttClient;
  private queued = 0;

  constructor(
    broker: string,
    client: string,
    topics: string[],
    listener: Listener,
    login?: { user: string; password: string },
  ) {
    const { protocol } = new URL(broker);
    if (!["mqtt:", "tcp:", "mqtts:"].includes(protocol)) {
      throw new Error(`the broker must be mqtt://, tcp:// or mqtts://HOST (got ${protocol})`);
    }
    const options: IClientOptions = {
      clientId: `${client}-${crypto.randomBytes(4).toString("hex")}`,
      protocolVersion: 5,
      clean: true,
      keepalive: KEEP_ALIVE,
      reconnectPeriod: 1000,
      resubscribe: false,
      queueQoSZero: false,
      properties: { sessionExpiryInterval: 0 },
    };
    if (login !== undefined) [options.username, options.password] = [login.user, login.password];
    this.client = mqtt.connect(broker, options);
    this.client.on("connect", () => {
      this.queued = 0;
      this.client.subscribe(topics, { qos: 0 }, (error, granted) => {
        const refused = granted?.some((grant) => grant.qos >= 128);
        if (error !== null || refused) {
          this.refusal = `the broker refuses a topic: ${error?.message ?? "not authorized"}`;
          return;
        }
        this.isUp = true;
        listener.up();
      });
    });
    this.client.on("close", () => (this.isUp = false));
    this.client.on("error", (error) => (this.refusal = error.message));
    this.client.on("message", (_topic, payload) => listener.frame(payload));
  }

  /** Sends a frame, unless the connection is down or the broker is far behind. */
  publish(topic: string, frame: Buffer): void {
    if (!this.isUp || this.queued + frame.length > QUEUE_BYTES) return;
    this.queued += frame.length;
    this.client.publish(topic, frame, { qos: 0 }, () => {
      this.queued = Math.max(this.queued - frame.length, 0);
    });
  }

  /** Sends what waits, and disconnects. */
  async close(): Promise<void> {
    await this.client.endAsync();
  }
}
