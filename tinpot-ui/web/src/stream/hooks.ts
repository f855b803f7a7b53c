import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { gate } from "../api/gate";
import { ApiError, isAbort } from "../api/transport";
import { hub } from "./hub";

export interface Resource<T> {
  /** The data of the last successful request, kept during and after later ones. */
  data: T | null;
  error: unknown;
  loading: boolean;
  /** Loads the data again; calls close together make one request. */
  reload: () => void;
  /** Changes the data without a request, as after an event. */
  set: (change: (data: T) => T) => void;
}

/** The time that reloads are gathered: a thousand events a second must not be as many requests. */
const GATHER_MS = 300;

/** Loads data now, whenever `key` changes, and after the stream was interrupted. */
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

  // Before the browser paints, unlike an effect: the page waits for this request.
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
 * Returns true if an error only repeats the header: the server is unreachable, or the person is
 * signed out. The data stays, and is loaded again once that has changed.
 *
 * Reads a signal, so that the calling component renders again when the connection changes.
 */
export function isOutage(error: unknown, loaded: boolean): boolean {
  if (!(error instanceof ApiError) || !loaded) return false;
  return error.status === 401 ? gate.closed.value : error.unreachable && hub.state.value !== "live";
}

/** Calls a function after the stream was interrupted. */
export function useResync(again: () => void): void {
  const latest = useRef(again);
  latest.current = again;
  useEffect(() => hub.onResync(() => latest.current()), []);
}
