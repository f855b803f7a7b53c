import { useId } from "preact/hooks";

interface EntryProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  /** A short text below the field. */
  hint?: string;
  /** If true, the hint says what is wrong. */
  problem?: boolean;
  /** If true, the field gets the focus when the dialog opens. */
  first?: boolean;
  type?: "text" | "password";
  autocomplete?: string;
  inputMode?: "numeric";
  list?: string;
}

/** A text field of a dialog, with its label above. */
export function Entry({
  label,
  value,
  onInput,
  hint = "",
  problem = false,
  first = false,
  type = "text",
  autocomplete = "off",
  ...rest
}: EntryProps) {
  const id = useId();
  // The types of inputs are a union by `type`, which is a variable here.
  const more: Record<string, unknown> = { ...rest, type };
  return (
    <div class="option">
      <label for={id}>{label}</label>
      <input
        {...more}
        id={id}
        autocomplete={autocomplete}
        autocapitalize="none"
        spellcheck={false}
        value={value}
        data-autofocus={first || undefined}
        aria-describedby={hint === "" ? undefined : `${id}-hint`}
        aria-invalid={problem || undefined}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {hint !== "" && (
        <p id={`${id}-hint`} class={problem ? "field-error" : "field-hint"}>
          {hint}
        </p>
      )}
    </div>
  );
}
