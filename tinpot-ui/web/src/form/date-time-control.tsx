import { useState } from "preact/hooks";
import { type ControlProps, common } from "./control-props";
import { formatProblem, offsetAt } from "./formats";
import { MomentInput } from "./moment-input";

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
  return (
    <span class="moment-control">
      <MomentInput
        attributes={common(props)}
        value={text}
        onInput={(next) => onChange({ kind: "moment", text: next, zoned })}
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
