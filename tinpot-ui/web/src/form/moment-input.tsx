import { useRef } from "preact/hooks";
import { Button } from "../ui";

interface MomentInputProps {
  /** The attributes of the text control. */
  attributes: Record<string, unknown>;
  /** The time, as `2026-01-31T14:30`, or what the user has typed so far. */
  value: string;
  onInput: (value: string) => void;
  /** Called once the user has finished: on Enter, on leaving the control, and after a choice. */
  onDone?: (value: string) => void;
}

/**
 * A date and time as text, with a calendar for its date.
 *
 * The control of the browser shows twelve hours in some languages, and takes no pasted text.
 */
export function MomentInput({ attributes, value, onInput, onDone }: MomentInputProps) {
  const picker = useRef<HTMLInputElement>(null);
  const read = (typed: string): string => typed.replace(/^(\d{4}-\d\d-\d\d)\s+(?=\d)/, "$1T");
  return (
    <span class="moment-input">
      <input
        {...attributes}
        class="date-control"
        value={value.replace("T", " ")}
        placeholder="YYYY-MM-DD HH:MM"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => onInput(read(event.currentTarget.value))}
        onBlur={(event) => onDone?.(read(event.currentTarget.value))}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.isComposing)
            onDone?.(read(event.currentTarget.value));
        }}
      />
      <Button
        class="small"
        look="quiet"
        icon="calendar"
        aria-label="Choose a date"
        disabled={attributes.disabled === true}
        onClick={() => picker.current?.showPicker()}
      />
      <input
        ref={picker}
        class="unseen"
        type="date"
        tabIndex={-1}
        aria-hidden="true"
        value={value.slice(0, 10)}
        onInput={(event) => {
          const date = event.currentTarget.value;
          if (date === "") return;
          const next = `${date}T${/T(.+)$/.exec(value)?.[1] ?? "00:00"}`;
          onInput(next);
          onDone?.(next);
        }}
      />
    </span>
  );
}
