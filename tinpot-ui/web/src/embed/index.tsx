import { Execution } from "../execution";
import { hub } from "../stream";
import { StaleBanner } from "../ui";

/** One execution for a frame in a page of another site, without controls that change anything. */
export function EmbedPage({ id }: { id: string }) {
  const stale = hub.state.value === "stale";
  return (
    <main class="embed" data-stale={stale || undefined}>
      {stale && <StaleBanner since={hub.lastLive.peek()} />}
      <Execution id={id} controls={false} />
    </main>
  );
}
