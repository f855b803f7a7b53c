import type { ComponentChildren } from "preact";
import type { ArtifactLink, ExecutionView } from "../api/types";
import { downloadHref } from "../app/base-path";
import { lazy } from "../app/lazy";
import { type Json, writeJson } from "../json/lossless-json";
import { CopyButton, Duration, Empty, formatBytes, StatusBadge, Time } from "../ui";
import { JsonTree } from "./json-tree";

const CopyAs = lazy(async () => (await import("./call-snippets")).CopyAs);
const Summary = lazy(async () => (await import("./markdown-view")).Summary);

/** A titled part of a panel. */
export function Section({
  title,
  tools,
  children,
}: {
  title: string;
  tools?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class="panel run-section">
      <header>
        <h2>{title}</h2>
        {tools}
      </header>
      {children}
    </section>
  );
}

interface ResultProps {
  view: ExecutionView;
  summary: string | null;
  artifacts: readonly ArtifactLink[];
}

/** The summary, the result and the artifacts of an execution. */
export function ResultPanel({ view, summary, artifacts }: ResultProps) {
  const result = view.outcome?.result;
  const hasResult = view.outcome !== null && "result" in view.outcome;
  return (
    <div class="sections">
      {summary !== null && (
        <Section title="Summary">
          <Summary markdown={summary} />
        </Section>
      )}
      {hasResult && (
        <Section
          title="Result"
          tools={
            <CopyButton
              text={() => writeJson(result as Json, true)}
              label="Copy the result as JSON"
            >
              JSON
            </CopyButton>
          }
        >
          <JsonTree value={result} label="Result" />
        </Section>
      )}
      {artifacts.length > 0 && (
        <Section title="Artifacts">
          <Artifacts id={view.execution_id} artifacts={artifacts} />
        </Section>
      )}
      {summary === null && !hasResult && artifacts.length === 0 && (
        <Empty title={view.outcome === null ? "No result yet" : "No result"} />
      )}
    </div>
  );
}

function Artifacts({ id, artifacts }: { id: string; artifacts: readonly ArtifactLink[] }) {
  return (
    <div class="table-wrap">
      <table>
        <thead>
          <tr>
            <th>Name</th>
            <th>Type</th>
            <th class="right">Size</th>
            <th class="right">Attempt</th>
          </tr>
        </thead>
        <tbody>
          {artifacts.map((artifact) => (
            <tr key={artifact.id}>
              <td>
                <a
                  href={downloadHref(
                    `api/executions/${encodeURIComponent(id)}/artifacts/${encodeURIComponent(artifact.id)}`,
                  )}
                  download={artifact.name}
                >
                  {artifact.name}
                </a>
              </td>
              <td>{artifact.media_type}</td>
              <td class="right">{formatBytes(artifact.size_bytes)}</td>
              <td class="right">{artifact.attempt}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The parameters and options of an execution, and code that submits the same. */
export function CallPanel({ view, controls }: { view: ExecutionView; controls: boolean }) {
  const options: [string, ComponentChildren][] = [
    ["Queue", view.queue],
    ["Priority", view.priority],
    ["Timeout", view.timeout === null ? "none" : <Duration key="timeout" seconds={view.timeout} />],
    ["Retries", view.retries],
    ["Lost attempts allowed", view.max_lost_attempts],
  ];
  if (view.not_before !== null)
    options.push(["Start after", <Time key="not_before" at={view.not_before} />]);
  if (view.expires_at !== null)
    options.push(["Expires", <Time key="expires" at={view.expires_at} />]);
  if (view.idempotency_key !== null)
    options.push(["Idempotency key", <code key="key">{view.idempotency_key}</code>]);
  return (
    <div class="sections">
      <Section
        title="Parameters"
        tools={
          <CopyButton
            text={() => writeJson(view.parameters as Json, true)}
            label="Copy the parameters as JSON"
          >
            JSON
          </CopyButton>
        }
      >
        <JsonTree value={view.parameters} label="Parameters" />
      </Section>
      <Section title="Options">
        <dl class="run-options">
          {options.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </Section>
      {controls && (
        <Section title="Run from code">
          <CopyAs view={view} />
        </Section>
      )}
    </div>
  );
}

/** The attempts of an execution as a table. */
export function Attempts({ view }: { view: ExecutionView }) {
  if (view.attempts.length === 0) return null;
  return (
    <div class="table-wrap">
      <table>
        <thead>
          <tr>
            <th>Attempt</th>
            <th>Outcome</th>
            <th>Worker</th>
            <th>Started</th>
            <th class="right">Duration</th>
            <th class="right">Lines</th>
          </tr>
        </thead>
        <tbody>
          {view.attempts.map((attempt) => (
            <tr key={attempt.number}>
              <td>{attempt.number}</td>
              <td>
                <StatusBadge
                  status={
                    attempt.outcome?.status ?? (attempt.ended_at === null ? "running" : "lost")
                  }
                  plain
                />
                {attempt.outcome?.error !== undefined && (
                  <div class="attempt-error">{attempt.outcome.error}</div>
                )}
                {attempt.outcome?.traceback !== undefined && (
                  <details class="attempt-traceback">
                    <summary>Traceback</summary>
                    <pre tabIndex={0}>{attempt.outcome.traceback}</pre>
                  </details>
                )}
              </td>
              <td class="mono">{attempt.worker}</td>
              <td>
                <Time at={attempt.started_at ?? attempt.granted_at} />
              </td>
              <td class="right">
                <Duration from={attempt.started_at} to={attempt.ended_at} />
              </td>
              <td class="right">{attempt.log_lines.toLocaleString("en")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
