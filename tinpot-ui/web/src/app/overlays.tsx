// The overlays of every page, the palette and the list of shortcuts, and the keys that open them.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { LOG_KEYS } from "../log/keys";
import { Dialog, Key } from "../ui";
import { Palette } from "./palette";
import { navigate } from "./router";
import { SECTIONS } from "./sections";

export const overlay = signal<"palette" | "shortcuts" | null>(null);

/** Opens the palette. */
export function openPalette(): void {
  overlay.value = "palette";
}

const close = (): void => {
  overlay.value = null;
};

/** Returns true if the user types text into this element. */
export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable)
  );
}

/** The time after `g` within which the letter of a page is taken. */
const CHORD_MS = 1200;

/** Listens for the keys that work on every page. Returns a function that stops. */
export function startShortcuts(): () => void {
  let chord = 0;
  const pressed = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.isComposing) return;
    if (
      (event.metaKey || event.ctrlKey) &&
      !event.shiftKey &&
      !event.altKey &&
      event.key.toLowerCase() === "k"
    ) {
      event.preventDefault();
      overlay.value = overlay.peek() === "palette" ? null : "palette";
      return;
    }
    if (
      event.metaKey ||
      event.ctrlKey ||
      event.altKey ||
      isTyping(event.target) ||
      overlay.peek() !== null ||
      document.querySelector('[role="dialog"]') !== null
    )
      return;
    const chorded = Date.now() - chord < CHORD_MS;
    chord = 0;
    if (chorded) {
      const section = SECTIONS.find((one) => one.key === event.key);
      if (section !== undefined) {
        event.preventDefault();
        navigate(section.path);
      }
      return;
    }
    if (event.key === "?") {
      event.preventDefault();
      overlay.value = "shortcuts";
    } else if (event.key === "g") chord = Date.now();
    else if (event.key === "/") {
      const search = document.querySelector<HTMLInputElement>('main input[type="search"]');
      event.preventDefault();
      if (search === null) openPalette();
      else search.focus();
    }
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}

export function Overlays() {
  useEffect(startShortcuts, []);
  if (overlay.value === "palette") return <Palette onClose={close} />;
  if (overlay.value === "shortcuts") return <Shortcuts />;
  return null;
}

const KEYS: readonly [string[], string][] = [
  [["Ctrl", "K"], "Search actions, pages and executions"],
  [["/"], "Filter or search this page"],
  ...SECTIONS.map((one): [string[], string] => [["g", one.key], `Go to ${one.title}`]),
  [["Ctrl", "Enter"], "Run the action (in its form)"],
  ...LOG_KEYS.filter(([key]) => key !== "/").map(([key, , text]): [string[], string] => [
    [key],
    `Log: ${text}`,
  ]),
  [["Esc"], "Close the dialog"],
  [["?"], "Show this list"],
];

function Shortcuts() {
  return (
    <Dialog title="Keyboard shortcuts" onClose={close}>
      <dl class="shortcuts">
        {KEYS.map(([keys, text]) => (
          <div key={text}>
            <dt>
              {keys.map((key) => (
                <Key key={key}>{key}</Key>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
