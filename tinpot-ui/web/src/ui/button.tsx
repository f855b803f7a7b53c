import type { ComponentChildren, JSX } from "preact";
import { Icon, type IconName } from "./icons";

type ButtonProps = Omit<JSX.IntrinsicElements["button"], "icon" | "class" | "type"> & {
  /**
   * The look: `primary` at most once per page, `danger` for what cannot be undone, `quiet` without
   * a frame.
   */
  look?: "primary" | "danger" | "quiet";
  icon?: IconName;
  /** If true, its action runs, and clicks do nothing. It keeps the focus, unlike a disabled one. */
  busy?: boolean;
  class?: string;
  submit?: boolean;
  children?: ComponentChildren;
};

const ignore = (event: Event): void => event.preventDefault();

/** A button. Without text it needs an `aria-label`, which becomes its tooltip. */
export function Button({
  look,
  icon,
  busy = false,
  submit = false,
  class: extra = "",
  children,
  ...rest
}: ButtonProps) {
  const classes = ["button", look ?? "", children === undefined ? "bare" : "", extra]
    .filter(Boolean)
    .join(" ");
  const label = rest["aria-label"];
  return (
    <button
      title={children === undefined && typeof label === "string" ? label : undefined}
      {...rest}
      type={submit ? "submit" : "button"}
      class={classes}
      aria-busy={busy || undefined}
      aria-disabled={busy || undefined}
      onClick={busy ? ignore : rest.onClick}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </button>
  );
}
