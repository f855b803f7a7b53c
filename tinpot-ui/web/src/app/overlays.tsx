// The overlays of every page, the palette and the list of shortcuts, and the keys that open them.
import { signal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { LOG_KEYS } from "../log/keys";
import { Dialog, Key } from "../ui";
import { type Entry, Palette } from "./palette";
import { navigate } from "./router";
import { sections } from "./sections";

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
      const section = sections().find((one) => one.key === event.key);
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
  // At once: an effect would miss a key that is pressed when the page appears.
  useLayoutEffect(startShortcuts, []);
  if (overlay.value === "palette") return <Palette commands={COMMANDS} onClose={close} />;
  if (overlay.value === "shortcuts") return <Shortcuts />;
  return null;
}

const COMMANDS: readonly Entry[] = [
  {
    id: "c shortcuts",
    icon: "list",
    title: "Show keyboard shortcuts",
    note: "command",
    to: () => {
      overlay.value = "shortcuts";
    },
  },
];

type Keys = readonly [string[], string];

const groups = (): readonly [string, readonly Keys[]][] => [
  [
    "Everywhere",
    [
      [["Ctrl", "K"], "Search actions, pages, commands and executions"],
      [["/"], "Filter or search this page"],
      ...sections().map((one): Keys => [["g", one.key], `Go to ${one.title}`]),
      [["Esc"], "Close the dialog"],
      [["?"], "Show this list"],
    ],
  ],
  [
    "Form",
    [
      [["Enter"], "Run the action; in a list, add an item"],
      [["Shift", "Enter"], "Begin a new line"],
      [["Ctrl", "Enter"], "Run the action from any field"],
    ],
  ],
  [
    "Log",
    LOG_KEYS.map(([key, , text]): Keys => [[key], text.slice(0, 1).toUpperCase() + text.slice(1)]),
  ],
];

function Shortcuts() {
  return (
    <Dialog title="Keyboard shortcuts" class="shortcuts" onClose={close}>
      <div class="shortcut-groups">
        {groups().map(([title, list]) => (
          <section key={title} aria-label={title}>
            <h3>{title}</h3>
            <dl>
              {list.map(([keys, text]) => (
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
          </section>
        ))}
      </div>
    </Dialog>
  );
}
