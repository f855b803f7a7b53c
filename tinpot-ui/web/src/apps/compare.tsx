// Two versions of an app side by side: the files that differ, and their lines.
import { useMemo, useState } from "preact/hooks";
import { location, setQuery } from "../app/router";
import { useTitle } from "../app/use-title";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import { Button, count, Empty, ErrorBox, formatBytes, Loading, PageHead } from "../ui";
import { apps } from "./api";
import { type Change, changesOf, type DiffLine, diffLines, noLines } from "./changes";
import { AppCrumbs } from "./crumbs";

/** The versions that the lists offer. */
const VERSIONS_MAX = 1_000;
/** The changes whose lines are shown at first. */
const OPEN_MAX = 10;

const numberOf = (text: string | null): number => (/^\d{1,9}$/.test(text ?? "") ? Number(text) : 0);

export function ComparePage({ name }: { name: string }) {
  useTitle(`Compare versions of ${name}`);
  const { query } = location.value;
  const [from, to] = [numberOf(query.get("from")), numberOf(query.get("to"))];
  const list = useResource(`versions ${name} all`, (signal) =>
    apps.versions(name, VERSIONS_MAX, null, signal),
  );
  const numbers = list.data?.versions.map((one) => one.version) ?? [];
  const active = list.data?.versions.find((one) => one.active)?.version;
  const select = (label: string, key: "from" | "to", value: number) => (
    <label class="compare-side">
      {label}
      <select
        value={String(value)}
        onChange={(event) => setQuery({ [key]: event.currentTarget.value }, {})}
      >
        {!numbers.includes(value) && <option value={value}>{value || "…"}</option>}
        {numbers.map((one) => (
          <option key={one} value={one}>
            {one}
            {one === active ? " (active)" : ""}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <>
      <AppCrumbs app={name} here="Compare" />
      <PageHead title={`Versions ${from || "…"} and ${to || "…"}`}>
        {select("From version", "from", from)}
        <Button
          icon="compare"
          aria-label="Swap the versions"
          onClick={() => setQuery({ from: String(to), to: String(from) }, {})}
        />
        {select("to", "to", to)}
      </PageHead>
      {list.error !== null && <ErrorBox error={list.error} retry={list.reload} />}
      {from > 0 && to > 0 ? (
        <Changes key={`${from} ${to}`} name={name} from={from} to={to} />
      ) : (
        list.error === null && <Empty title="Choose two versions" icon="compare" />
      )}
    </>
  );
}

interface SidesProps {
  name: string;
  from: number;
  to: number;
}

function Changes({ name, from, to }: SidesProps) {
  const before = useResource(`version ${name} ${from}`, (signal) =>
    apps.version(name, from, signal),
  );
  const after = useResource(`version ${name} ${to}`, (signal) => apps.version(name, to, signal));
  const [olds, news] = [before.data?.files, after.data?.files];
  const changes = useMemo(
    () => (olds === undefined || news === undefined ? null : changesOf(olds, news)),
    [olds, news],
  );
  const error = before.error ?? after.error;
  if (error !== null)
    return (
      <ErrorBox
        error={error}
        retry={() => {
          before.reload();
          after.reload();
        }}
      />
    );
  if (changes === null) return <Loading rows={4} />;
  if (changes.length === 0) return <Empty title="The versions have the same files" icon="check" />;
  const same = new Set([...(olds ?? []), ...(news ?? [])].map(({ path }) => path)).size;
  return (
    <>
      <p class="facts">
        <span>
          <b>{count(changes.length, "file")}</b> changed
        </span>
        <span>{count(same - changes.length, "file")} the same</span>
        {!identity.may("deploy") && <span>The content needs the right to deploy.</span>}
      </p>
      {changes.map((change, at) => (
        <FileChange
          key={change.path}
          {...{ name, from, to, change }}
          open={at < OPEN_MAX && identity.may("deploy")}
        />
      ))}
    </>
  );
}

const KIND_TEXT: Record<Change["kind"], [string, string]> = {
  added: ["added", "succeeded"],
  removed: ["removed", "failed"],
  changed: ["changed", "running"],
  mode: ["mode changed", "paused"],
};

function FileChange({
  change,
  open: first,
  ...sides
}: SidesProps & { change: Change; open: boolean }) {
  const [open, setOpen] = useState(first);
  const reason = noLines(change);
  const [word, colour] = KIND_TEXT[change.kind];
  const size = (file: Change["before"]): string =>
    file?.bytes === undefined ? "" : formatBytes(file.bytes);
  const sizes = [size(change.before), size(change.after)].filter(Boolean);
  const shown = identity.may("deploy") && reason === null;
  return (
    <details
      class="panel file-change"
      open={open && shown}
      onToggle={(event) => setOpen(event.currentTarget.open)}
      data-closed={!shown || undefined}
    >
      <summary
        onClick={(event) => {
          if (!shown) event.preventDefault();
        }}
      >
        <span class="mono">{change.path}</span>
        <span class="status plain" data-status={colour}>
          <i aria-hidden="true" />
          {word}
        </span>
        <span class="faint nowrap">{[...new Set(sizes)].join(" → ")}</span>
        {reason !== null && <span class="soft">{reason}</span>}
      </summary>
      {open && shown && <Lines change={change} {...sides} />}
    </details>
  );
}

function Lines({ change, name, from, to }: SidesProps & { change: Change }) {
  const texts = useResource(`lines ${name} ${from} ${to} ${change.path}`, (signal) =>
    Promise.all([
      change.before === null ? "" : apps.file(name, from, change.path, signal),
      change.after === null ? "" : apps.file(name, to, change.path, signal),
    ]),
  );
  const lines = useMemo(() => {
    const [before, after] = texts.data ?? [null, null];
    return before === null || after === null ? null : diffLines(before, after);
  }, [texts.data]);
  if (texts.error !== null) return <ErrorBox error={texts.error} retry={texts.reload} />;
  if (texts.data === null) return <Loading rows={2} />;
  if (texts.data.includes(null)) return <p class="file-note">Not text</p>;
  if (lines === null) return <p class="file-note">Nearly all lines differ</p>;
  if (lines.length === 0) return <p class="file-note">Empty</p>;
  return (
    <div class="diff" tabIndex={0} role="region" aria-label={`Changes of ${change.path}`}>
      <table>
        <tbody>
          {lines.map((line, at) => (
            <Line key={at} line={line} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

const SIGN = { same: " ", added: "+", removed: "−", gap: "" } as const;
const SAID = { same: "", added: "added: ", removed: "removed: ", gap: "" } as const;

function Line({ line }: { line: DiffLine }) {
  if (line.kind === "gap")
    return (
      <tr class="diff-gap">
        <td colSpan={4}>{line.text || "⋯"}</td>
      </tr>
    );
  return (
    <tr data-kind={line.kind}>
      <td class="diff-number">{line.before}</td>
      <td class="diff-number">{line.after}</td>
      <td class="diff-sign" aria-hidden="true">
        {SIGN[line.kind]}
      </td>
      <td>
        {SAID[line.kind] !== "" && <span class="unseen">{SAID[line.kind]}</span>}
        {line.text}
      </td>
    </tr>
  );
}
