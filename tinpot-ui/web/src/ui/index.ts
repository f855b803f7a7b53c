export { Button } from "./button";
export { Confirm, Dialog } from "./dialog";
export { Icon } from "./icons";
export type { IconName } from "./icons";
export { Tabs } from "./tabs";
export { Duration, Time, formatDuration, formatExact, formatRelative, useTick } from "./time";
export {
  ActionLink, Empty, ErrorBox, ExecutionLink, Key, Loading, PageHead, StatusBadge, count, shortId, statusText,
} from "./bits";
