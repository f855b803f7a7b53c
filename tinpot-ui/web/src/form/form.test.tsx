import { fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { expect, test, vi } from "vitest";
import { ApiError } from "../api/transport";
import type { ActionView, Schema } from "../api/types";
import type { JsonObject } from "../json/lossless-json";
import { ActionForm, type Submission } from "./form";
import type { OptionTexts } from "./options";
import { shapeOf } from "./shape";

function action(schema: Schema): ActionView {
  return {
    name: "backup",
    group: "",
    description: "",
    queue: "default",
    schema,
    available: true,
    unavailable: null,
    parameters: {},
    result_schema: null,
    priority: 0,
    timeout: null,
    retries: 0,
    concurrency: null,
  };
}

interface Shown {
  sent: string[];
  refuse: (error: unknown) => void;
}

function show(
  properties: Record<string, Schema>,
  required: string[] = [],
  values: JsonObject = {},
  options: Partial<OptionTexts> = {},
): Shown {
  const schema: Schema = { type: "object", properties, required, additionalProperties: false };
  let failure: unknown = null;
  const sent: string[] = [];
  const onSubmit = async ({ body }: Submission): Promise<void> => {
    sent.push(body);
    if (failure !== null) throw failure;
  };
  render(
    <ActionForm
      action={action(schema)}
      shape={shapeOf(schema)}
      values={values}
      options={options}
      queues={["default"]}
      onSubmit={onSubmit}
    />,
  );
  return {
    sent,
    refuse: (error) => {
      failure = error;
    },
  };
}

const run = (): void => void fireEvent.submit(document.querySelector("form") as HTMLFormElement);
const type = (label: RegExp | string, text: string): void =>
  void fireEvent.input(screen.getByLabelText(label), { target: { value: text } });
/** Opens the menu of a field and selects a command. */
const choice = (name: string, label: string): void => {
  fireEvent.click(screen.getByRole("button", { name: `More for ${name}` }));
  fireEvent.click(screen.getByRole("menuitem", { name: label }));
};
const choose = (label: RegExp | string, value: string): void =>
  void fireEvent.change(screen.getByLabelText(label), { target: { value } });

test("an untouched form sends no values and shows the defaults", async () => {
  const { sent } = show({
    days: { type: "integer", default: 7 },
    loud: { type: "boolean", default: true },
    kind: { type: "string", enum: ["a", "b"], default: "b" },
    hosts: { type: "array", items: { type: "string" }, default: ["x"] },
  });
  expect(screen.getByLabelText<HTMLInputElement>(/^days/).value).toBe("7");
  expect(screen.getByLabelText<HTMLInputElement>(/^loud/).checked).toBe(true);
  expect(screen.getByLabelText<HTMLSelectElement>(/^kind/).selectedOptions[0]?.text).toBe(
    "b (default)",
  );
  expect(screen.getByLabelText<HTMLInputElement>(/^1/).value).toBe("x");
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{}}']));
});

test("typed values are sent with their types", async () => {
  const { sent } = show(
    {
      host: { type: "string" },
      days: { type: "integer" },
      loud: { type: "boolean" },
      level: { type: "integer", enum: [1, 2], "x-enum-names": ["LOW", "HIGH"] },
    },
    ["host", "days", "loud", "level"],
  );
  type(/^host/, "alpha");
  type(/^days/, "9007199254740993");
  choose(/^loud/, "false");
  choose(/^level/, "1");
  run();
  await waitFor(() =>
    expect(sent).toEqual([
      '{"parameters":{"host":"alpha","days":9007199254740993,"loud":false,"level":2}}',
    ]),
  );
});

test("missing values are errors only once the form is submitted, and nothing is sent", () => {
  const { sent } = show({ host: { type: "string" }, days: { type: "integer" } }, ["host", "days"]);
  expect(screen.queryByText("Required")).toBeNull();
  run();
  expect(screen.getAllByText("Required").length).toBe(2);
  expect(screen.getByLabelText(/^host/).getAttribute("aria-invalid")).toBe("true");
  expect(sent).toEqual([]);
});

test("a chosen empty text is sent", async () => {
  const { sent } = show({ host: { type: "string" } }, ["host"]);
  choice("host", "Empty text");
  expect(screen.getByText("Sends empty text")).toBeTruthy();
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{"host":""}}']));
});

test("a field is reset to its default, and then not sent", async () => {
  const { sent } = show({ days: { type: "integer", default: 7 } });
  type(/^days/, "");
  expect(screen.getByText("Not sent: the default 7 applies")).toBeTruthy();
  fireEvent.click(screen.getByLabelText("Reset days to its default"));
  expect(screen.getByLabelText<HTMLInputElement>(/^days/).value).toBe("7");
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{}}']));
});

test("a separate control selects no value", async () => {
  const { sent } = show({ limit: { type: ["integer", "null"], default: 7 } });
  choice("limit", "No value");
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{"limit":null}}']));
});

test("items of a list are added, moved and removed", async () => {
  const { sent } = show({ hosts: { type: "array", items: { type: "string" } } }, [], {
    hosts: ["a", "b"],
  });
  fireEvent.click(screen.getByText("Add item"));
  type(/^3/, "c");
  fireEvent.click(screen.getByLabelText("Move item 3 up"));
  fireEvent.click(screen.getByLabelText("Remove item 1"));
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{"hosts":["c","b"]}}']));
});

test("an optional object has a switch, and is not sent when it is off", async () => {
  const { sent } = show({
    limits: {
      type: "object",
      title: "Limits",
      properties: { cpu: { type: "number", default: 1 }, memory: { type: "integer" } },
      required: ["memory"],
      additionalProperties: false,
    },
  });
  expect(screen.queryByLabelText(/^memory/)).toBeNull();
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{}}']));
  fireEvent.click(screen.getByLabelText(/^limits/));
  type(/^memory/, "512");
  run();
  await waitFor(() => expect(sent[1]).toBe('{"parameters":{"limits":{"memory":512}}}'));
});

test("a union selects a type, then shows its field; another type discards the value", async () => {
  const { sent } = show(
    {
      target: {
        anyOf: [
          {
            type: "object",
            title: "Host",
            properties: { name: { type: "string" } },
            required: ["name"],
            additionalProperties: false,
          },
          { type: "array", items: { type: "string" } },
        ],
      },
    },
    ["target"],
  );
  choose("Type of value", "0");
  type(/^name/, "alpha");
  choose("Type of value", "1");
  fireEvent.click(screen.getByText("Add item"));
  type(/^1/, "beta");
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{"target":["beta"]}}']));
});

test("entries of an open object are sent", async () => {
  const { sent } = show({ env: { type: "object", additionalProperties: { type: "string" } } });
  fireEvent.click(screen.getByText("Add entry"));
  fireEvent.input(screen.getByLabelText("Name 1"), { target: { value: "HOME" } });
  fireEvent.input(document.querySelector(".text-line") as HTMLInputElement, {
    target: { value: "/root" },
  });
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{"env":{"HOME":"/root"}}}']));
});

test("a secret is masked in the form and in JSON, and sent unchanged", async () => {
  const { sent } = show({ password: { type: "string", format: "password", writeOnly: true } }, [
    "password",
  ]);
  expect(screen.getByLabelText<HTMLInputElement>(/^password/).type).toBe("password");
  type(/^password/, "hunter2");
  fireEvent.click(screen.getByRole("tab", { name: "JSON" }));
  expect(screen.getByLabelText<HTMLTextAreaElement>("Parameters as JSON").value).toBe(
    '{\n  "password": "***"\n}',
  );
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{"password":"hunter2"}}']));
});

test("form and JSON never disagree", async () => {
  const { sent } = show({ host: { type: "string" }, days: { type: "integer", default: 7 } }, [
    "host",
  ]);
  type(/^host/, "alpha");
  fireEvent.click(screen.getByRole("tab", { name: "JSON" }));
  const text = screen.getByLabelText<HTMLTextAreaElement>("Parameters as JSON");
  expect(text.value).toBe('{\n  "host": "alpha"\n}');
  fireEvent.input(text, { target: { value: '{"host":"beta","days":' } });
  expect(screen.getByRole<HTMLButtonElement>("tab", { name: "Form" }).disabled).toBe(true);
  run();
  expect(sent).toEqual([]);
  fireEvent.input(text, { target: { value: '{"host":"beta","days":3}' } });
  fireEvent.click(screen.getByRole("tab", { name: "Form" }));
  expect(screen.getByLabelText<HTMLTextAreaElement>(/^host/).value).toBe("beta");
  expect(screen.getByLabelText<HTMLInputElement>(/^days/).value).toBe("3");
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{"host":"beta","days":3}}']));
});

test("an error of the server stays at its field until the field changes", async () => {
  const { refuse } = show(
    { host: { type: "string" }, days: { type: "integer", default: 7 } },
    ["host"],
    { host: "a" },
  );
  refuse(new ApiError(422, "host: is not known", [{ path: "host", message: "is not known" }]));
  run();
  const problem = await screen.findByText("is not known");
  expect(problem.closest("[data-path]")?.getAttribute("data-path")).toBe("host");
  expect(screen.getByLabelText(/^host/).getAttribute("aria-describedby")).toContain(problem.id);
  type(/^days/, "3");
  expect(screen.queryByText("is not known")).toBeTruthy();
  type(/^host/, "b");
  expect(screen.queryByText("is not known")).toBeNull();
});

test("other refusals are shown as they are, and that of an option at the option", async () => {
  const { refuse } = show({});
  refuse(new ApiError(503, "the server shuts down"));
  run();
  expect((await screen.findByRole("alert")).textContent).toContain("the server shuts down");
  refuse(new ApiError(422, "options.queue: must be the name of a queue, not 7"));
  run();
  const problem = await screen.findByText("must be the name of a queue, not 7");
  expect(problem.closest(".option")?.querySelector("label")?.textContent).toBe("Queue");
});

test("a remembered requester gives way to the header of a proxy, and a typed one is an error", async () => {
  const { sent, refuse } = show({}, [], {}, { requested_by: "anna" });
  const collision = new ApiError(
    422,
    "options.requested_by: must be equal to the header X-Requested-By; give only one",
  );
  refuse(collision);
  run();
  await waitFor(() =>
    expect(sent).toEqual([
      '{"parameters":{},"options":{"requested_by":"anna"}}',
      '{"parameters":{}}',
    ]),
  );
  type("Requested by", "ben");
  run();
  expect(await screen.findByText(/must be equal to the header X-Requested-By/)).toBeTruthy();
  expect(sent.length).toBe(3);
});

test("options are sent as numbers and seconds, and blank ones are not sent", async () => {
  const { sent } = show({}, [], {}, { priority: "5" });
  type("Timeout", "1h 30m");
  type("Idempotency key", "k1");
  run();
  await waitFor(() =>
    expect(sent).toEqual([
      '{"parameters":{},"options":{"priority":5,"timeout":5400,"idempotency_key":"k1"}}',
    ]),
  );
  type("Retries", "-1");
  run();
  expect(screen.getByText("must be an integer from 0 to 1000")).toBeTruthy();
  expect(sent.length).toBe(1);
});

test("Ctrl-Enter submits the form, once while a request is in progress", async () => {
  const schema: Schema = { type: "object", properties: {}, additionalProperties: false };
  const onSubmit = vi.fn(() => new Promise<void>(() => undefined));
  render(
    <ActionForm
      action={action(schema)}
      shape={shapeOf(schema)}
      values={{}}
      queues={[]}
      onSubmit={onSubmit}
    />,
  );
  const form = document.querySelector("form") as HTMLFormElement;
  fireEvent.keyDown(form, { key: "Enter", ctrlKey: true });
  await waitFor(() =>
    expect(screen.getByRole("button", { name: "Run" }).getAttribute("aria-busy")).toBe("true"),
  );
  fireEvent.keyDown(form, { key: "Enter", ctrlKey: true });
  expect(onSubmit).toHaveBeenCalledTimes(1);
});

test("markup in names and descriptions stays text", () => {
  show({ "<b>x</b>": { type: "string", description: "<img src=x onerror=alert(1)>" } });
  expect(document.querySelector("img, b")).toBeNull();
  expect(screen.getByText("<img src=x onerror=alert(1)>")).toBeTruthy();
});

test("typing into sixty parameters has no delay", () => {
  show(
    Object.fromEntries(
      Array.from({ length: 60 }, (_, at) => [`p${at}`, { type: "string", default: "x" }]),
    ),
  );
  const field = screen.getByLabelText(/^p59/);
  const began = performance.now();
  for (let at = 0; at < 20; at += 1) fireEvent.input(field, { target: { value: "y".repeat(at) } });
  // A browser is ten times faster than jsdom; seconds would be a fault.
  expect((performance.now() - began) / 20).toBeLessThan(150);
});
