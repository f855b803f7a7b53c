// What time it is on the server. A browser's clock may be hours wrong, and "started 3 hours ago" of something new helps nobody.

/** Bounds of (server time − browser time), in milliseconds. */
let low = -Infinity;
let high = Infinity;

/** Takes the `Date` header of an answer that was asked for at `sent` and was there at `received` (browser time). It is cut to whole seconds. */
export function heardServerDate(header: string | null, sent: number, received: number): void {
  const date = header === null ? NaN : Date.parse(header);
  if (Number.isNaN(date)) return;
  const [from, to] = [date - received, date + 1000 - sent];
  low = Math.max(low, from);
  high = Math.min(high, to);
  // One of the clocks was set: what was known before is of no use.
  if (low > high) [low, high] = [from, to];
}

/** Milliseconds to add to the browser's clock; 0 as long as it may well be right. */
export function clockOffset(): number {
  if (low === -Infinity || (low <= 0 && high >= 0)) return 0;
  return Math.round((low + high) / 2);
}

/** The server's time now, in milliseconds since 1970. */
export function serverNow(): number {
  return Date.now() + clockOffset();
}

/** Forgets what was heard; for tests. */
export function resetClock(): void {
  [low, high] = [-Infinity, Infinity];
}
