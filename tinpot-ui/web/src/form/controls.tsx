// The controls of single values.
import type { FunctionComponent } from "preact";
import { useState } from "preact/hooks";
import { sameJson } from "../json/lossless-json";
import { Button } from "../ui";
import { base64OfBytes, base64Size, formatProblem, offsetAt, textOfBase64 } from "./formats";
import type { Shape } from "./shape";
import { bytesOfText, type Node, UNSET } from "./value-tree";

export interface ControlProps {
  shape: Shape;
  /** The node to show: that of the form, or the default. */
  node: Node;
  /** If true, the node is the default, which is not sent. */
  untouched: boolean;
  required: boolean;
  id: string;
  describedBy: string | undefined;
  invalid: boolean;
  disabled: boolean;
  onChange: (node: Node) => void;
}

type Attributes = Record<string, unknown>;

/** An input whose type is known only at run time, which Preact's types do not allow. */
const AnyInput = "input" as unknown as FunctionComponent<
  Attributes & { onInput: (event: { currentTarget: HTMLInputElement }) => void }
>;

function common({ id, describedBy, invalid, disabled, required }: ControlProps): Attributes {
  return {
    id,
    disabled,
    "aria-describedby": describedBy,
    "aria-invalid": invalid || undefined,
    "aria-required": required || undefined,
  };
}

/** Returns the placeholder of an empty control, which says what is sent for it. */
function placeholder({ shape, required }: ControlProps): string {
  if (shape.kind === "password") return "";
  if (shape.hasDefault) return shape.default === null ? "no value" : "default";
  const example = shape.schema.examples?.[0];
  if (typeof example === "string" || typeof example === "number") return `e.g. ${example}`;
  if (shape.kind === "duration") return "1h 30m";
  if (shape.kind === "uuid") return "00000000-0000-0000-0000-000000000000";
  return required ? "" : "not set";
}

const textOf = (node: Node): string =>
  node.kind === "text" || node.kind === "raw" || node.kind === "moment" ? node.text : "";

export function Control(props: ControlProps) {
  if (props.node.kind === "raw" || props.shape.kind === "any") return <RawControl {...props} />;
  switch (props.shape.kind) {
    case "string":
      return <TextControl {...props} />;
    case "boolean":
      return <BooleanControl {...props} />;
    case "enum":
      return <EnumControl {...props} />;
    case "date-time":
      return <MomentControl {...props} />;
    case "binary":
      return <BytesControl {...props} />;
    case "null":
      return <span class="faint">no value</span>;
    default:
      return <LineControl {...props} />;
  }
}

/** A control for text, which grows with its lines. */
function TextControl(props: ControlProps) {
  const text = textOf(props.node);
  const rows = Math.min(12, text.split("\n").length);
  return (
    <textarea
      {...common(props)}
      class="text-control"
      rows={rows}
      value={text}
      placeholder={placeholder(props)}
      spellcheck={false}
      onInput={(event) => props.onChange({ kind: "text", text: event.currentTarget.value })}
    />
  );
}

function LineControl(props: ControlProps) {
  const { shape, node } = props;
  const text = textOf(node);
  const native = nativeType(shape, text);
  const numeric = shape.kind === "integer" || shape.kind === "number" || shape.kind === "decimal";
  return (
    <AnyInput
      {...common(props)}
      class={
        numeric
          ? "number-control"
          : native === "date" || native === "time"
            ? "date-control"
            : undefined
      }
      type={native}
      // Seconds are optional.
      step={native === "time" ? "any" : undefined}
      inputMode={
        shape.kind === "integer" && Number(shape.schema.minimum) >= 0
          ? "numeric"
          : numeric
            ? "decimal"
            : undefined
      }
      autocomplete={shape.kind === "password" ? "new-password" : "off"}
      spellcheck={false}
      value={text}
      placeholder={placeholder(props)}
      onInput={(event) => props.onChange({ kind: "text", text: event.currentTarget.value })}
    />
  );
}

/** Returns the native input type, or "text" for a value that the native control cannot show. */
function nativeType(shape: Shape, text: string): "text" | "password" | "date" | "time" {
  if (shape.kind === "password") return "password";
  if (shape.kind === "date" && (text === "" || formatProblem("date", text) === null)) return "date";
  if (shape.kind === "time" && (text === "" || /^\d\d:\d\d(:\d\d(\.\d{1,3})?)?$/.test(text)))
    return "time";
  return "text";
}

/** Returns the text of a select without a choice. */
function blankText({ shape, required }: ControlProps): string {
  if (shape.hasDefault && shape.default === null) return "no value (default)";
  return required ? "Choose…" : "not set";
}

function BooleanControl(props: ControlProps) {
  const { shape, node, onChange } = props;
  // A checkbox always shows yes or no, so it needs a default.
  if (!shape.nullable && typeof shape.default === "boolean" && shape.hasDefault) {
    const on = node.kind === "bool" && node.value;
    return (
      <span class="check-control">
        <input
          {...common(props)}
          type="checkbox"
          checked={on}
          onChange={(event) => onChange({ kind: "bool", value: event.currentTarget.checked })}
        />
        <span class="soft" aria-hidden="true">
          {on ? "yes" : "no"}
        </span>
      </span>
    );
  }
  const value =
    props.node.kind === "null" ? "null" : node.kind === "bool" ? String(node.value) : "";
  return (
    <select
      {...common(props)}
      value={value}
      onChange={(event) => {
        const chosen = event.currentTarget.value;
        onChange(
          chosen === ""
            ? UNSET
            : chosen === "null"
              ? { kind: "null" }
              : { kind: "bool", value: chosen === "true" },
        );
      }}
    >
      {(value === "" || !(shape.hasDefault || props.required)) && (
        <option value="">{blankText(props)}</option>
      )}
      <option value="true">yes</option>
      <option value="false">no</option>
      {shape.nullable && <option value="null">no value</option>}
    </select>
  );
}

function EnumControl(props: ControlProps) {
  const { shape, node, onChange } = props;
  const value = node.kind === "null" ? "null" : node.kind === "choice" ? String(node.index) : "";
  const defaultIndex = shape.hasDefault
    ? shape.choices.findIndex((choice) => sameJson(choice.value, shape.default))
    : -1;
  return (
    <select
      {...common(props)}
      value={value}
      onChange={(event) => {
        const chosen = event.currentTarget.value;
        onChange(
          chosen === ""
            ? UNSET
            : chosen === "null"
              ? { kind: "null" }
              : { kind: "choice", index: Number(chosen) },
        );
      }}
    >
      {(value === "" || !(shape.hasDefault || props.required)) && (
        <option value="">{blankText(props)}</option>
      )}
      {shape.choices.map((choice, at) => (
        <option key={at} value={String(at)}>
          {choice.name + (at === defaultIndex ? " (default)" : "")}
        </option>
      ))}
      {shape.nullable && <option value="null">no value</option>}
    </select>
  );
}

function MomentControl(props: ControlProps) {
  const { shape, node, onChange } = props;
  const moment = node.kind === "moment" ? node : null;
  const [zonedNext, setZonedNext] = useState(
    !(
      typeof shape.default === "string" &&
      formatProblem("date-time", shape.default) === null &&
      !/(Z|[+-]\d\d:\d\d)$/.test(shape.default)
    ),
  );
  const zoned = moment?.zoned ?? zonedNext;
  const text = moment?.text ?? "";
  const offset = text === "" ? null : offsetAt(text);
  const native = text === "" || /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?$/.test(text);
  return (
    <span class="moment-control">
      <AnyInput
        {...common(props)}
        class="date-control"
        type={native ? "datetime-local" : "text"}
        step="any"
        value={text}
        onInput={(event) => onChange({ kind: "moment", text: event.currentTarget.value, zoned })}
      />
      <select
        aria-label="Time zone"
        disabled={props.disabled}
        value={zoned ? "zone" : "none"}
        onChange={(event) => {
          const next = event.currentTarget.value === "zone";
          setZonedNext(next);
          if (moment !== null && text !== "") onChange({ kind: "moment", text, zoned: next });
        }}
      >
        <option value="zone">
          {zoneName()}
          {offset === null ? "" : ` (${offset})`}
        </option>
        <option value="none">no time zone</option>
      </select>
    </span>
  );
}

function zoneName(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "your time zone";
}

/** The largest file to read; no server accepts parameters of that size. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

function BytesControl(props: ControlProps) {
  const { node, onChange, id } = props;
  const [problem, setProblem] = useState<string | null>(null);
  const base64 = node.kind === "bytes" ? node.base64 : null;
  const text = base64 === null ? "" : textOfBase64(base64);
  const name = node.kind === "bytes" ? node.name : undefined;
  const take = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    if (file.size > FILE_BYTES_MAX) {
      setProblem(
        `${file.name} is ${Math.round(file.size / 1048576)} MiB: choose a file of at most 16 MiB`,
      );
      return;
    }
    setProblem(null);
    onChange({
      kind: "bytes",
      base64: base64OfBytes(new Uint8Array(await file.arrayBuffer())),
      name: file.name,
    });
  };
  return (
    <span class="bytes-control">
      {text !== null && name === undefined ? (
        <textarea
          {...common(props)}
          class="text-control"
          rows={Math.min(8, text.split("\n").length)}
          value={text}
          placeholder={base64 === null ? "Text, or choose a file" : ""}
          spellcheck={false}
          onInput={(event) => onChange(bytesOfText(event.currentTarget.value))}
        />
      ) : (
        <span id={id} class="tag">
          {name ?? "bytes"} · {base64Size(base64 ?? "").toLocaleString("en")} bytes
        </span>
      )}
      <label class="button small file-button">
        Choose file…
        <input
          type="file"
          class="unseen"
          disabled={props.disabled}
          onChange={(event) => void take(event.currentTarget.files?.[0])}
        />
      </label>
      {base64 !== null && !props.untouched && (
        <Button look="quiet" class="small" onClick={() => onChange(UNSET)}>
          Clear
        </Button>
      )}
      {problem !== null && <span class="error-text">{problem}</span>}
    </span>
  );
}

function RawControl(props: ControlProps) {
  const text = textOf(props.node);
  return (
    <textarea
      {...common(props)}
      class="text-control mono"
      rows={Math.max(1, Math.min(16, text.split("\n").length))}
      value={text}
      placeholder={props.required ? "JSON" : "JSON; not set"}
      spellcheck={false}
      onInput={(event) => {
        const next = event.currentTarget.value;
        props.onChange(next === "" && !props.required ? UNSET : { kind: "raw", text: next });
      }}
    />
  );
}
