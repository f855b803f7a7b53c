import type { ComponentChildren } from "preact";
import { EmbedPage } from "../embed";
import { ExecutionPage } from "../execution";
import { SignIn } from "../identity/sign-in";
import { ActionPage } from "../pages/action";
import { ActionsPage } from "../pages/actions";
import { HistoryPage } from "../pages/history";
import { NotFoundPage } from "../pages/not-found";
import { OverviewPage } from "../pages/overview";
import { QueuesPage } from "../pages/queues";
import { WorkersPage } from "../pages/workers";
import { Layout } from "./layout";
import { lazy } from "./lazy";
import { location, match } from "./router";

// Pages that most visits do not need.
const WatchPage = lazy(async () => (await import("../watch")).WatchPage);
const people = () => import("../people");
const YouPage = lazy(async () => (await people()).YouPage);
const MembersPage = lazy(async () => (await people()).MembersPage);
const GrantsPage = lazy(async () => (await people()).GrantsPage);
const DevicePage = lazy(async () => (await people()).DevicePage);
const TeamsPage = lazy(async () => (await people()).TeamsPage);
const SecretsPage = lazy(async () => (await people()).SecretsPage);
const WorkerKeysPage = lazy(async () => (await people()).WorkerKeysPage);
const AuditPage = lazy(async () => (await people()).AuditPage);

type Page = (names: Record<string, string>) => ComponentChildren;

const PAGES: readonly [string, Page][] = [
  ["/", () => <OverviewPage />],
  ["/actions", () => <ActionsPage />],
  ["/actions/:name", ({ name = "" }) => <ActionPage key={name} name={name} />],
  ["/executions", () => <HistoryPage />],
  ["/executions/:id", ({ id = "" }) => <ExecutionPage key={id} id={id} />],
  ["/watch", () => <WatchPage />],
  ["/workers", () => <WorkersPage />],
  ["/queues", () => <QueuesPage />],
  ["/you", () => <YouPage />],
  ["/device", () => <DevicePage />],
  ["/members", () => <MembersPage />],
  ["/grants", () => <GrantsPage />],
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

function pageAt(path: string): ComponentChildren {
  for (const [pattern, page] of PAGES) {
    const names = match(pattern, path);
    if (names !== null) return page(names);
  }
  return <NotFoundPage />;
}
