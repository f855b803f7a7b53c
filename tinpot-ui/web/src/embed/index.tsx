import { gate } from "../api/gate";
import { href } from "../app/base-path";
import { Execution } from "../execution";
import { hub } from "../stream";
import { Empty, StaleBanner } from "../ui";

/** One execution for a frame in a page of another site, without controls that change anything. */
export function EmbedPage({ id }: { id: string }) {
  const stale = hub.state.value === "stale";
  return (
    <main class="embed" data-stale={stale || undefined}>
      {stale && <StaleBanner since={hub.lastLive.peek()} />}
      {gate.closed.value ? <SignedOut id={id} /> : <Execution id={id} controls={false} />}
    </main>
  );
}

/** A frame of another site must not ask for a password. */
function SignedOut({ id }: { id: string }) {
  return (
    <Empty title="Not signed in" icon="key">
      <a href={href(`/executions/${encodeURIComponent(id)}`)} target="_blank" rel="noreferrer">
        Open the execution in a tab
      </a>
    </Empty>
  );
}
