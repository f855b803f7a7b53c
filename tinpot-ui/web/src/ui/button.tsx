import type { ComponentChildren, JSX } from "preact";
import { Icon, type IconName } from "./icons";

type ButtonProps = Omit<JSX.IntrinsicElements["button"], "icon" | "class" | "type"> & {
  /**
   * The look: `primary` at most once per page, `danger` for what cannot be undone, `quiet` without
   * a frame.
   */
  look?: "primary" | "danger" | "quiet";
  icon?: IconName;
  /** If true, the button is disabled while its action runs. */
  busy?: boolean;
  class?: string;
  submit?: boolean;
  children?: ComponentChildren;
};

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
      disabled={rest.disabled === true || busy}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </button>
  );
}
