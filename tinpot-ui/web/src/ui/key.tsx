import type { ComponentChildren } from "preact";

/** A key of the keyboard. */
export function Key({ children }: { children: ComponentChildren }) {
  return <kbd>{children}</kbd>;
}
