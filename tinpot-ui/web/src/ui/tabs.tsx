import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface TabsProps<T extends string> {
  /** The name of the choice for screen readers. */
  label: string;
  tabs: readonly { id: T; title: ComponentChildren; disabled?: boolean }[];
  current: T;
  onSelect: (id: T) => void;
  /** The content of the current tab. */
  children?: ComponentChildren;
  class?: string;
}

/** A row of tabs. Arrow keys select one, and Tab moves into the panel. */
export function Tabs<T extends string>({
  label,
  tabs,
  current,
  onSelect,
  children,
  class: extra = "",
}: TabsProps<T>) {
  const id = useId();
  const pressed = (event: KeyboardEvent): void => {
    const usable = tabs.filter((tab) => tab.disabled !== true);
    const at = usable.findIndex((tab) => tab.id === current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: usable.length - 1 }[
      event.key
    ];
    const next = to === undefined ? undefined : usable[(to + usable.length) % usable.length];
    if (next === undefined) return;
    event.preventDefault();
    onSelect(next.id);
    document.getElementById(`${id}-${next.id}`)?.focus();
  };
  return (
    <>
      <div class={`tabs ${extra}`} role="tablist" aria-label={label} onKeyDown={pressed}>
        {tabs.map((tab) => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            id={`${id}-${tab.id}`}
            aria-selected={tab.id === current}
            aria-controls={children === undefined ? undefined : `${id}-panel`}
            tabIndex={tab.id === current ? 0 : -1}
            disabled={tab.disabled}
            onClick={() => onSelect(tab.id)}
          >
            {tab.title}
          </button>
        ))}
      </div>
      {children !== undefined && (
        <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${current}`}>
          {children}
        </div>
      )}
    </>
  );
}
