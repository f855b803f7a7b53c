import { useCallback, useMemo, useRef } from "preact/hooks";
import { location, navigate } from "../app/router";
import { extended, type LineRange, linesHash, parseLines } from "./line-links";

/** Returns the lines that the address selects, and a function that selects others. */
export function useSelection(): [LineRange | null, (seq: number, extend: boolean) => void] {
  const { hash } = location.value;
  const selected = useMemo(() => parseLines(hash), [hash]);
  const anchor = useRef<number | null>(selected?.from ?? null);
  const latest = useRef(selected);
  latest.current = selected;
  const select = useCallback((seq: number, extend: boolean) => {
    const range = extended(latest.current, anchor.current, seq, extend);
    if (!extend || anchor.current === null) anchor.current = seq;
    const { path, query } = location.peek();
    const text = query.toString();
    navigate(path + (text === "" ? "" : `?${text}`) + linesHash(range), { replace: true });
  }, []);
  return [selected, select];
}
