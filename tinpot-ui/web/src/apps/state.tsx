import type { App } from "./api";

/** The state of an app, as a word and a colour. */
export function AppState({ app }: { app: App }) {
  const [word, colour] = !app.enabled
    ? ["disabled", "paused"]
    : app.active_version === null
      ? ["no active version", "queued"]
      : ["enabled", "succeeded"];
  return (
    <span class="status plain" data-status={colour}>
      <i aria-hidden="true" />
      {word}
    </span>
  );
}
