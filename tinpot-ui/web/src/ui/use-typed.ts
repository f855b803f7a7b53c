import { useEffect, useRef, useState } from "preact/hooks";

const DELAY_MS = 250;

/**
 * Returns the text of a field that applies itself while the user types.
 *
 * `value` is the applied text, which another part of the page may change. `first` is true for the
 * first change since the field got the focus: it is a step of the browser's history, and the
 * following ones are not.
 */
export function useTyped(value: string, apply: (text: string, first: boolean) => void) {
  const [text, setText] = useState(value);
  const applied = useRef(value);
  const first = useRef(true);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const latest = useRef(apply);
  latest.current = apply;
  if (applied.current !== value) {
    applied.current = value;
    if (timer.current === null && text !== value) setText(value);
  }
  const flush = (next: string): void => {
    if (timer.current !== null) clearTimeout(timer.current);
    timer.current = null;
    if (next === applied.current) return;
    applied.current = next;
    latest.current(next, first.current);
    first.current = false;
  };
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
    },
    [],
  );
  return {
    value: text,
    onFocus: () => {
      first.current = true;
    },
    onInput: (event: { currentTarget: HTMLInputElement }) => {
      const next = event.currentTarget.value;
      setText(next);
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = setTimeout(() => flush(next), DELAY_MS);
    },
    /** Applies the text now, as on Enter. */
    onChange: (event: { currentTarget: HTMLInputElement }) => flush(event.currentTarget.value),
  };
}
