import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api } from "../api/client";
import { ApiError } from "../api/transport";
import type { ActionView, ExecutionView, Queue, Worker } from "../api/types";
import { href } from "../app/base-path";
import { rememberRequester, requester } from "../app/requester";
import { location, navigate } from "../app/router";
import { recall, remember } from "../app/storage";
import { useTitle } from "../app/use-title";
import { ActionForm, type Submission } from "../form/form";
import { parseAction, stillFitting, toRemember } from "../form/form-state";
import type { OptionTexts } from "../form/options";
import type { Preset } from "../form/presets";
import { type Shape, shapeOf } from "../form/shape";
import { isObject, type JsonObject, parseJson } from "../json/lossless-json";
import { hub, useResource } from "../stream";
import {
  count,
  Empty,
  ErrorBox,
  formatDuration,
  Icon,
  Loading,
  PageHead,
  Prose,
  shortId,
} from "../ui";
import { concernsOf, HealthStrip, useFleet } from "./health";
import { RecentExecutions } from "./recent-executions";

/** The first values of a form, and their origin. */
interface InitialValues {
  values: JsonObject;
  options: Partial<OptionTexts>;
  from:
    | { kind: "nothing" | "memory" }
    | { kind: "execution" | "preset" | "link"; name: string; secrets: boolean };
}

const NOTHING: InitialValues = { values: {}, options: {}, from: { kind: "nothing" } };

const memoryKey = (name: string): string => `form:${name}`;

export function ActionPage({ name }: { name: string }) {
  useTitle(name);
  const { query } = location.value;
  const [from, values] = [query.get("from"), query.get("values")];
  const action = useResource(`action ${name}`, (signal) => api.actionText(name, { signal }));
  useEffect(() => hub.onChange("catalogue", action.reload), [action.reload]);
  const { workers, queues } = useFleet();
  // The parameters of a recorded execution never change.
  const source = useResource(`from ${from ?? ""}`, async (signal) =>
    from === null ? null : parseJson(await api.executionText(from, { signal })),
  );

  if (action.data === null) {
    if (action.error instanceof ApiError && action.error.status === 404) {
      return (
        <>
          <PageHead title={name} />
          <Empty title={`Action ${name} not found`} icon="actions">
            No worker has offered this action. <a href={href("/actions")}>All actions</a>
          </Empty>
        </>
      );
    }
    return (
      <>
        <PageHead title={name} />
        {action.error === null ? (
          <Loading rows={5} />
        ) : (
          <ErrorBox error={action.error} retry={action.reload} />
        )}
      </>
    );
  }
  if (source.data === null && source.error === null && from !== null) return <Loading rows={5} />;
  return (
    <>
      {source.error !== null && (
        <ErrorBox
          title={`Cannot load the parameters of execution ${shortId(from ?? "")}`}
          error={source.error}
        />
      )}
      <Loaded
        key={`${from ?? ""} ${values ?? ""}`}
        text={action.data}
        source={
          from === null || !isObject(source.data)
            ? null
            : { id: from, view: source.data as unknown as ExecutionView }
        }
        linked={values}
        workers={workers.data?.workers}
        queues={queues.data?.queues}
      />
    </>
  );
}

interface LoadedProps {
  text: string;
  source: { id: string; view: ExecutionView } | null;
  /** The parameters in the address, as JSON. */
  linked: string | null;
  workers: readonly Worker[] | undefined;
  queues: readonly Queue[] | undefined;
}

function Loaded({ text, source, linked, workers, queues }: LoadedProps) {
  const action = useMemo(() => parseAction(text), [text]);
  // Compared as text, so that a worker that connects or leaves does not reset the form.
  const schemaText = JSON.stringify(action.schema);
  const shape = useMemo(() => shapeOf(action.schema), [schemaText]);
  const [start, setStart] = useState<InitialValues>(() =>
    initialValues(action, shape, source, linked),
  );
  const [round, setRound] = useState(0);
  const now = useRef<JsonObject | null>(null);
  const firstSchema = useRef(schemaText);
  const changed = firstSchema.current !== schemaText;

  const submit = async ({ body, node, options }: Submission): Promise<void> => {
    const { execution_id } = await api.execute(action.name, body);
    remember(memoryKey(action.name), toRemember(shape, node));
    rememberRequester(options.requested_by);
    navigate(`/executions/${encodeURIComponent(execution_id)}`);
  };
  const forget = (): void => {
    remember(memoryKey(action.name), null);
    now.current = null;
    setStart(NOTHING);
    setRound(round + 1);
    if (source !== null || linked !== null)
      navigate(`/actions/${encodeURIComponent(action.name)}`, { replace: true });
  };

  const usePreset = (preset: Preset): void => {
    const values = fitting(shape, preset.values);
    if (values === null) return;
    now.current = null;
    setStart({
      values,
      options: {},
      from: { kind: "preset", name: preset.name, secrets: hasSecrets(shape) },
    });
    setRound(round + 1);
  };

  return (
    <>
      <PageHead
        title={action.name}
        sub={
          action.description === "" ? undefined : (
            <span class="prose">
              <Prose text={action.description} />
            </span>
          )
        }
      />
      <p class="facts">
        <span class="tag">{action.group === "" ? "No group" : action.group}</span>
        <span>
          queue <b>{action.queue}</b>
        </span>
        {action.version !== undefined && (
          <span>
            <a href={href(`/apps/${encodeURIComponent(action.app ?? action.name)}`)}>
              app, version {action.version}
            </a>
          </span>
        )}
        {action.timeout !== null && (
          <span>
            maximum run time <b>{formatDuration(action.timeout)}</b>
          </span>
        )}
        {action.retries > 0 && (
          <span>
            <b>{count(action.retries, "retry", "retries")}</b>
          </span>
        )}
      </p>
      {!action.available && (
        <div class="notice" role="status">
          <Icon name="warning" />
          <p>
            <strong>Not available.</strong>{" "}
            {sentence(action.unavailable ?? "no live worker offers it")} New executions wait in the
            queue if the server accepts them.
          </p>
        </div>
      )}
      <HealthStrip concerns={concernsOf(workers, queues, action.queue)} />
      {changed && (
        <div class="notice" role="status">
          <Icon name="reset" />
          <p>The action changed while this page was open. Values that still fit were kept.</p>
        </div>
      )}
      {start.from.kind !== "nothing" && <Origin from={start.from} />}
      <div class="columns">
        <ActionForm
          key={`${round} ${schemaText}`}
          action={action}
          shape={shape}
          values={changed && now.current !== null ? stillFitting(shape, now.current) : start.values}
          options={{ requested_by: requester(), ...start.options }}
          queues={queues?.map((queue) => queue.name) ?? []}
          onSubmit={submit}
          onWritten={(written) => {
            now.current = written.value;
          }}
          onPreset={usePreset}
          {...(start.from.kind === "nothing" ? {} : { onForget: forget })}
        />
        <RecentExecutions action={action.name} />
      </div>
    </>
  );
}

/** The note that says where the values of the form come from. */
function Origin({ from }: { from: InitialValues["from"] }) {
  const secrets = "secrets" in from && from.secrets ? " Enter the secrets again." : "";
  return (
    <p class="from-note">
      {from.kind === "memory" && "Filled in with your last values."}
      {from.kind === "link" && `Filled in from a link.${secrets}`}
      {from.kind === "preset" && (
        <>
          Filled in from preset <b>{from.name}</b>.{secrets}
        </>
      )}
      {from.kind === "execution" && (
        <>
          Copied from{" "}
          <a class="mono" href={href(`/executions/${encodeURIComponent(from.name)}`)}>
            {shortId(from.name)}
          </a>
          .{secrets}
        </>
      )}
    </p>
  );
}

/** Returns the parameters of a JSON text that fit the action, or null if there are none. */
function fitting(shape: Shape, text: string): JsonObject | null {
  try {
    const values = parseJson(text);
    return isObject(values) ? stillFitting(shape, values) : null;
  } catch {
    return null;
  }
}

function hasSecrets(shape: Shape): boolean {
  return (
    shape.kind === "password" ||
    [...shape.fields.map((field) => field.shape), ...shape.prefix, ...shape.members].some(
      hasSecrets,
    ) ||
    (shape.items !== null && hasSecrets(shape.items)) ||
    (shape.extra !== null && hasSecrets(shape.extra))
  );
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
}

function initialValues(
  action: ActionView,
  shape: Shape,
  source: LoadedProps["source"],
  linked: string | null,
): InitialValues {
  if (source !== null) {
    const { view, id } = source;
    const values = isObject(view.parameters) ? view.parameters : {};
    // Secrets arrive as `***`, which the form leaves out.
    const secrets = JSON.stringify(values).includes('"***"');
    return {
      values,
      options: optionsOf(view, action),
      from: { kind: "execution", name: id, secrets },
    };
  }
  const values = linked === null ? null : fitting(shape, linked);
  if (values !== null)
    return {
      values,
      options: {},
      from: { kind: "link", name: "", secrets: hasSecrets(shape) },
    };
  const remembered = recall(memoryKey(action.name));
  if (remembered !== null) {
    const kept = fitting(shape, remembered);
    if (kept === null) remember(memoryKey(action.name), null);
    else if (Object.keys(kept).length > 0)
      return { values: kept, options: {}, from: { kind: "memory" } };
  }
  return NOTHING;
}

/**
 * Returns the options of an execution that differ from those of its action. The idempotency key is
 * left out, because it would return the same execution.
 */
function optionsOf(view: ExecutionView, action: ActionView): Partial<OptionTexts> {
  const options: Partial<OptionTexts> = {};
  if (view.queue !== action.queue) options.queue = view.queue;
  if (Number(view.priority) !== Number(action.priority)) options.priority = String(view.priority);
  if (view.timeout !== null && Number(view.timeout) !== Number(action.timeout ?? NaN))
    options.timeout = String(Number(view.timeout));
  if (Number(view.retries) !== Number(action.retries)) options.retries = String(view.retries);
  return options;
}
