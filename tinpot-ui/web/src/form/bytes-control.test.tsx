import { fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ActionView, Schema } from "../api/types";
import { ActionForm, type Submission } from "./form";
import { shapeOf } from "./shape";

const REFERENCE = `upload:${"ab".repeat(32)}`;
const SCHEMA: Schema = {
  type: "object",
  additionalProperties: false,
  properties: {
    blob: {
      type: "string",
      format: "binary",
      contentEncoding: "base64",
      minLength: 4000,
      default: "AA==",
    },
  },
};

/** The upload that the form has begun. */
class Upload {
  static last: Upload;
  upload: { onprogress?: (event: { loaded: number }) => void } = {};
  onload?: () => void;
  onabort?: () => void;
  onloadend?: () => void;
  status = 0;
  statusText = "";
  responseText = "";
  asked = "";
  size = 0;

  open(method: string, url: string): void {
    this.asked = `${method} ${new URL(url).pathname}`;
  }
  setRequestHeader(): void {}
  send(body: Blob): void {
    this.size = body.size;
    Upload.last = this;
  }
  abort(): void {
    this.onabort?.();
    this.onloadend?.();
  }
  answer(status: number, body: unknown): void {
    this.status = status;
    this.responseText = JSON.stringify(body);
    this.onload?.();
    this.onloadend?.();
  }
}

beforeEach(() => vi.stubGlobal("XMLHttpRequest", Upload));
afterEach(() => vi.unstubAllGlobals());

function show(): string[] {
  const sent: string[] = [];
  const action = {
    name: "store file",
    group: "",
    description: "",
    queue: "default",
    schema: SCHEMA,
    available: true,
    unavailable: null,
    parameters: {},
    result_schema: null,
    priority: 0,
    timeout: null,
    retries: 0,
    concurrency: null,
  } as ActionView;
  const onSubmit = async ({ body }: Submission): Promise<void> => void sent.push(body);
  render(
    <ActionForm
      action={action}
      shape={shapeOf(SCHEMA)}
      values={{}}
      queues={["default"]}
      onSubmit={onSubmit}
    />,
  );
  return sent;
}

const run = (): void => void fireEvent.submit(document.querySelector("form") as HTMLFormElement);
function chooseFile(bytes: number): void {
  const input = document.querySelector<HTMLInputElement>("input[type=file]") as HTMLInputElement;
  const file = new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" });
  Object.defineProperty(input, "files", { value: [file], configurable: true });
  Object.defineProperty(input, "value", { value: "", writable: true, configurable: true });
  fireEvent.change(input);
}

test("a large file is uploaded, and its reference is submitted", async () => {
  const sent = show();
  chooseFile(1_000_000);
  await screen.findByText(/photo.jpg · 0 % uploaded/);
  expect([Upload.last.asked, Upload.last.size]).toEqual([
    "POST /api/actions/store%20file/uploads",
    1_000_000,
  ]);
  Upload.last.upload.onprogress?.({ loaded: 500_000 });
  await screen.findByText(/50 % uploaded/);
  // The default must not be sent in the place of the file.
  run();
  await screen.findByText("is not uploaded yet");
  expect(sent).toEqual([]);
  Upload.last.answer(201, { upload: REFERENCE });
  await screen.findByText("photo.jpg · 1,000,000 bytes");
  run();
  await waitFor(() => expect(sent).toEqual([`{"parameters":{"blob":"${REFERENCE}"}}`]));
});

test("a refused upload says why, and one that is stopped leaves the field as it was", async () => {
  const sent = show();
  chooseFile(1_000_000);
  await screen.findByText(/0 % uploaded/);
  Upload.last.answer(413, { detail: "upload must have at most 7 bytes" });
  await screen.findByText(/photo.jpg was not uploaded: .*at most 7 bytes/);
  chooseFile(1_000_000);
  fireEvent.click(await screen.findByRole("button", { name: "Stop" }));
  await waitFor(() => expect(screen.queryByText(/uploaded/)).toBeNull());
  run();
  await waitFor(() => expect(sent).toEqual(['{"parameters":{}}']));
});

test("a small file is sent with the submission", async () => {
  const sent = show();
  chooseFile(3_000);
  await screen.findByText("photo.jpg · 3,000 bytes");
  run();
  await waitFor(() => expect(sent[0]).toBe(`{"parameters":{"blob":"${"A".repeat(4_000)}"}}`));
});
