import type { LogLine, LogMatch } from "../api/types";
import { Button } from "../ui";
import { LogRow, SHOWN_CHARS, type Times } from "./log-row";
import type { LogSearch } from "./search";

/** The matches that are listed at once, which keeps the page light. */
const LISTED = 50;

interface SearchMatchesProps {
  search: LogSearch;
  pattern: RegExp | null;
  path: string;
  times: Times;
  from: number;
  onMore: () => void;
}

/** The matches with the lines around them, as `grep -C` prints them; a click goes to the line. */
export function SearchMatches({ search, pattern, path, times, from, onMore }: SearchMatchesProps) {
  const current = search.current.value;
  const start = Math.max(0, Math.floor(Math.max(0, current) / LISTED) * LISTED);
  const listed = search.matches.value.slice(start, start + LISTED);
  const row = (match: LogMatch, line: LogLine) => (
    <LogRow
      key={line.seq}
      line={line}
      headings={[]}
      depth={0}
      path={path}
      times={times}
      from={from}
      pattern={line.seq === match.seq ? pattern : null}
      shown={Math.min(SHOWN_CHARS, 600)}
      selected={false}
      current={false}
      plain
    />
  );
  return (
    <div class="log-hits" role="region" aria-label="Matches" tabIndex={0}>
      {listed.map((match, at) => (
        <div
          key={match.seq}
          class="log-hit"
          data-current={start + at === current || undefined}
          onClick={() => search.go(start + at)}
        >
          {match.before.map((line) => row(match, line))}
          {row(match, match.line)}
          {match.after.map((line) => row(match, line))}
          <Button look="quiet" class="small" onClick={() => search.go(start + at)}>
            Go to line {match.seq}
          </Button>
        </div>
      ))}
      {search.hasMore && (
        <Button class="small" busy={search.running.value} onClick={onMore}>
          Load more matches
        </Button>
      )}
    </div>
  );
}
