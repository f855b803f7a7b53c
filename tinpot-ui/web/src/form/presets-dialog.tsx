import { useState } from "preact/hooks";
import { href } from "../app/base-path";
import { Button, Dialog } from "../ui";
import { toClipboard } from "../ui/copy";
import {
  deletePreset,
  NAME_CHARS_MAX,
  type Preset,
  presetsOf,
  renamePreset,
  savePreset,
} from "./presets";

interface PresetsDialogProps {
  action: string;
  /** The current parameters without secrets, as JSON; null if they are too large to keep. */
  values: string | null;
  onLoad: (preset: Preset) => void;
  onClose: () => void;
}

/** A link longer than this breaks in mail programs and proxies. */
const LINK_CHARS_MAX = 4_000;

/** Returns the address of the form with parameters, or null if it would be too long. */
export function presetLink(action: string, values: string): string | null {
  const link = `${window.location.origin}${href(`/actions/${encodeURIComponent(action)}`)}?values=${encodeURIComponent(values)}`;
  return link.length > LINK_CHARS_MAX ? null : link;
}

/** The presets of an action: save, load, rename, delete, and copy as a link. */
export function PresetsDialog({ action, values, onLoad, onClose }: PresetsDialogProps) {
  const [presets, setPresets] = useState(() => presetsOf(action));
  const [name, setName] = useState("");
  const [renaming, setRenaming] = useState<{ from: string; to: string } | null>(null);
  const [message, setMessage] = useState<{ text: string; bad: boolean } | null>(null);
  const done = (problem: string | null, text = ""): void => {
    setMessage(problem === null ? { text, bad: false } : { text: problem, bad: true });
    setPresets(presetsOf(action));
  };
  const exists = presets.some((one) => one.name === name.trim());
  const save = (): void => {
    const wanted = name.trim();
    if (wanted === "" || values === null) return;
    const problem = savePreset(action, { name: wanted, values });
    done(problem, `Saved ${wanted}.`);
    if (problem === null) setName("");
  };
  const rename = (): void => {
    if (renaming === null) return;
    const to = renaming.to.trim();
    if (to === "") return;
    const problem = renamePreset(action, renaming.from, to);
    done(problem, `Renamed to ${to}.`);
    if (problem === null) setRenaming(null);
  };
  const copy = (text: string): void => {
    const link = presetLink(action, text);
    if (link === null) {
      done(`The link would be longer than ${LINK_CHARS_MAX} characters: share the JSON.`);
      return;
    }
    toClipboard(link).then(
      () => done(null, "Link copied. It contains the parameters, but no secrets."),
      (error: unknown) => done(String(error)),
    );
  };
  return (
    <Dialog title="Presets" class="presets" onClose={onClose}>
      <form
        class="preset-save"
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <label for="preset-name">Save the current parameters as</label>
        <div class="preset-row">
          <input
            id="preset-name"
            value={name}
            maxLength={NAME_CHARS_MAX}
            placeholder="Name of the preset"
            autocomplete="off"
            data-autofocus
            onInput={(event) => setName(event.currentTarget.value)}
          />
          <Button submit look="primary" disabled={name.trim() === "" || values === null}>
            {exists ? "Replace" : "Save"}
          </Button>
        </div>
        <p class="field-hint">
          {values === null
            ? "The parameters are too large for a preset."
            : "Presets stay in this browser. Secrets are never saved."}
        </p>
      </form>
      <p class={message?.bad === true ? "error-text" : "soft"} role="status">
        {message?.text}
      </p>
      {presets.length === 0 && <p class="soft preset-none">No presets yet</p>}
      <ul class="preset-list">
        {presets.map((one) => (
          <li key={one.name}>
            {renaming?.from === one.name ? (
              <form
                class="preset-row"
                onSubmit={(event) => {
                  event.preventDefault();
                  rename();
                }}
              >
                <input
                  aria-label={`New name of ${one.name}`}
                  ref={(input) => {
                    if (document.activeElement !== input) input?.focus();
                  }}
                  value={renaming.to}
                  maxLength={NAME_CHARS_MAX}
                  onInput={(event) =>
                    setRenaming({ from: one.name, to: event.currentTarget.value })
                  }
                />
                <Button submit class="small">
                  Rename
                </Button>
                <Button class="small" look="quiet" onClick={() => setRenaming(null)}>
                  Cancel
                </Button>
              </form>
            ) : (
              <div class="preset-row">
                <button type="button" class="link" onClick={() => onLoad(one)}>
                  {one.name}
                </button>
                <Button class="small" look="quiet" onClick={() => copy(one.values)}>
                  Copy link
                </Button>
                <Button
                  class="small"
                  look="quiet"
                  onClick={() => setRenaming({ from: one.name, to: one.name })}
                >
                  Rename
                </Button>
                <Button
                  class="small"
                  look="quiet"
                  aria-label={`Delete ${one.name}`}
                  icon="close"
                  onClick={() => done(deletePreset(action, one.name), `Deleted ${one.name}.`)}
                />
              </div>
            )}
          </li>
        ))}
      </ul>
      <div class="dialog-buttons">
        {values !== null && values !== "{}" && (
          <Button look="quiet" icon="copy" onClick={() => copy(values)}>
            Copy a link to the current parameters
          </Button>
        )}
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  );
}
