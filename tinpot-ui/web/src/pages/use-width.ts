import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** Returns the width of an element in pixels, kept up to date, and the reference to attach. */
export function useWidth<E extends Element>(first: number) {
  const element = useRef<E>(null);
  const [width, setWidth] = useState(first);
  useLayoutEffect(() => {
    if (element.current === null || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(([entry]) => {
      const now = Math.round(entry?.contentRect.width ?? 0);
      if (now > 0) setWidth(now);
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return { element, width };
}
