import { signal } from "@preact/signals";

export const overlay = signal<"palette" | "shortcuts" | null>(null);

export function openPalette(): void {
  overlay.value = "palette";
}

/** What may lie above any page. */
export function Overlays() {
  return null;
}
