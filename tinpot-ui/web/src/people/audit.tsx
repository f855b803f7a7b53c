// The audit: who did what, with filters, pages and a download.
import { useState } from "preact/hooks";
import { errorText } from "../api/transport";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { formatProblem, toLocal } from "../form/formats";
import { MomentInput } from "../form/moment-input";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import { Button, count, Empty, ErrorBox, Loading, PageHead, Time } from "../ui";
import { useTyped } from "../ui/use-typed";
import { type AuditEntry, type AuditFilter, people } from "./api";
import { NotAllowed } from "./members";

/** The entries of a page, and of a request of a download. */
const PAGE = 50;
const DOWNLOAD_PAGE = 500;
/** The most entries of a download: the browser holds them in memory. */
const DOWNLOAD_MAX = 50_000;

function filterOf(query: URLSearchParams): AuditFilter {
  const filter: AuditFilter = query.get("log") === "runs" ? { log: "runs" } : {};
  for (const name of ["who", "what"] as const) {
    const text = query.get(name)?.trim() ?? "";
    if (text !== "") filter[name] = text;
  }
  const since = Date.parse(query.get("since") ?? "");
  if (!Number.isNaN(since)) filter.since = new Date(since).toISOString();
  return filter;
}

/** Changes filters, and begins at the newest entry. */
function change(changes: Record<string, string | null>, push = true): void {
  setQuery({ ...changes, after: null }, { replace: !push });
}

const clear = (): void => change({ who: null, what: null, since: null });

export function AuditPage() {
  useTitle("Audit");
  const { query } = location.value;
  const filter = filterOf(query);
  const after = query.get("after");
  const asked = { ...filter, limit: PAGE, ...(after === null ? {} : { after }) };
  const page = useResource(`audit ${JSON.stringify(asked)}`, (signal) =>
    people.audit(asked, signal),
  );
  const isFiltered = Object.keys(filter).some((name) => name !== "log");
  const entries = page.data?.entries;
  const next = page.data?.next ?? null;
  if (!identity.manages("read_audit")) return <NotAllowed />;
  return (
    <>
      <PageHead title="Audit" sub={after !== null ? "Older entries" : "Newest first"}>
        <Download filter={filter} />
      </PageHead>
      <Filters />
      {page.error !== null && <ErrorBox error={page.error} retry={page.reload} />}
      {entries === undefined && page.error === null && <Loading rows={8} />}
      {entries?.length === 0 && (
        <Empty title={isFiltered ? "No matching entries" : "No entries"} icon="audit">
          {isFiltered && <Button onClick={clear}>Clear filters</Button>}
        </Empty>
      )}
      {entries !== undefined && entries.length > 0 && <AuditTable entries={entries} />}
      <nav class="pager" aria-label="Pagination">
        {after !== null && (
          <Button icon="up" onClick={() => setQuery({ after: null }, {})}>
            Newest
          </Button>
        )}
        {next !== null && (
          <Button icon="down" onClick={() => setQuery({ after: next }, {})}>
            Older
          </Button>
        )}
      </nav>
    </>
  );
}

function Filters() {
  const { query } = location.value;
  const who = useTyped(query.get("who") ?? "", (text, first) => change({ who: text }, first));
  const what = useTyped(query.get("what") ?? "", (text, first) => change({ what: text }, first));
  const isFiltered = ["who", "what", "since"].some((name) => query.get(name));
  return (
    <form
      class="filter-row audit-filters"
      role="search"
      aria-label="Filter the audit"
      onSubmit={(event) => event.preventDefault()}
    >
      <label>
        Entries{" "}
        <select
          value={query.get("log") ?? ""}
          onChange={(event) => change({ log: event.currentTarget.value })}
        >
          <option value="">sign-ins and changes</option>
          <option value="runs">runs and calls</option>
        </select>
      </label>
      <label>
        Who{" "}
        <input
          {...who}
          type="search"
          placeholder="user or program"
          autocomplete="off"
          spellcheck={false}
        />
      </label>
      <label>
        What{" "}
        <input
          {...what}
          type="search"
          placeholder={query.get("log") === "runs" ? "run" : "sign_in, token…"}
          autocomplete="off"
          spellcheck={false}
        />
      </label>
      <Since />
      {isFiltered && (
        <Button look="quiet" icon="close" onClick={clear}>
          Clear filters
        </Button>
      )}
    </form>
  );
}

function Since() {
  const given = location.value.query.get("since") ?? "";
  const applied = Number.isNaN(Date.parse(given)) ? "" : toLocal(given);
  const [typed, setTyped] = useState<string | null>(null);
  const value = typed ?? applied;
  const isWrong = value !== "" && formatProblem("date-time", value) !== null;
  return (
    <span class="time-filter">
      <label for="audit-since">Since</label>
      <MomentInput
        attributes={{ id: "audit-since", "aria-invalid": (isWrong && typed === null) || undefined }}
        value={value}
        onInput={setTyped}
        onDone={(text) => {
          if (text !== "" && formatProblem("date-time", text) !== null) return;
          setTyped(null);
          if (text !== applied)
            change({ since: text === "" ? null : new Date(text).toISOString() });
        }}
      />
    </span>
  );
}

function AuditTable({ entries }: { entries: readonly AuditEntry[] }) {
  return (
    <div class="panel table-wrap">
      <table class="records audit">
        <thead>
          <tr>
            <th>Time</th>
            <th>Who</th>
            <th>What</th>
            <th>Target</th>
            <th>Detail</th>
            <th>Decision</th>
            <th>From</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((one, place) => (
            <tr key={one.n ?? place} id={one.n === null ? undefined : `n${one.n}`}>
              <td class="main-cell nowrap">
                <Time at={one.time} />
              </td>
              <td data-label="Who" title={one.who.via}>
                {one.who.name || one.who.id || <span class="faint">unknown</span>}
              </td>
              <td class="mono" data-label="What">
                {one.what}
              </td>
              <td data-label="Target">
                {[one.target.kind, one.target.id].filter(Boolean).join(" ")}
              </td>
              <td class="soft" data-label="Detail">
                {[one.detail, one.why].filter(Boolean).join(": ")}
              </td>
              <td data-label="Decision">
                {one.decision === "allowed" ? (
                  <span class="soft">allowed</span>
                ) : (
                  <span class="status" data-status="failed">
                    <i />
                    {one.decision}
                  </span>
                )}
              </td>
              <td class="mono soft" data-label="From">
                {one.from}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Downloads all entries that pass the filter, as one JSON document a line. */
function Download({ filter }: { filter: AuditFilter }) {
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const download = async (): Promise<void> => {
    setBusy(true);
    const lines: string[] = [];
    try {
      let after: string | null = null;
      do {
        const page: Awaited<ReturnType<typeof people.audit>> = await people.audit({
          ...filter,
          limit: DOWNLOAD_PAGE,
          ...(after === null ? {} : { after }),
        });
        for (const entry of page.entries) lines.push(`${JSON.stringify(entry)}\n`);
        after = page.next;
        setNote(`${count(lines.length, "entry", "entries")}…`);
      } while (after !== null && lines.length < DOWNLOAD_MAX);
      save(lines);
      const all = count(lines.length, "entry", "entries");
      setNote(after === null ? `Downloaded ${all}` : `Downloaded the newest ${all}`);
    } catch (error) {
      setNote(`Not downloaded: ${errorText(error)}`);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button icon="download" busy={busy} onClick={() => void download()}>
        Download
      </Button>
      <span class="soft" role="status">
        {note}
      </span>
    </>
  );
}

function save(lines: readonly string[]): void {
  const url = URL.createObjectURL(new Blob([...lines], { type: "application/jsonl" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "tinpot-audit.jsonl";
  link.click();
  URL.revokeObjectURL(url);
}
