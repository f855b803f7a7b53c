// The server's clock. A browser's clock may be hours off, and every "3 hours ago" with it.

class ServerClock {
  /** The bounds of (server time − browser time), in milliseconds. */
  private low = -Infinity;
  private high = Infinity;

  /**
   * Takes the `Date` header of a response, which is cut to whole seconds. `sent` and `received` are
   * the browser's times of the request and of the response.
   */
  observe(header: string | null, sent: number, received: number): void {
    const date = header === null ? NaN : Date.parse(header);
    if (Number.isNaN(date)) return;
    const [from, to] = [date - received, date + 1000 - sent];
    this.low = Math.max(this.low, from);
    this.high = Math.min(this.high, to);
    // Bounds that contradict each other: one of the clocks was set, so the old ones are void.
    if (this.low > this.high) [this.low, this.high] = [from, to];
  }

  /** Returns the milliseconds to add to the browser's clock; 0 as long as it may be right. */
  offset(): number {
    if (this.low === -Infinity || (this.low <= 0 && this.high >= 0)) return 0;
    return Math.round((this.low + this.high) / 2);
  }

  /** Returns the server's time in milliseconds since 1970. */
  now(): number {
    return Date.now() + this.offset();
  }

  /** Drops the bounds; for tests. */
  reset(): void {
    [this.low, this.high] = [-Infinity, Infinity];
  }
}

export const serverClock = new ServerClock();
