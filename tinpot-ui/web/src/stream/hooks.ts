import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError, isAbort } from "../api/transport";
import { hub } from "./hub";

export interface Resource<T> {
  /** What was loaded last; kept while it is loaded again, and when that fails. */
  data: T | null;
  error: unknown;
  loading: boolean;
  /** Loads again; calls that come close together make one request. */
  reload: () => void;
  /** Puts in what is known from elsewhere: an event, or the answer to a change. */
  set: (change: (data: T) => T) => void;
}

/** Reloads that come closer together than this are one: a thousand events a second are not a thousand requests. */
const GATHER_MS = 300;

/** Loads something now, whenever `key` changes, and when the stream was gone and is back. */
export function useResource<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
): Resource<T> {
  const [state, setState] = useState<{
    key: string;
    data: T | null;
    error: unknown;
    loading: boolean;
  }>({
    key,
    data: null,
    error: null,
    loading: true,
  });
  const latest = useRef(load);
  latest.current = load;
  const running = useRef<AbortController | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);

  const run = useCallback((): void => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState((old) => ({
      key,
      data: old.key === key ? old.data : null,
      error: old.key === key ? old.error : null,
      loading: true,
    }));
    latest.current(controller.signal).then(
      (data) => {
        if (running.current === controller) setState({ key, data, error: null, loading: false });
      },
      (error: unknown) => {
        if (running.current !== controller || isAbort(error)) return;
        setState((old) => ({ ...old, error, loading: false }));
      },
    );
  }, [key]);

  const reload = useCallback((): void => {
    if (timer.current !== null) return;
    timer.current = setTimeout(() => {
      timer.current = null;
      run();
    }, GATHER_MS);
  }, [run]);

  const set = useCallback((change: (data: T) => T): void => {
    setState((old) => (old.data === null ? old : { ...old, data: change(old.data) }));
  }, []);

  // Not after the next frame, as an effect would: whoever opens a page waits for this request.
  useLayoutEffect(() => {
    run();
    const leave = hub.onResync(run);
    return () => {
      leave();
      running.current?.abort();
      running.current = null;
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = null;
    };
  }, [run]);

  const fresh = state.key === key;
  const error = fresh ? state.error : null;
  return {
    data: fresh ? state.data : null,
    error: fresh && isOutage(error, state.data !== null) ? null : error,
    loading: state.loading,
    reload,
    set,
  };
}

/**
 * Whether an error only says what the header says already: that the server is gone. What was loaded stays, and is loaded again when it is back.
 * Signals are read, so that whoever draws this draws again when the connection comes or goes.
 */
export function isOutage(error: unknown, loaded: boolean): boolean {
  return error instanceof ApiError && error.unreachable && loaded && hub.state.value !== "live";
}

/** Does something when the stream was gone and is back. */
export function useResync(again: () => void): void {
  const latest = useRef(again);
  latest.current = again;
  useEffect(() => hub.onResync(() => latest.current()), []);
}
