import { Execution } from "../execution";
import { hub } from "../stream";

/** One execution for a frame in somebody else's page: to look at, and nothing to press that would change anything. */
export function EmbedPage({ id }: { id: string }) {
  const stale = hub.state.value === "stale";
  return (
    <main class="embed" data-stale={stale || undefined}>
      {stale && (
        <p class="embed-stale" role="status">
          The server cannot be reached. What you see may be old; it is tried again.
        </p>
      )}
      <Execution id={id} controls={false} />
    </main>
  );
}
