// Named parameters that this browser keeps for an action. They never contain secrets.
import { recall, remember } from "../app/storage";

export interface Preset {
  name: string;
  /** The parameters as JSON text, because JSON.parse would round their numbers. */
  values: string;
}

const PRESETS_MAX = 50;
export const NAME_CHARS_MAX = 80;

const key = (action: string): string => `presets:${action}`;

/** Returns the presets of an action, ordered by name. */
export function presetsOf(action: string): Preset[] {
  try {
    const list: unknown = JSON.parse(recall(key(action)) ?? "[]");
    return Array.isArray(list) ? list.filter(isPreset) : [];
  } catch {
    return [];
  }
}

function isPreset(value: unknown): value is Preset {
  const { name, values } = (value ?? {}) as Record<string, unknown>;
  return typeof name === "string" && typeof values === "string";
}

/** Stores the presets of an action. Returns an error message, or null. */
function store(action: string, presets: readonly Preset[]): string | null {
  const sorted = [...presets].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  return remember(key(action), sorted.length === 0 ? null : JSON.stringify(sorted))
    ? null
    : "This browser cannot store the preset: its storage is disabled or full.";
}

/** Saves a preset, in place of one with the same name. Returns an error message, or null. */
export function savePreset(action: string, preset: Preset): string | null {
  const others = presetsOf(action).filter((one) => one.name !== preset.name);
  if (others.length >= PRESETS_MAX)
    return `An action can have at most ${PRESETS_MAX} presets: delete one first.`;
  return store(action, [...others, preset]);
}

/** Renames a preset. Returns an error message, or null. */
export function renamePreset(action: string, from: string, to: string): string | null {
  const presets = presetsOf(action);
  if (from !== to && presets.some((one) => one.name === to))
    return `A preset with the name ${to} exists: choose another name.`;
  return store(
    action,
    presets.map((one) => (one.name === from ? { ...one, name: to } : one)),
  );
}

export function deletePreset(action: string, name: string): string | null {
  return store(
    action,
    presetsOf(action).filter((one) => one.name !== name),
  );
}
