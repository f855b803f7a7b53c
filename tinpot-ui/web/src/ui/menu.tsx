import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button } from "./button";
import type { IconName } from "./icons";

export interface MenuItem {
  label: string;
  onSelect: () => void;
}

interface MenuProps {
  /** The name of the button for screen readers. */
  label: string;
  items: readonly MenuItem[];
  icon?: IconName;
  disabled?: boolean;
  class?: string;
  /** The content of the list above its commands. */
  head?: ComponentChildren;
  /** The text of the button; without it, the button is an icon. */
  children?: ComponentChildren;
}

/** A button that opens a list of commands. Arrow keys move in it; Escape closes it. */
export function Menu({
  label,
  items,
  icon = "more",
  disabled,
  class: extra = "",
  head,
  children,
}: MenuProps) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLSpanElement>(null);
  const id = useId();
  const buttons = (): HTMLElement[] => [
    ...(box.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? []),
  ];
  useLayoutEffect(() => {
    if (open) buttons()[0]?.focus();
  }, [open]);
  useLayoutEffect(() => {
    if (!open) return;
    const outside = (event: Event): void => {
      if (event.target instanceof Node && box.current?.contains(event.target) !== true)
        setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("focusin", outside);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("focusin", outside);
    };
  }, [open]);
  const close = (): void => {
    setOpen(false);
    box.current?.querySelector<HTMLElement>("[aria-haspopup]")?.focus();
  };
  const pressed = (event: KeyboardEvent): void => {
    const all = buttons();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Tab") setOpen(false);
    else if (to !== undefined) {
      event.preventDefault();
      all[(to + all.length) % all.length]?.focus();
    }
  };
  return (
    <span class={`menu ${extra}`} ref={box}>
      <Button
        class="small"
        look="quiet"
        icon={icon}
        aria-label={children === undefined ? label : undefined}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        disabled={disabled}
        onClick={() => setOpen(!open)}
      >
        {children}
      </Button>
      {open && (
        <div class="menu-list" id={id} role="menu" aria-label={label} onKeyDown={pressed}>
          {head !== undefined && (
            <p class="menu-head" role="presentation">
              {head}
            </p>
          )}
          {items.map((one) => (
            <button
              key={one.label}
              type="button"
              role="menuitem"
              tabIndex={-1}
              onClick={() => {
                close();
                one.onSelect();
              }}
            >
              {one.label}
            </button>
          ))}
        </div>
      )}
    </span>
  );
}
