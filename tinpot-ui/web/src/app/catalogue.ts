// The actions, for pages that list them and for the palette.
import { signal } from "@preact/signals";
import { api } from "../api/client";
import { isAbort } from "../api/transport";
import type { ActionView } from "../api/types";
import { hub } from "../stream";

export interface CatalogueState {
  /** By group, then by name; null before the first answer. */
  actions: readonly ActionView[] | null;
  error: unknown;
}

export const catalogue = signal<CatalogueState>({ actions: null, error: null });

let started = false;
let running = false;
let again = false;

async function load(): Promise<void> {
  if (running) {
    again = true;
    return;
  }
  running = true;
  try {
    const answer = await api.actions();
    catalogue.value = { actions: sorted(Object.values(answer)), error: null };
  } catch (error) {
    if (!isAbort(error)) catalogue.value = { ...catalogue.peek(), error };
  } finally {
    running = false;
    if (again) {
      again = false;
      void load();
    }
  }
}

function sorted(actions: ActionView[]): ActionView[] {
  const order = new Intl.Collator("en", { numeric: true });
  return actions.sort((a, b) => order.compare(a.group, b.group) || order.compare(a.name, b.name));
}

/** Loads the actions once, and again when they change; until the page ends. */
export function needCatalogue(): void {
  if (started) return;
  started = true;
  hub.onChange("catalogue", () => void load());
  hub.onResync(() => void load());
  void load();
}

/** Tries again now. */
export function reloadCatalogue(): void {
  void load();
}
