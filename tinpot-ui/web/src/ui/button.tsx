import type { ComponentChildren, JSX } from "preact";
import { Icon, type IconName } from "./icons";

type ButtonProps = Omit<JSX.IntrinsicElements["button"], "icon" | "class" | "type"> & {
  /** `primary` once per page; `danger` for what cannot be undone; `quiet` has no frame. */
  look?: "primary" | "danger" | "quiet";
  icon?: IconName;
  /** While what it started is not done: it cannot be pressed, and says so. */
  busy?: boolean;
  class?: string;
  submit?: boolean;
  children?: ComponentChildren;
};

/** One without text needs an `aria-label`, which is its tooltip as well. */
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
