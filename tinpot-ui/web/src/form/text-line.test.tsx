import { createEvent, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { useState } from "preact/hooks";
import { expect, test } from "vitest";
import type { Schema } from "../api/types";
import { FieldView } from "./field";
import { shapeOf } from "./shape";
import { writeForm } from "./submission";
import { fromJson, type Node } from "./value-tree";

let value: unknown;

function Fields({ properties, first }: { properties: Record<string, Schema>; first: object }) {
  const shape = shapeOf({ type: "object", properties, additionalProperties: false });
  const [node, setNode] = useState<Node>(() => fromJson(shape, { ...first }));
  value = { ...writeForm(shape, node).value };
  if (node.kind !== "object") return null;
  return (
    <>
      {shape.fields.map((field) => (
        <FieldView
          key={field.name}
          name={field.name}
          shape={field.shape}
          node={node.fields[field.name] ?? { kind: "unset" }}
          required={false}
          path={field.name}
          onChange={(next) => setNode({ ...node, fields: { ...node.fields, [field.name]: next } })}
        />
      ))}
    </>
  );
}

const show = (properties: Record<string, Schema>, first: object = {}): void =>
  void render(<Fields properties={properties} first={first} />);
const control = (label: RegExp) => screen.getByLabelText<HTMLInputElement>(label);
const STRING: Schema = { type: "string" };

/** Presses Enter. Returns true if the browser would submit the form. */
function enter(element: HTMLElement, init: KeyboardEventInit = {}): boolean {
  const event = createEvent.keyDown(element, { key: "Enter", ...init });
  fireEvent(element, event);
  return element instanceof HTMLInputElement && !event.defaultPrevented;
}

test.each<[string, Schema]>([
  ["text", STRING],
  ["a nullable text", { type: ["string", "null"], default: null }],
  ["a secret", { type: "string", format: "password", writeOnly: true }],
  ["bytes", { type: "string", format: "binary", contentEncoding: "base64" }],
  ["any JSON", {}],
  ["a path", { type: "string", format: "path" }],
  ["a number", { type: "number" }],
])("Enter in %s submits the form", (_, schema) => {
  show({ x: schema });
  expect(enter(control(/^x/))).toBe(true);
});

test("Shift+Enter begins a second line at the caret, and Enter then adds a line", async () => {
  show({ x: STRING }, { x: "ab" });
  control(/^x/).setSelectionRange(1, 1);
  expect(enter(control(/^x/), { shiftKey: true })).toBe(false);
  await waitFor(() => expect(control(/^x/).tagName).toBe("TEXTAREA"));
  expect(value).toEqual({ x: "a\nb" });
  expect(document.activeElement).toBe(control(/^x/));
  expect(control(/^x/).selectionStart).toBe(2);
  expect(enter(control(/^x/))).toBe(false);
});

test("a pasted text keeps its lines, and a pasted line stays one line", async () => {
  const paste = (text: string): boolean => {
    const event = createEvent.paste(control(/^x/), {
      clipboardData: { getData: () => text },
    });
    fireEvent(control(/^x/), event);
    return event.defaultPrevented;
  };
  show({ x: STRING });
  expect(paste("one line\n")).toBe(false);
  expect(control(/^x/).tagName).toBe("INPUT");
  expect(paste("one\r\ntwo")).toBe(true);
  await waitFor(() => expect(value).toEqual({ x: "one\ntwo" }));
});

test("Enter in an item of a list adds the next item, but no second empty one", async () => {
  show({ x: { type: "array", items: STRING, maxItems: 3 } }, { x: ["a", "b"] });
  expect(enter(control(/^1/))).toBe(false);
  await waitFor(() => expect(document.activeElement).toBe(control(/^2/)));
  expect(control(/^2/).value).toBe("");
  expect(enter(control(/^2/))).toBe(false);
  expect(screen.queryByLabelText(/^4/)).toBeNull();
  fireEvent.input(control(/^2/), { target: { value: "new" } });
  expect(value).toEqual({ x: ["a", "new", "b"] });
  // A full list has no room, so Enter submits.
  expect(enter(control(/^3/))).toBe(true);
});

test("Enter in a map goes from the name to the value, and from there to the next entry", async () => {
  show({ x: { type: "object", additionalProperties: STRING } }, { x: { HOME: "/root" } });
  expect(enter(control(/^Name 1/))).toBe(false);
  await waitFor(() => expect(document.activeElement?.id).toBe("form-x_2eHOME"));
  expect(enter(document.activeElement as HTMLElement)).toBe(false);
  await waitFor(() => expect(document.activeElement).toBe(control(/^Name 2/)));
});
