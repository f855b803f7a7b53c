// Parts of the UI that most visits do not need: their code is loaded when they are shown.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ErrorBox, Loading } from "../ui";
import { serverUrl } from "./base-path";
import { storageKey } from "./storage";

/** The time within which the page does not reload by itself a second time. */
const RELOAD_MS = 60_000;
/** The time for which the server may take to show that it runs. */
const ANSWER_MS = 5_000;

export type LazyComponent<Props> = ComponentType<Props> & {
  /** Begins to load the code. */
  preload: () => void;
};

interface Options {
  /** The rows of the placeholder that is shown meanwhile; nothing for 0. */
  rows?: number;
  /** If true, it is a whole page, so that nothing is lost when the browser loads it again. */
  page?: boolean;
}

/** Returns a component whose code is loaded when it is first shown. */
export function lazy<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
  { rows = 3, page = false }: Options = {},
): LazyComponent<Props> {
  let loaded: ComponentType<Props> | null = null;
  let loading: Promise<ComponentType<Props>> | null = null;
  const start = (): Promise<ComponentType<Props>> => {
    loading ??= load().then(
      (component) => {
        loaded = component;
        return component;
      },
      (error: unknown) => {
        loading = null;
        throw error;
      },
    );
    return loading;
  };
  const Lazy = (props: Props) => {
    const [Part, setPart] = useState(() => loaded);
    const [problem, setProblem] = useState<string | null>(null);
    useEffect(() => {
      if (Part !== null) return;
      let gone = false;
      const failed = async (): Promise<void> => {
        const reason = await reasonOf();
        if (gone) return;
        // After an upgrade the server has other files, which only a new page knows.
        if (reason === MISSING && page && mayReload()) window.location.reload();
        else setProblem(reason);
      };
      start().then(
        (component) => setPart(() => component),
        () => void failed(),
      );
      return () => {
        gone = true;
      };
    }, []);
    if (problem !== null)
      return (
        <ErrorBox
          title="Part of the page is missing"
          error={problem}
          retry={() => window.location.reload()}
        />
      );
    if (Part !== null) return <Part {...props} />;
    return rows === 0 ? null : <Loading rows={rows} />;
  };
  Lazy.preload = (): void => void start().catch(() => undefined);
  return Lazy;
}

/** Returns a page whose code is loaded when it is first shown. */
export function lazyPage<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
): LazyComponent<Props> {
  return lazy(load, { page: true });
}

const MISSING =
  "The server does not have a file that this page needs: it may have been updated. Reload the page.";
const SILENT = "The server did not respond. Check that it is running, then reload the page.";

/** Returns the reason why code could not be loaded. */
async function reasonOf(): Promise<string> {
  try {
    await fetch(`${serverUrl()}/health`, { signal: AbortSignal.timeout(ANSWER_MS) });
    return MISSING;
  } catch {
    return SILENT;
  }
}

/** Returns true unless the page has reloaded by itself lately: that did not help then. */
function mayReload(): boolean {
  const key = storageKey("reloaded");
  try {
    const last = Number(window.sessionStorage.getItem(key) ?? 0);
    if (Date.now() - last < RELOAD_MS) return false;
    window.sessionStorage.setItem(key, String(Date.now()));
    return true;
  } catch {
    // Without storage it cannot know.
    return false;
  }
}
