export {
  ActionLink,
  count,
  Empty,
  ErrorBox,
  ExecutionLink,
  Key,
  Loading,
  PageHead,
  StatusBadge,
  shortId,
  statusText,
} from "./bits";
export { Button } from "./button";
export { Confirm, Dialog } from "./dialog";
export type { IconName } from "./icons";
export { Icon } from "./icons";
export { Tabs } from "./tabs";
export { Duration, formatDuration, formatExact, formatRelative, Time, useTick } from "./time";
