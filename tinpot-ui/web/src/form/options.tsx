// The options of an execution. The action's own apply to those left blank.

import type { ActionView } from "../api/types";
import { identity } from "../identity/identity";
import { formatDuration } from "../ui";
import { useForm } from "./form-context";
import { durationSeconds, parseDuration } from "./formats";

export interface OptionTexts {
  priority: string;
  delay: string;
  timeout: string;
  retries: string;
  queue: string;
  idempotency_key: string;
  requested_by: string;
}

export const NO_OPTIONS: OptionTexts = {
  priority: "",
  delay: "",
  timeout: "",
  retries: "",
  queue: "",
  idempotency_key: "",
  requested_by: "",
};

export interface ReadOptions {
  values: Record<string, string | number>;
  problems: Partial<Record<keyof OptionTexts, string>>;
}

/** Returns the options to send, and the errors of those that are invalid. */
export function readOptions(texts: OptionTexts): ReadOptions {
  const values: ReadOptions["values"] = {};
  const problems: ReadOptions["problems"] = {};
  const whole = (name: "priority" | "retries", least: number, most: number): void => {
    const text = texts[name].trim();
    if (text === "") return;
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || value < least || value > most)
      problems[name] = `must be an integer from ${least} to ${most}`;
    else values[name] = value;
  };
  const seconds = (name: "delay" | "timeout", zero: boolean): void => {
    const text = texts[name].trim();
    if (text === "") return;
    const iso = parseDuration(text);
    const value = iso === null ? -1 : durationSeconds(iso);
    if (value < 0 || (value === 0 && !zero))
      problems[name] = "must be a duration, such as 1h 30m or 90 (seconds)";
    else values[name] = value;
  };
  whole("priority", -2147483648, 2147483647);
  whole("retries", 0, 1000);
  seconds("delay", true);
  seconds("timeout", false);
  for (const name of ["queue", "idempotency_key", "requested_by"] as const) {
    if (texts[name].trim() !== "") values[name] = texts[name].trim();
  }
  return { values, problems };
}

interface OptionsProps {
  action: ActionView;
  texts: OptionTexts;
  read: ReadOptions;
  /** The errors of the server. */
  refused: Partial<Record<string, string>>;
  queues: readonly string[];
  open: boolean;
  onToggle: (open: boolean) => void;
  onChange: (texts: OptionTexts) => void;
}

/** Returns true if the person may set an option. The server knows who is signed in. */
function isOffered(name: keyof OptionTexts): boolean {
  if (name === "requested_by") return !identity.named;
  return name !== "queue" || identity.may("use_queue");
}

export function OptionFields({
  action,
  texts,
  read,
  refused,
  queues,
  open,
  onToggle,
  onChange,
}: OptionsProps) {
  const form = useForm();
  const set = Object.values(texts).filter((text) => text !== "").length;
  const fields: { name: keyof OptionTexts; label: string; hint: string; placeholder: string }[] = [
    {
      name: "priority",
      label: "Priority",
      hint: "Higher runs first",
      placeholder: String(action.priority),
    },
    {
      name: "delay",
      label: "Delay",
      hint: "Start after this time: 10m, 1h 30m",
      placeholder: "none",
    },
    {
      name: "timeout",
      label: "Timeout",
      hint: "Maximum run time",
      placeholder: action.timeout !== null ? formatDuration(action.timeout) : "none",
    },
    {
      name: "retries",
      label: "Retries",
      hint: "Further attempts after a failure",
      placeholder: String(action.retries),
    },
    { name: "queue", label: "Queue", hint: "", placeholder: action.queue },
    {
      name: "idempotency_key",
      label: "Idempotency key",
      hint: "The same key returns the same execution",
      placeholder: "none",
    },
    {
      name: "requested_by",
      label: "Requested by",
      hint: "Your name, shown in the history",
      placeholder: "none",
    },
  ];
  return (
    <details class="options" open={open} onToggle={(event) => onToggle(event.currentTarget.open)}>
      <summary>Options{set > 0 && <span class="tag">{set} set</span>}</summary>
      <div class="option-grid">
        {fields
          .filter(({ name }) => isOffered(name))
          .map(({ name, label, hint, placeholder }) => {
            const id = `${form.prefix}-option-${name}`;
            const problem = read.problems[name] ?? refused[name];
            return (
              <div class="option" key={name}>
                <label for={id}>{label}</label>
                <input
                  id={id}
                  value={texts[name]}
                  placeholder={placeholder}
                  autocomplete="off"
                  spellcheck={false}
                  disabled={form.disabled}
                  list={name === "queue" ? `${id}-list` : undefined}
                  aria-describedby={`${id}-hint`}
                  aria-invalid={problem !== undefined || undefined}
                  onInput={(event) => onChange({ ...texts, [name]: event.currentTarget.value })}
                />
                {name === "queue" && (
                  <datalist id={`${id}-list`}>
                    {queues.map((queue) => (
                      <option key={queue} value={queue} />
                    ))}
                  </datalist>
                )}
                <p id={`${id}-hint`} class={problem === undefined ? "field-hint" : "field-error"}>
                  {problem ?? hint}
                </p>
              </div>
            );
          })}
      </div>
    </details>
  );
}
