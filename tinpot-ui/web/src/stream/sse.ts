// The wire format of server-sent events. EventSource would do, but hides heartbeats, without which a dead connection looks alive.

export interface SseMessage {
  id: string | null;
  event: string | null;
  data: string;
}

/** The most that one message may be before the connection is given up. */
const MESSAGE_CHARS_MAX = 64 * 1024 * 1024;

export class SseParser {
  private rest = "";
  private data: string[] = [];
  private size = 0;
  private id: string | null = null;
  private event: string | null = null;

  /** Takes a piece of the stream, cut anywhere; gives the messages that are complete with it. */
  push(piece: string): SseMessage[] {
    const messages: SseMessage[] = [];
    this.rest += piece;
    let from = 0;
    for (;;) {
      const end = this.rest.indexOf("\n", from);
      if (end < 0) break;
      const line = this.rest.slice(from, this.rest[end - 1] === "\r" && end > from ? end - 1 : end);
      from = end + 1;
      const message = this.line(line);
      if (message !== null) messages.push(message);
    }
    this.rest = this.rest.slice(from);
    if (this.rest.length + this.size > MESSAGE_CHARS_MAX)
      throw new Error("a message of the stream has no end");
    return messages;
  }

  private line(line: string): SseMessage | null {
    if (line === "") {
      if (this.data.length === 0) return null;
      const message = { id: this.id, event: this.event, data: this.data.join("\n") };
      [this.data, this.size, this.event] = [[], 0, null];
      return message;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") {
      this.data.push(value);
      this.size += value.length;
    } else if (name === "id") this.id = value;
    else if (name === "event") this.event = value;
    return null;
  }
}
