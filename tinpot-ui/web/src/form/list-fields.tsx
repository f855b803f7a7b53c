// The fields of a list.
import { Button } from "../ui";
import { type FieldProps, FieldView } from "./field";
import { focusSoon, idOf, useForm } from "./form-context";
import { type Item, isBlank, item, UNSET } from "./value-tree";

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
  /** Adds an item, where typing continues. */
  const insert = (at: number): void => {
    set([...items.slice(0, at), item(UNSET), ...items.slice(at)]);
    focusSoon(idOf(form.prefix, `${path}[${at}]`));
  };
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
          onEnter={() => {
            if (isBlank(one.node)) return true;
            if (!full) insert(at + 1);
            return !full;
          }}
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
          onClick={() => insert(items.length)}
        >
          Add item
        </Button>
        {items.length === 0 && <span class="faint">Empty</span>}
      </div>
    </div>
  );
}
