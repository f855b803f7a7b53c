import { signal } from "@preact/signals";
import { recall, remember } from "./storage";

export type Theme = "system" | "light" | "dark";

const KEY = "theme";

function stored(): Theme {
  const value = recall(KEY);
  return value === "light" || value === "dark" ? value : "system";
}

export const theme = signal<Theme>("system");

function apply(): void {
  const root = document.documentElement;
  if (theme.peek() === "system") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", theme.peek());
}

/** Selects a theme and remembers it. */
export function setTheme(value: Theme): void {
  theme.value = value;
  remember(KEY, value === "system" ? null : value);
  apply();
}

/** Applies the remembered theme. */
export function startTheme(): void {
  theme.value = stored();
  apply();
}
