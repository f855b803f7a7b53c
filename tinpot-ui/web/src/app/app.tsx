import type { ComponentChildren, VNode } from "preact";
import { SignIn } from "../identity/sign-in";
import { ActionsPage } from "../pages/actions";
import { HistoryPage } from "../pages/history";
import { NotFoundPage } from "../pages/not-found";
import { OverviewPage } from "../pages/overview";
import { QueuesPage } from "../pages/queues";
import { WorkersPage } from "../pages/workers";
import { Layout } from "./layout";
import { type LazyComponent, lazyPage } from "./lazy";
import { location, match } from "./router";

// Each import is a chunk, so that a visit loads only the pages that it shows.
const ExecutionPage = lazyPage(async () => (await import("../execution")).ExecutionPage);
const EmbedPage = lazyPage(async () => (await import("../embed")).EmbedPage);
const ActionPage = lazyPage(async () => (await import("../pages/action")).ActionPage);
const WatchPage = lazyPage(async () => (await import("../watch")).WatchPage);
const apps = () => import("../apps");
const AppsPage = lazyPage(async () => (await apps()).AppsPage);
const AppPage = lazyPage(async () => (await apps()).AppPage);
const AppVersionPage = lazyPage(async () => (await apps()).AppVersionPage);
const ComparePage = lazyPage(async () => (await apps()).ComparePage);
const people = () => import("../people");
const YouPage = lazyPage(async () => (await people()).YouPage);
const MembersPage = lazyPage(async () => (await people()).MembersPage);
const GrantsPage = lazyPage(async () => (await people()).GrantsPage);
const ProgramsPage = lazyPage(async () => (await people()).ProgramsPage);
const ProgramPage = lazyPage(async () => (await people()).ProgramPage);
const DevicePage = lazyPage(async () => (await people()).DevicePage);
const TeamsPage = lazyPage(async () => (await people()).TeamsPage);
const SecretsPage = lazyPage(async () => (await people()).SecretsPage);
const WorkerKeysPage = lazyPage(async () => (await people()).WorkerKeysPage);
const AuditPage = lazyPage(async () => (await people()).AuditPage);

type Page = (names: Record<string, string>) => ComponentChildren;

const PAGES: readonly [string, Page][] = [
  ["/", () => <OverviewPage />],
  ["/actions", () => <ActionsPage />],
  ["/actions/:name", ({ name = "" }) => <ActionPage key={name} name={name} />],
  ["/apps", () => <AppsPage />],
  ["/apps/:name", ({ name = "" }) => <AppPage key={name} name={name} />],
  [
    "/apps/:name/versions/:version",
    ({ name = "", version = "" }) => (
      <AppVersionPage key={`${name} ${version}`} name={name} version={version} />
    ),
  ],
  ["/apps/:name/compare", ({ name = "" }) => <ComparePage key={name} name={name} />],
  ["/executions", () => <HistoryPage />],
  ["/executions/:id", ({ id = "" }) => <ExecutionPage key={id} id={id} />],
  ["/watch", () => <WatchPage />],
  ["/workers", () => <WorkersPage />],
  ["/queues", () => <QueuesPage />],
  ["/you", () => <YouPage />],
  ["/device", () => <DevicePage />],
  ["/members", () => <MembersPage />],
  ["/grants", () => <GrantsPage />],
  ["/programs", () => <ProgramsPage />],
  ["/programs/:id", ({ id = "" }) => <ProgramPage key={id} id={id} />],
  ["/teams", () => <TeamsPage />],
  ["/secrets", () => <SecretsPage />],
  ["/worker-keys", () => <WorkerKeysPage />],
  ["/audit", () => <AuditPage />],
];

export function App() {
  const { path } = location.value;
  // Pages of other sites show it in a frame, so it has no header and no navigation.
  const embedded = match("/embed/executions/:id", path);
  if (embedded !== null) return <EmbedPage key={embedded.id} id={embedded.id ?? ""} />;
  return (
    <>
      <Layout path={path}>{pageAt(path)}</Layout>
      <SignIn />
    </>
  );
}

/** Begins to load the code of a page. */
export function preload(path: string): void {
  const page = match("/embed/executions/:id", path) === null ? pageAt(path) : <EmbedPage id="" />;
  const { preload: load } = (page as VNode).type as Partial<LazyComponent<object>>;
  load?.();
}

function pageAt(path: string): ComponentChildren {
  for (const [pattern, page] of PAGES) {
    const names = match(pattern, path);
    if (names !== null) return page(names);
  }
  return <NotFoundPage />;
}
