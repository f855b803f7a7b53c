import { effect } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { LogModel } from "./model";

/** The interval of announcements: reading every line aloud would be useless. */
const INTERVAL_MS = 5_000;

/** Returns a sentence about the log for screen readers, which changes at most every 5 seconds. */
export function useAnnouncement(model: LogModel, live: boolean): string {
  const [text, setText] = useState("");
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const announce = (): void => {
      timer = null;
      const lines = model.lastSeq.peek().toLocaleString("en");
      const unread = model.newLines.peek();
      const state = model.following.peek()
        ? ", following"
        : unread > 0
          ? `, ${unread.toLocaleString("en")} new`
          : "";
      setText(`${live ? "Log so far" : "Log"}: up to line ${lines}${state}.`);
    };
    const stop = effect(() => {
      // Read so that the effect runs again when one of them changes.
      void [model.lastSeq.value, model.newLines.value, model.following.value];
      timer ??= setTimeout(announce, INTERVAL_MS);
    });
    return () => {
      stop();
      if (timer !== null) clearTimeout(timer);
    };
  }, [model, live]);
  return text;
}
