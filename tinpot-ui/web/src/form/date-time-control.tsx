import { useState } from "preact/hooks";
import { AnyInput, type ControlProps, common } from "./control-props";
import { formatProblem, offsetAt } from "./formats";

/** A date and time, with a choice of the zone. */
export function DateTimeControl(props: ControlProps) {
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
