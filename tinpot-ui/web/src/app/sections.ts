import { identity, type Right } from "../identity/identity";
import type { IconName } from "../ui";

interface Section {
  path: string;
  title: string;
  icon: IconName;
  /** `g` and then this key opens the page. */
  key: string;
  right?: Right;
  /** If true, only a server that keeps apps has it. */
  ofApps?: true;
}

/** The pages of the navigation. */
const PAGES: readonly Section[] = [
  { path: "/", title: "Overview", icon: "overview", key: "o" },
  { path: "/actions", title: "Actions", icon: "actions", key: "a", right: "see_action" },
  {
    path: "/apps",
    title: "Apps",
    icon: "apps",
    key: "p",
    right: "see_action",
    ofApps: true,
  },
  { path: "/executions", title: "History", icon: "history", key: "h", right: "read" },
  { path: "/workers", title: "Workers", icon: "workers", key: "w", right: "see_worker" },
  { path: "/queues", title: "Queues", icon: "queues", key: "q", right: "see_queue" },
];

const ADMINISTRATION = [
  { path: "/members", title: "Members", icon: "members", key: "m", right: "manage_team" },
  { path: "/grants", title: "Grants", icon: "key", key: "r", right: "manage_team" },
  { path: "/programs", title: "Programs", icon: "key", key: "g", right: "manage_team" },
  { path: "/teams", title: "Teams", icon: "members", key: "t", right: "manage_server" },
  { path: "/secrets", title: "Secrets", icon: "key", key: "s", right: "use_secret_store" },
  { path: "/worker-keys", title: "Worker keys", icon: "key", key: "k", right: "enrol" },
  { path: "/audit", title: "Audit", icon: "audit", key: "u", right: "read_audit" },
] as const satisfies readonly Section[];

/** Returns the pages that the person may see. */
export function pages(): Section[] {
  return PAGES.filter(
    ({ right, ofApps }) =>
      (right === undefined || identity.may(right)) && (ofApps === undefined || identity.keepsApps),
  );
}

/** Returns the pages of administration that the person may use. */
export function administration(): Section[] {
  return ADMINISTRATION.filter(
    ({ path, right }) =>
      identity.manages(right) && (path !== "/teams" || identity.me.value?.teams !== undefined),
  );
}

export function sections(): Section[] {
  return [...pages(), ...administration()];
}
