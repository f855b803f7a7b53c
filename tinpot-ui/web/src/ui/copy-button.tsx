import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "./button";
import { toClipboard } from "./copy";

/** A button that copies text and confirms it for two seconds. */
export function CopyButton({
  text,
  label,
  children,
}: {
  text: () => string;
  label: string;
  children?: string;
}) {
  const [state, setState] = useState<"idle" | "done" | "failed">("idle");
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
    },
    [],
  );
  const finish = (next: "done" | "failed") => (): void => {
    setState(next);
    timer.current = setTimeout(() => setState("idle"), 2_000);
  };
  const copy = (): void => {
    toClipboard(text()).then(finish("done"), finish("failed"));
  };
  const shown =
    state === "done" ? "Copied" : state === "failed" ? "Copy failed: select the text" : children;
  return (
    <Button
      look="quiet"
      class="small"
      icon={state === "done" ? "check" : "copy"}
      aria-label={state === "done" ? "Copied" : label}
      title={label}
      onClick={copy}
    >
      {shown}
    </Button>
  );
}
