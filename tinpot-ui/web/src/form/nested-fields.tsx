// Fields that contain fields: objects, tuples and unions.
import { Button } from "../ui";
import { type FieldProps, FieldView } from "./field";
import { focusSoon, idOf, useForm } from "./form-context";
import type { Shape } from "./shape";
import { isBlank, item, join, type Node, UNSET } from "./value-tree";

type ObjectNode = Extract<Node, { kind: "object" }>;

interface ObjectProps {
  shape: Shape;
  node: ObjectNode;
  path: string;
  onChange: (node: Node) => void;
}

const ANY_SCHEMA = {};

/** The fields of an object, and rows of name and value for its other entries. */
export function ObjectFields({ shape, node, path, onChange }: ObjectProps) {
  const form = useForm();
  const rows = (next: ObjectNode["rows"]): void => onChange({ ...node, rows: next });
  const names = shape.schema.propertyNames?.enum as string[] | undefined;
  const rowShape: Shape = shape.extra ?? {
    ...shape,
    kind: "any",
    schema: ANY_SCHEMA,
    nullable: false,
    label: "any JSON",
    hasDefault: false,
    fields: [],
  };
  const addId = idOf(form.prefix, `${path} names`);
  const addRow = (): void => {
    rows([...node.rows, { ...item(UNSET), name: "" }]);
    requestAnimationFrame(() =>
      document
        .getElementById(addId)
        ?.querySelector<HTMLElement>(`[aria-label="Name ${node.rows.length + 1}"]`)
        ?.focus(),
    );
  };
  return (
    <div class="fields" id={addId}>
      {shape.fields.map((field) => (
        <FieldView
          key={field.name}
          name={field.name}
          shape={field.shape}
          node={node.fields[field.name] ?? UNSET}
          required={field.required}
          path={join(path, field.name)}
          onChange={(next) => onChange({ ...node, fields: { ...node.fields, [field.name]: next } })}
        />
      ))}
      {node.rows.map((row, at) => {
        const rename = (name: string): void => {
          form.touched(path);
          rows(node.rows.map((one) => (one.id === row.id ? { ...one, name } : one)));
        };
        return (
          <FieldView
            key={row.id}
            spoken={row.name}
            name={
              names !== undefined && shape.extra !== null ? (
                <select
                  aria-label={`Name ${at + 1}`}
                  value={row.name}
                  onChange={(event) => rename(event.currentTarget.value)}
                >
                  {!names.includes(row.name) && (
                    <option value={row.name}>{row.name === "" ? "Choose…" : row.name}</option>
                  )}
                  {names.map((name) => (
                    <option key={name} value={name}>
                      {name}
                    </option>
                  ))}
                </select>
              ) : (
                <input
                  aria-label={`Name ${at + 1}`}
                  class="name-control"
                  placeholder="name"
                  value={row.name}
                  spellcheck={false}
                  disabled={shape.extra === null}
                  onInput={(event) => rename(event.currentTarget.value)}
                  onKeyDown={(event) => {
                    if (event.key !== "Enter" || event.isComposing) return;
                    event.preventDefault();
                    focusSoon(idOf(form.prefix, join(path, row.name)));
                  }}
                />
              )
            }
            shape={rowShape}
            node={row.node}
            required
            path={join(path, row.name)}
            onEnter={() => {
              if (shape.extra === null) return false;
              if (!isBlank(row.node) && at === node.rows.length - 1) addRow();
              return true;
            }}
            tools={
              <Button
                class="small"
                look="quiet"
                icon="close"
                aria-label={`Remove ${row.name || `name ${at + 1}`}`}
                onClick={() => {
                  form.touched(path);
                  rows(node.rows.filter((one) => one.id !== row.id));
                }}
              />
            }
            onChange={(next) =>
              rows(node.rows.map((one) => (one.id === row.id ? { ...one, node: next } : one)))
            }
          />
        );
      })}
      {shape.extra !== null && (
        <div class="add-row">
          <Button class="small" icon="plus" disabled={form.disabled} onClick={addRow}>
            Add entry
          </Button>
          {node.rows.length === 0 && shape.fields.length === 0 && path !== "" && (
            <span class="faint">Empty</span>
          )}
        </div>
      )}
    </div>
  );
}

/** The fields of a tuple, each with a type of its own. */
export function TupleFields({ shape, node, path, onChange }: FieldProps) {
  const items = node.kind === "list" ? node.items : [];
  const least = shape.schema.minItems ?? shape.prefix.length;
  return (
    <div class="fields tuple">
      {shape.prefix.map((inner, at) => (
        <FieldView
          key={at}
          name={inner.schema.title ?? String(at + 1)}
          shape={inner}
          node={items[at]?.node ?? UNSET}
          required={at < least}
          path={`${path}[${at}]`}
          onChange={(next) =>
            onChange({
              kind: "list",
              items: shape.prefix.map((_, place) =>
                place === at
                  ? { ...(items[at] ?? item(UNSET)), node: next }
                  : (items[place] ?? item(UNSET)),
              ),
            })
          }
        />
      ))}
    </div>
  );
}

/** A union: selects the type, then shows its field. Another type discards the value. */
export function MemberFields({ shape, node, required, path, onEnter, onChange }: FieldProps) {
  const form = useForm();
  const index = node.kind === "member" ? node.index : -1;
  const member = shape.members[index];
  const id = idOf(form.prefix, path);
  return (
    <div class="member">
      <select
        id={member === undefined ? id : `${id}-kind`}
        aria-label="Type of value"
        disabled={form.disabled}
        value={String(index)}
        onChange={(event) => {
          const chosen = Number(event.currentTarget.value);
          onChange(chosen < 0 ? UNSET : { kind: "member", index: chosen, node: UNSET });
        }}
      >
        {(index < 0 || (!required && !shape.hasDefault)) && (
          <option value="-1">
            {shape.hasDefault && shape.default === null
              ? "No value"
              : required
                ? "Choose…"
                : "Not set"}
          </option>
        )}
        {shape.members.map((one, at) => (
          <option key={at} value={String(at)}>
            {one.label}
          </option>
        ))}
      </select>
      {member !== undefined && node.kind === "member" && (
        <FieldView
          name=""
          spoken="value"
          key={index}
          shape={{ ...member, nullable: false }}
          node={node.node}
          required
          path={path}
          onEnter={onEnter}
          onChange={(next) => onChange({ kind: "member", index, node: next })}
        />
      )}
    </div>
  );
}
