import type { IconName } from "../ui";

/** The pages of the navigation. `g` and then `key` opens one. */
export const SECTIONS: readonly { path: string; title: string; icon: IconName; key: string }[] = [
  { path: "/", title: "Overview", icon: "overview", key: "o" },
  { path: "/actions", title: "Actions", icon: "actions", key: "a" },
  { path: "/executions", title: "History", icon: "history", key: "h" },
  { path: "/workers", title: "Workers", icon: "workers", key: "w" },
  { path: "/queues", title: "Queues", icon: "queues", key: "q" },
];
