import { Execution } from "../execution";
import { hub } from "../stream";

/** One execution for a frame in a page of another site, without controls that change anything. */
export function EmbedPage({ id }: { id: string }) {
  const stale = hub.state.value === "stale";
  return (
    <main class="embed" data-stale={stale || undefined}>
      {stale && (
        <p class="embed-stale" role="status">
          Disconnected, retrying. The page may be out of date.
        </p>
      )}
      <Execution id={id} controls={false} />
    </main>
  );
}
