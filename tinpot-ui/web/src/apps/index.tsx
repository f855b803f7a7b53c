import { location } from "../app/router";
import { NotFoundPage } from "../pages/not-found";
import { VersionPage } from "./version";
import "./apps.css";

export { AppPage } from "./app";
export { ComparePage } from "./compare";
export { AppsPage } from "./list";

/** The page of a version by the number in its address. */
export function AppVersionPage({ name, version }: { name: string; version: string }) {
  return /^\d{1,9}$/.test(version) ? (
    <VersionPage name={name} version={Number(version)} />
  ) : (
    <NotFoundPage key={location.value.path} />
  );
}
