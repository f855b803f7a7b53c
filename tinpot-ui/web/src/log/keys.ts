import { useEffect, useRef } from "preact/hooks";

export interface LogActions {
  search: () => void;
  next: () => void;
  before: () => void;
  first: () => void;
  last: () => void;
  wrap: () => void;
  times: () => void;
  follow: () => void;
}

/** What the keys do; told by the list of shortcuts as well. */
export const LOG_KEYS: readonly [string, keyof LogActions, string][] = [
  ["/", "search", "search"],
  ["n", "next", "next hit"],
  ["N", "before", "hit before"],
  ["g", "first", "first line, when the log has the focus"],
  ["G", "last", "last line"],
  ["w", "wrap", "wrap long lines"],
  ["t", "times", "times: none, since start, of day"],
  ["f", "follow", "follow what is written"],
];

/** For so long a `g` waits for the letter of a page. */
const GOING_MS = 1_200;

/** Single keys, wherever on the page one is, unless text is typed or something lies above. `g` alone is also how going to pages begins, so that
 * one needs the focus in the log. */
export function useLogKeys(root: { current: HTMLElement | null }, actions: LogActions): void {
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    let went = 0;
    const pressed = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      const element = root.current;
      const target = event.target instanceof Element ? event.target : null;
      if (
        element === null ||
        element.offsetParent === null ||
        typed(target) ||
        target?.closest("[role=dialog]")
      )
        return;
      if (document.querySelector("[role=dialog]") !== null) return;
      // After a `g` elsewhere the next letter says to which page.
      const going = Date.now() - went < GOING_MS;
      went = 0;
      const known = going ? undefined : LOG_KEYS.find(([key]) => key === event.key);
      if (known === undefined) return;
      if (known[0] === "g" && !element.contains(target)) {
        went = Date.now();
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      latest.current[known[1]]();
    };
    // Before others hear of it: inside the log these keys are the log's.
    window.addEventListener("keydown", pressed, true);
    return () => window.removeEventListener("keydown", pressed, true);
  }, [root]);
}

function typed(target: Element | null): boolean {
  return (
    target !== null &&
    (target.matches("input, textarea, select") || (target as HTMLElement).isContentEditable)
  );
}
