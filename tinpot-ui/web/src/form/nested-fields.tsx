// Fields that contain fields: objects, lists, tuples and unions.
import { Button } from "../ui";
import { type FieldProps, FieldView } from "./field";
import { idOf, useForm } from "./form-context";
import type { Shape } from "./shape";
import { type Item, item, join, type Node, UNSET } from "./value-tree";

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
  return (
    <div class="fields">
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
                />
              )
            }
            shape={rowShape}
            node={row.node}
            required
            path={join(path, row.name)}
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
          <Button
            class="small"
            icon="plus"
            disabled={form.disabled}
            onClick={() => rows([...node.rows, { ...item(UNSET), name: "" }])}
          >
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

/** The items of a list, which can be added, moved and removed. */
export function ListFields({ shape, node, path, onChange }: FieldProps) {
  const form = useForm();
  const items = node.kind === "list" ? node.items : [];
  const inner = shape.items;
  if (inner === null) return null;
  const set = (next: Item[]): void => {
    form.touched(path);
    onChange({ kind: "list", items: next });
  };
  const move = (from: number, to: number): void => {
    const next = [...items];
    const [moved] = next.splice(from, 1);
    if (moved !== undefined) next.splice(to, 0, moved);
    set(next);
  };
  const full = items.length >= (shape.schema.maxItems ?? Infinity);
  return (
    <div class="fields list">
      {items.map((one, at) => (
        <FieldView
          key={one.id}
          name={<span class="index">{at + 1}</span>}
          spoken={`item ${at + 1}`}
          shape={inner}
          node={one.node}
          required
          path={`${path}[${at}]`}
          tools={
            <>
              <Button
                class="small"
                look="quiet"
                icon="up"
                aria-label={`Move item ${at + 1} up`}
                disabled={at === 0}
                onClick={() => move(at, at - 1)}
              />
              <Button
                class="small"
                look="quiet"
                icon="down"
                aria-label={`Move item ${at + 1} down`}
                disabled={at === items.length - 1}
                onClick={() => move(at, at + 1)}
              />
              <Button
                class="small"
                look="quiet"
                icon="close"
                aria-label={`Remove item ${at + 1}`}
                onClick={() => set(items.filter((other) => other !== one))}
              />
            </>
          }
          onChange={(next) =>
            onChange({
              kind: "list",
              items: items.map((other) => (other.id === one.id ? { ...other, node: next } : other)),
            })
          }
        />
      ))}
      <div class="add-row">
        <Button
          class="small"
          icon="plus"
          disabled={full || form.disabled}
          onClick={() => {
            set([...items, item(UNSET)]);
            // Typing continues in the new item.
            requestAnimationFrame(() =>
              document.getElementById(idOf(form.prefix, `${path}[${items.length}]`))?.focus(),
            );
          }}
        >
          Add item
        </Button>
        {items.length === 0 && <span class="faint">Empty</span>}
      </div>
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
export function MemberFields({ shape, node, required, path, onChange }: FieldProps) {
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
          onChange={(next) => onChange({ kind: "member", index, node: next })}
        />
      )}
    </div>
  );
}
