import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icons";

/** The text in place of a list or a page that has no content. */
export function Empty({
  title,
  icon,
  children,
}: {
  title: string;
  icon?: IconName;
  children?: ComponentChildren;
}) {
  return (
    <div class="empty">
      {icon !== undefined && <Icon name={icon} />}
      <strong>{title}</strong>
      {children !== undefined && <div>{children}</div>}
    </div>
  );
}
