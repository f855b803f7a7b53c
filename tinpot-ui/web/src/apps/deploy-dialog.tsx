// The dialog from a chosen folder or archive to a version.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, errorText, isAbort } from "../api/transport";
import { Entry } from "../identity/entry";
import { Button, count, Dialog, ErrorBox, formatBytes, Icon, Loading } from "../ui";
import type { Deployment } from "./api";
import { deploy, type Folder, type Progress, selectFiles } from "./deploy";
import { appNameOf, type Chosen } from "./folder";

interface Props {
  /** The app of the page; null on the page of all apps. */
  app: string | null;
  chosen: Chosen;
  onDone: (app: string) => void;
  onClose: () => void;
}

type State =
  | { kind: "selecting" | "ready" }
  | { kind: "running"; progress: Progress }
  | { kind: "refused"; error: unknown }
  | { kind: "done"; answer: Deployment };

export function DeployDialog({ app, chosen, onDone, onClose }: Props) {
  // The app has no name yet, since no Towerfile names it.
  const isNamed = chosen.kind === "folder" && chosen.hasTowerfile;
  const isOfActions = chosen.kind === "folder" && !chosen.hasTowerfile;
  const [state, setState] = useState<State>({ kind: isNamed ? "selecting" : "ready" });
  const [folder, setFolder] = useState<Folder | null>(null);
  const [activate, setActivate] = useState(true);
  const [typed, setTyped] = useState(isOfActions ? appNameOf(chosen.name) : "");
  const abort = useRef(new AbortController());
  const refuse = (error: unknown): void => {
    if (!abort.current.signal.aborted && !isAbort(error)) setState({ kind: "refused", error });
  };
  useEffect(() => {
    if (isNamed)
      selectFiles(chosen.files, null).then((selected) => {
        setFolder(selected);
        setState({ kind: "ready" });
      }, refuse);
    return () => abort.current.abort();
  }, []);
  const target = app ?? (isNamed ? folder?.selection.app : typed.trim()) ?? "";
  const other = folder !== null && app !== null && folder.selection.app !== app;

  const start = async (): Promise<void> => {
    setState({ kind: "running", progress: { step: "check", done: 0, total: 0 } });
    try {
      const selected = isOfActions ? await selectFiles(chosen.files, target) : folder;
      setFolder(selected);
      const answer = await deploy(
        target,
        chosen.kind === "archive"
          ? { archive: chosen.file }
          : { files: selected?.files ?? [], most: selected?.selection.max_archive_bytes ?? 0 },
        {
          activate,
          create: app === null,
          signal: abort.current.signal,
          onProgress: (progress) => setState({ kind: "running", progress }),
        },
      );
      setState({ kind: "done", answer });
    } catch (error) {
      refuse(error);
    }
  };

  const title = app === null && target === "" ? "Deploy an app" : `Deploy ${target}`;
  if (state.kind === "done")
    return (
      <Dialog title={title} onClose={() => onDone(target)}>
        <p class="dialog-text" role="status">
          {resultText(state.answer)}
        </p>
        <div class="dialog-buttons">
          <Button look="primary" data-autofocus onClick={() => onDone(target)}>
            Done
          </Button>
        </div>
      </Dialog>
    );
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        class="stack deploy"
        onSubmit={(event) => {
          event.preventDefault();
          void start();
        }}
      >
        <What chosen={chosen} folder={folder} />
        {state.kind === "selecting" && <Loading rows={1} />}
        {isOfActions && (
          <p class="dialog-text">
            The folder has no Towerfile: a worker imports its Python files, and each function with{" "}
            <code>@action</code> is an action.
          </p>
        )}
        {app === null && !isNamed && (
          <Entry
            label="App"
            hint={
              isOfActions
                ? "An app that does not exist is created."
                : "The name in its Towerfile. An app that does not exist is created."
            }
            value={typed}
            onInput={setTyped}
            first
          />
        )}
        <label class="switch">
          <input
            type="checkbox"
            checked={activate}
            disabled={state.kind === "running"}
            onChange={(event) => setActivate(event.currentTarget.checked)}
          />{" "}
          Activate the version: new runs use it
        </label>
        {other && (
          <p class="error-text" role="alert">
            The Towerfile is that of {folder.selection.app}, and not of {app}. Deploy it on the page
            of all apps.
          </p>
        )}
        {state.kind === "refused" && (
          <ErrorBox title={titleOf(state.error)} error={errorText(state.error)} />
        )}
        {state.kind === "running" && <ProgressLine {...state.progress} />}
        <div class="dialog-buttons">
          <Button onClick={onClose}>Cancel</Button>
          <Button
            look="primary"
            submit
            busy={state.kind === "running"}
            disabled={target === "" || other || (isNamed && folder === null)}
          >
            {state.kind === "refused" && (!isNamed || folder !== null) ? "Try again" : "Deploy"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function titleOf(error: unknown): string {
  if (!(error instanceof ApiError)) return "Not deployed";
  if (error.unreachable) return "Cannot reach the server";
  return error.status === 422 || error.status === 413 ? "The bundle was refused" : "Not deployed";
}

function resultText({ result, version, enabled }: Deployment): string {
  const number = version?.version ?? 0;
  const note = enabled ? "" : " The app is disabled, so that nothing can run yet.";
  switch (result) {
    case "created":
      return version?.active === true
        ? `Version ${number} is active.${note}`
        : `Version ${number} is there, and not active.${note}`;
    case "activated":
      return `Version ${number} has the same files, and is active now.${note}`;
    default:
      return `Nothing has changed: version ${number} has the same files.${note}`;
  }
}

function What({ chosen, folder }: { chosen: Chosen; folder: Folder | null }) {
  if (chosen.kind === "archive")
    return (
      <p class="dialog-text">
        {chosen.name}, {formatBytes(chosen.file.size)}
      </p>
    );
  if (folder === null)
    return <p class="dialog-text">{count(chosen.files.length, "file")} in the folder</p>;
  const written = chosen.hasTowerfile ? 0 : 1;
  const left = chosen.files.length + written - folder.files.length;
  return (
    <>
      <p class="dialog-text">
        {count(folder.files.length, "file")}, {formatBytes(folder.bytes)}
        {left > 0 && `; ${count(left, "other file")} of the folder left out`}
      </p>
      <details class="deploy-files">
        <summary>Files</summary>
        <ul class="mono">
          {folder.files.map(({ path }) => (
            <li key={path}>{path}</li>
          ))}
        </ul>
      </details>
      {folder.selection.warnings.map((warning) => (
        <p class="deploy-warning" key={warning}>
          <Icon name="warning" /> <span>Towerfile: {warning}</span>
        </p>
      ))}
      <p class="field-hint">
        Browsers do not tell which files are executable. To keep that, use{" "}
        <code>tinpot deploy</code>.
      </p>
    </>
  );
}

const STEP: Record<Progress["step"], string> = {
  read: "Packing",
  upload: "Uploading",
  check: "The server checks the bundle",
  wait: "The server takes other uploads. Waiting",
};

function ProgressLine({ step, done, total }: Progress) {
  return (
    <div class="progress-line">
      <progress aria-label={STEP[step]} {...(total > 0 ? { value: done, max: total } : {})} />
      <span>
        {STEP[step]}
        {total > 0 && `: ${formatBytes(done)} of ${formatBytes(total)}`}
      </span>
    </div>
  );
}
