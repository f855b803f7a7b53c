// The requests that wait for a sign-in.
import { signal } from "@preact/signals";

/** Closed while the server does not know who uses this page. */
class Gate {
  readonly closed = signal(false);
  /** Is true while the closed gate asks to sign in. */
  readonly asking = signal(false);
  /** If false, signing in would not help: the server lets every request in. */
  helps = true;
  /** The number of sign-ins: a request that was sent before the last one can be repeated. */
  signIns = 0;

  /** Called if the stream is refused, which may be older than a sign-in. */
  doubt = (): void => undefined;

  private readonly waiting = new Set<(entered: boolean) => void>();

  /** Lets requests wait from now on. */
  close(): void {
    if (this.closed.peek()) return;
    this.closed.value = true;
    this.asking.value = true;
  }

  /** Asks to sign in again, after {@link dismiss}. */
  ask(): void {
    if (this.closed.peek()) this.asking.value = true;
  }

  /** Lets all that waits go on, after a sign-in. */
  open(): void {
    this.signIns += 1;
    this.closed.value = false;
    this.end(true);
  }

  /** Refuses all that waits. The gate stays closed. */
  dismiss(): void {
    this.end(false);
  }

  private end(entered: boolean): void {
    this.asking.value = false;
    for (const done of [...this.waiting]) done(entered);
  }

  /** Returns true after a sign-in; false after {@link dismiss}, or if a signal aborts. */
  wait(signals: readonly (AbortSignal | undefined)[]): Promise<boolean> {
    return new Promise((done) => {
      const end = (entered: boolean): void => {
        this.waiting.delete(end);
        for (const signal of signals) signal?.removeEventListener("abort", aborted);
        done(entered);
      };
      const aborted = (): void => end(false);
      this.waiting.add(end);
      for (const signal of signals) signal?.addEventListener("abort", aborted);
      if (!this.asking.peek() || signals.some((signal) => signal?.aborted)) end(false);
    });
  }
}

export const gate = new Gate();
