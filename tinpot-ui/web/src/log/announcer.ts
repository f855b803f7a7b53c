import { useEffect, useRef, useState } from "preact/hooks";
import type { LogModel } from "./model";

/** A log is not read aloud line by line: now and then it is said how much there is. */
const EVERY_MS = 5_000;

/** A sentence for screen readers, that changes seldom. */
export function useAnnouncement(model: LogModel, live: boolean): string {
  const [text, setText] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => {
    const say = (): void => {
      timer.current = null;
      const lines = model.lastSeq.toLocaleString("en");
      const state = model.following
        ? "following"
        : model.fresh > 0
          ? `${model.fresh.toLocaleString("en")} new`
          : "";
      setText(
        `${live ? "Log so far" : "Log"}: up to line ${lines}${state === "" ? "" : `, ${state}`}.`,
      );
    };
    const leave = model.subscribe(() => {
      timer.current ??= setTimeout(say, EVERY_MS);
    });
    return () => {
      leave();
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = null;
    };
  }, [model, live]);
  return text;
}
