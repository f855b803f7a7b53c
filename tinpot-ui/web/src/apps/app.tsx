// One app: its versions, and what can be done with them.
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/transport";
import { href } from "../app/base-path";
import { navigate } from "../app/router";
import { useTitle } from "../app/use-title";
import { identity } from "../identity/identity";
import { RecentExecutions } from "../pages/recent-executions";
import { AskFirst, FormDialog } from "../people/ask";
import { hub, useResource } from "../stream";
import { Empty, ErrorBox, Icon, Loading, Menu, PageHead } from "../ui";
import { type App, apps, type Version } from "./api";
import { Chooser, DropTarget } from "./choose";
import { DeployDialog } from "./deploy-dialog";
import type { Chosen } from "./folder";
import { Made } from "./made";
import { AppState } from "./state";
import { Versions } from "./versions";

type Asking =
  | { kind: "enable" | "disable" | "remove" }
  | { kind: "activate"; version: Version }
  | null;

export function AppPage({ name }: { name: string }) {
  useTitle(name);
  const app = useResource(`app ${name}`, (signal) => apps.show(name, signal));
  const [limit, setLimit] = useState(PAGE);
  const versions = useResource(`versions ${name} ${limit}`, (signal) =>
    apps.versions(name, limit, null, signal),
  );
  const reload = (): void => {
    app.reload();
    versions.reload();
  };
  useEffect(() => hub.onChange("catalogue", reload), [app.reload, versions.reload]);
  const [asking, setAsking] = useState<Asking>(null);
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const close = (): void => setAsking(null);
  const done = (): void => {
    close();
    reload();
  };
  if (app.data === null) {
    const isMissing = app.error instanceof ApiError && app.error.status === 404;
    return (
      <>
        <PageHead title={name} />
        {app.error === null && <Loading rows={5} />}
        {isMissing && (
          <Empty title={`App ${name} not found`} icon="apps">
            <a href={href("/apps")}>All apps</a>
          </Empty>
        )}
        {app.error !== null && !isMissing && <ErrorBox error={app.error} retry={app.reload} />}
      </>
    );
  }
  const { enabled, active_version: active } = app.data;
  const deploys = identity.may("deploy");
  return (
    <DropTarget disabled={!deploys} onChosen={setChosen}>
      <Head
        app={app.data}
        onChosen={setChosen}
        onToggle={() => setAsking({ kind: enabled ? "disable" : "enable" })}
        onRemove={() => setAsking({ kind: "remove" })}
      />
      {!enabled && (
        <div class="notice" role="status">
          <Icon name="warning" />
          <p>
            <strong>Disabled.</strong> New runs are refused. What was accepted before runs.
          </p>
        </div>
      )}
      <div class="columns">
        <div>
          {versions.error !== null && <ErrorBox error={versions.error} retry={versions.reload} />}
          {versions.data === null && versions.error === null && <Loading rows={4} />}
          {versions.data?.versions.length === 0 && (
            <Empty title="No versions yet" icon="apps">
              {deploys
                ? "Drop the folder of the app here, or a .tar.gz file of it."
                : "A person with the right to deploy uploads one."}
            </Empty>
          )}
          {versions.data !== null && versions.data.versions.length > 0 && (
            <Versions
              app={app.data}
              versions={versions.data.versions}
              onActivate={(version) => setAsking({ kind: "activate", version })}
              {...(versions.data.next !== null && limit < PAGE_MAX
                ? { onMore: () => setLimit(Math.min(limit * 4, PAGE_MAX)) }
                : {})}
            />
          )}
        </div>
        {identity.may("read") && app.data.actions.length < 2 && (
          <RecentExecutions action={app.data.actions[0] ?? name} />
        )}
      </div>
      {asking?.kind === "activate" && (
        <Activate
          app={name}
          to={asking.version.version}
          from={active}
          onDone={done}
          onClose={close}
        />
      )}
      {asking?.kind === "disable" && (
        <AskFirst
          title={`Disable ${name}?`}
          action="Disable app"
          request={() => apps.change(name, { enabled: false })}
          onDone={done}
          onClose={close}
        >
          New runs are refused. What waits or runs goes on.
        </AskFirst>
      )}
      {asking?.kind === "remove" && (
        <AskFirst
          title={`Remove ${name}?`}
          action="Remove app"
          request={() => apps.remove(name)}
          onDone={() => navigate("/apps")}
          onClose={close}
        >
          Its versions are deleted. Its executions stay.
        </AskFirst>
      )}
      {asking?.kind === "enable" && (
        <FormDialog
          title={`Enable ${name}?`}
          action="Enable app"
          request={() => apps.change(name, { enabled: true })}
          onDone={done}
          onClose={close}
        >
          <p class="dialog-text">
            {active === null
              ? "It can run once a version is active."
              : `New runs use version ${active}.`}
          </p>
        </FormDialog>
      )}
      {chosen !== null && (
        <DeployDialog
          app={name}
          chosen={chosen}
          onDone={() => {
            setChosen(null);
            reload();
          }}
          onClose={() => {
            setChosen(null);
            reload();
          }}
        />
      )}
    </DropTarget>
  );
}

/** The versions that are shown at first, and the most that are. */
const PAGE = 50;
const PAGE_MAX = 1_000;

interface HeadProps {
  app: App;
  onChosen: (chosen: Chosen) => void;
  onToggle: () => void;
  onRemove: () => void;
}

const actionHref = (action: string): string => href(`/actions/${encodeURIComponent(action)}`);

function Head({ app, onChosen, onToggle, onRemove }: HeadProps) {
  const { name, enabled, active_version: active, actions } = app;
  const [only] = actions;
  const deploys = identity.may("deploy");
  return (
    <>
      <nav class="breadcrumb" aria-label="Breadcrumb">
        <a href={href("/apps")}>Apps</a>
        <span aria-hidden="true">/</span>
        {name}
      </nav>
      <PageHead title={name} sub={app.description === "" ? undefined : app.description}>
        {enabled && only !== undefined && actions.length === 1 && identity.may("run") && (
          <a class="button" href={actionHref(only)}>
            <Icon name="actions" /> Run
          </a>
        )}
        {deploys && <Chooser label="Deploy" primary onChosen={onChosen} />}
        {deploys && (
          <Menu
            label={`App ${name}`}
            items={[
              { label: enabled ? "Disable…" : "Enable…", onSelect: onToggle },
              ...(enabled && active !== null ? [] : [{ label: "Remove…", onSelect: onRemove }]),
            ]}
          />
        )}
      </PageHead>
      <p class="facts">
        <AppState app={app} />
        <span>
          active version <b>{active ?? "none"}</b>
        </span>
        {actions.length > 1 && (
          <span>
            actions{" "}
            {actions.map((action, at) => (
              <span key={action}>
                {at > 0 && ", "}
                <a href={actionHref(action)}>{action}</a>
              </span>
            ))}
          </span>
        )}
        <span>
          created <Made at={app.created_at} by={app.created_by} />
        </span>
      </p>
    </>
  );
}

interface ActivateProps {
  app: string;
  to: number;
  from: number | null;
  onDone: () => void;
  onClose: () => void;
}

/** Asks before another version becomes the active one. Names both. */
function Activate({ app, to, from, ...rest }: ActivateProps) {
  const back = from !== null && to < from;
  return (
    <FormDialog
      title={
        from === null
          ? `Activate version ${to} of ${app}?`
          : back
            ? `Roll back ${app} from version ${from} to ${to}?`
            : `Activate version ${to} of ${app} instead of ${from}?`
      }
      action={back ? "Roll back" : "Activate"}
      request={() => apps.change(app, { active_version: to })}
      {...rest}
    >
      <p class="dialog-text">
        New runs use version {to}.
        {from !== null && ` What waits or runs keeps the version with which it was accepted.`}
      </p>
    </FormDialog>
  );
}
