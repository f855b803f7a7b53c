import { useLayoutEffect, useRef } from "preact/hooks";
import { AnyInput } from "./control-props";

interface TextLineProps {
  /** The attributes that all controls share. */
  attributes: Record<string, unknown>;
  text: string;
  placeholder: string;
  /** If true, the control has many lines, and Enter begins a new one. */
  many: boolean;
  secret?: boolean;
  class?: string;
  onMany: () => void;
  onText: (text: string) => void;
}

/**
 * A control for text: one line until it needs more.
 *
 * Enter in one line is that of any input, so it submits the form. Shift+Enter, or a pasted text of
 * several lines, makes room for many lines.
 */
export function TextLine({
  attributes,
  text,
  placeholder,
  many,
  secret = false,
  class: extra = "",
  onMany,
  onText,
}: TextLineProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const caret = useRef<number | null>(null);
  useLayoutEffect(() => {
    if (!many || caret.current === null) return;
    area.current?.focus();
    area.current?.setSelectionRange(caret.current, caret.current);
    caret.current = null;
  }, [many]);

  const insert = (input: HTMLInputElement, added: string): void => {
    const [from, to] = [input.selectionStart ?? text.length, input.selectionEnd ?? text.length];
    caret.current = from + added.length;
    onText(text.slice(0, from) + added + text.slice(to));
    onMany();
  };
  const shared = {
    ...attributes,
    value: text,
    placeholder,
    spellcheck: false,
    autocomplete: secret ? "new-password" : "off",
  };
  if (many)
    return (
      <textarea
        {...shared}
        ref={area}
        class={`text-control ${secret ? "masked" : ""} ${extra}`}
        rows={Math.max(2, Math.min(16, text.split("\n").length))}
        onInput={(event) => onText(event.currentTarget.value)}
      />
    );
  return (
    <AnyInput
      {...shared}
      class={`text-line ${extra}`}
      type={secret ? "password" : "text"}
      onInput={(event) => onText(event.currentTarget.value)}
      onKeyDown={(event: KeyboardEvent & { currentTarget: HTMLInputElement }) => {
        if (event.key !== "Enter" || !event.shiftKey || event.isComposing) return;
        event.preventDefault();
        insert(event.currentTarget, "\n");
      }}
      onPaste={(event: ClipboardEvent & { currentTarget: HTMLInputElement }) => {
        const pasted = (event.clipboardData?.getData("text/plain") ?? "").replace(/\r\n?/g, "\n");
        // A line that was copied with its end stays one line.
        if (!pasted.replace(/\n+$/, "").includes("\n")) return;
        event.preventDefault();
        insert(event.currentTarget, pasted);
      }}
    />
  );
}
