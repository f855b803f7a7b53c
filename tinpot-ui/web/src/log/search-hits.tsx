import type { LogMatch } from "../api/types";
import { Button } from "../ui";
import { Row, SHOWN_CHARS, type Times } from "./log-row";
import type { LogSearch } from "./search";

/** Hits that are listed at once: a list is for looking over, and the page stays light. */
const LISTED = 50;

interface HitsProps {
  search: LogSearch;
  pattern: RegExp | null;
  path: string;
  times: Times;
  from: number;
  onMore: () => void;
}

/** The hits with the lines around them, as `grep -C` has them; a click goes there. */
export function Hits({ search, pattern, path, times, from, onMore }: HitsProps) {
  const start = Math.max(0, Math.floor(Math.max(0, search.current) / LISTED) * LISTED);
  const listed = search.hits.slice(start, start + LISTED);
  const row = (hit: LogMatch, line: LogMatch["line"]) => (
    <Row
      key={line.seq}
      line={line}
      heading={null}
      path={path}
      times={times}
      from={from}
      pattern={line.seq === hit.seq ? pattern : null}
      shown={Math.min(SHOWN_CHARS, 600)}
      selected={false}
      current={false}
      plain
    />
  );
  return (
    <div class="log-hits" role="region" aria-label="Hits" tabIndex={0}>
      {listed.map((hit, at) => (
        <div
          key={hit.seq}
          class="log-hit"
          data-current={start + at === search.current || undefined}
          onClick={() => search.go(start + at)}
        >
          {hit.before.map((line) => row(hit, line))}
          {row(hit, hit.line)}
          {hit.after.map((line) => row(hit, line))}
          <Button look="quiet" class="small" onClick={() => search.go(start + at)}>
            Go to line {hit.seq}
          </Button>
        </div>
      ))}
      {search.hasMore && (
        <Button class="small" busy={search.running} onClick={onMore}>
          More hits
        </Button>
      )}
    </div>
  );
}
