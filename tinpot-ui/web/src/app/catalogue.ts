// The actions of the server, for the pages that list them and for the palette.
import { signal } from "@preact/signals";
import { api } from "../api/client";
import { isAbort } from "../api/transport";
import type { ActionView } from "../api/types";
import { hub } from "../stream";

const ORDER = new Intl.Collator("en", { numeric: true });

class Catalogue {
  /** The actions by group, then by name; null until the first response. */
  readonly actions = signal<readonly ActionView[] | null>(null);
  readonly error = signal<unknown>(null);

  private needed = false;
  private loading = false;
  private loadAgain = false;

  /** Loads the actions once, and again whenever they change, until the page is closed. */
  readonly need = (): void => {
    if (this.needed) return;
    this.needed = true;
    hub.onChange("catalogue", this.reload);
    hub.onResync(this.reload);
    this.reload();
  };

  readonly reload = (): void => void this.load();

  private async load(): Promise<void> {
    if (this.loading) {
      this.loadAgain = true;
      return;
    }
    this.loading = true;
    try {
      const actions = Object.values(await api.actions());
      this.actions.value = actions.sort(
        (a, b) => ORDER.compare(a.group, b.group) || ORDER.compare(a.name, b.name),
      );
      this.error.value = null;
    } catch (error) {
      if (!isAbort(error)) this.error.value = error;
    } finally {
      this.loading = false;
      if (this.loadAgain) {
        this.loadAgain = false;
        this.reload();
      }
    }
  }
}

export const catalogue = new Catalogue();
