import { useState } from "preact/hooks";
import { Icon } from "../ui";
import {
  ENTRIES_STEP,
  entriesOf,
  isBranch,
  isOpenAtFirst,
  kindOf,
  leafText,
  sizeOf,
  summaryOf,
  TEXT_STEP,
} from "./json-nodes";
import "./json-tree.css";

/** A JSON value as a tree. Branches render once they are opened, and long ones in steps. */
export function JsonTree({ value, label }: { value: unknown; label: string }) {
  return (
    <div class="tree" role="group" aria-label={label}>
      <ul>
        <Node name={null} value={value} depth={0} />
      </ul>
    </div>
  );
}

interface NodeProps {
  name: string | null;
  value: unknown;
  depth: number;
}

function Node({ name, value, depth }: NodeProps) {
  return isBranch(value) ? (
    <Branch name={name} value={value} depth={depth} />
  ) : (
    <Leaf name={name} value={value} depth={depth} />
  );
}

function Branch({ name, value, depth }: NodeProps & { value: object }) {
  const [open, setOpen] = useState(() => isOpenAtFirst(value, depth));
  const [limit, setLimit] = useState(ENTRIES_STEP);
  const size = sizeOf(value);
  return (
    <li>
      <button
        type="button"
        class="tree-fold"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        disabled={size === 0}
      >
        <Icon name="right" />
        <span>
          {name !== null && <span class="tree-name">{name}</span>}
          <span class="tree-summary">
            {open && size > 0
              ? Array.isArray(value)
                ? `[${size}]`
                : `{${size}}`
              : summaryOf(value)}
          </span>
        </span>
      </button>
      {open && size > 0 && (
        <ul>
          {entriesOf(value, limit).map(([key, entry]) => (
            <Node key={key} name={key} value={entry} depth={depth + 1} />
          ))}
          {size > limit && (
            <li>
              <button
                type="button"
                class="tree-more"
                onClick={() => setLimit(limit + ENTRIES_STEP * 5)}
              >
                {(size - limit).toLocaleString("en")} more
              </button>
            </li>
          )}
        </ul>
      )}
    </li>
  );
}

function Leaf({ name, value }: NodeProps) {
  const [limit, setLimit] = useState(TEXT_STEP);
  const text = leafText(value);
  return (
    <li class="tree-leaf">
      {name !== null && <span class="tree-name">{name}</span>}
      <span class={`tree-${kindOf(value)}`}>
        {text.length > limit ? text.slice(0, limit) : text}
      </span>
      {text.length > limit && (
        <>
          {"… "}
          <button type="button" class="tree-more" onClick={() => setLimit(limit * 10)}>
            {(text.length - limit).toLocaleString("en")} more characters
          </button>
        </>
      )}
    </li>
  );
}
