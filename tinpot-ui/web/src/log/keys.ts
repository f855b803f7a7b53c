import { useLayoutEffect, useRef } from "preact/hooks";

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

/** The keys with their actions, which the list of shortcuts shows as well. */
export const LOG_KEYS: readonly [string, keyof LogActions, string][] = [
  ["/", "search", "search"],
  ["n", "next", "next match"],
  ["N", "before", "previous match"],
  ["g", "first", "first line (with the focus in the log)"],
  ["G", "last", "last line"],
  ["w", "wrap", "wrap long lines"],
  ["t", "times", "times: off, since start, time of day"],
  ["f", "follow", "follow new output"],
];

/** The time after `g` within which the letter of a page is taken. */
const GOING_MS = 1_200;

/**
 * Handles single keys anywhere on the page, unless the user types text or a dialog is open.
 *
 * With several logs on a page, they need the focus in one of them.
 * `g` also begins the shortcuts to other pages, so it needs the focus in the log.
 */
export function useLogKeys(
  root: { current: HTMLElement | null },
  isOneOfSeveral: boolean,
  actions: LogActions,
): void {
  const latest = useRef(actions);
  latest.current = actions;
  useLayoutEffect(() => {
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
      if (isOneOfSeveral && !element.contains(target)) return;
      if (document.querySelector("[role=dialog]") !== null) return;
      // The letter after a `g` outside the log names a page.
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
    // In the capture phase: inside the log, these keys precede the shortcuts of the page.
    window.addEventListener("keydown", pressed, true);
    return () => window.removeEventListener("keydown", pressed, true);
  }, [root, isOneOfSeveral]);
}

function typed(target: Element | null): boolean {
  return (
    target !== null &&
    (target.matches("input, textarea, select") || (target as HTMLElement).isContentEditable)
  );
}
