import { fireEvent, render, screen } from "@testing-library/preact";
import { beforeEach, expect, test, vi } from "vitest";
import { type Preset, presetsOf, renamePreset, savePreset } from "./presets";
import { PresetsDialog, presetLink } from "./presets-dialog";

beforeEach(() => window.localStorage.clear());

function open(onLoad: (preset: Preset) => void = () => undefined): void {
  render(
    <PresetsDialog
      action="backup"
      values={'{"n":9007199254740993}'}
      onLoad={onLoad}
      onClose={() => undefined}
    />,
  );
}

test("a preset is saved, loaded, renamed, replaced and deleted", () => {
  const onLoad = vi.fn();
  open(onLoad);
  const save = (name: string): void => {
    fireEvent.input(screen.getByLabelText(/^Save the current/), { target: { value: name } });
    fireEvent.submit(screen.getByLabelText(/^Save the current/).closest("form") as HTMLElement);
  };
  save(" nightly ");
  expect(presetsOf("backup")).toEqual([{ name: "nightly", values: '{"n":9007199254740993}' }]);
  expect(presetsOf("other")).toEqual([]);
  fireEvent.click(screen.getByRole("button", { name: "nightly" }));
  expect(onLoad).toHaveBeenCalledWith(presetsOf("backup")[0]);
  fireEvent.click(screen.getByRole("button", { name: "Rename" }));
  fireEvent.input(screen.getByLabelText("New name of nightly"), { target: { value: "weekly" } });
  fireEvent.submit(screen.getByLabelText("New name of nightly").closest("form") as HTMLElement);
  expect(presetsOf("backup").map((one) => one.name)).toEqual(["weekly"]);
  save("weekly");
  expect(presetsOf("backup").length).toBe(1);
  fireEvent.click(screen.getByRole("button", { name: "Delete weekly" }));
  expect(presetsOf("backup")).toEqual([]);
  expect(screen.getByText("No presets yet")).toBeTruthy();
});

test("a name is never lost to another preset, and stored nonsense is no preset", () => {
  savePreset("backup", { name: "a", values: "{}" });
  savePreset("backup", { name: "b", values: "{}" });
  expect(renamePreset("backup", "a", "b")).toContain("choose another name");
  expect(presetsOf("backup").map((one) => one.name)).toEqual(["a", "b"]);
  window.localStorage.setItem("tinpot:/:presets:odd", '[{"name":1}, null, "x"]');
  expect(presetsOf("odd")).toEqual([]);
});

test("storage that is full is reported", () => {
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  expect(savePreset("backup", { name: "a", values: "{}" })).toContain("disabled or full");
});

test("a link has the parameters, unless it would be too long", () => {
  expect(presetLink("a b", '{"n":1}')).toMatch(/\/actions\/a%20b\?values=%7B%22n%22%3A1%7D$/);
  expect(presetLink("a", "x".repeat(5_000))).toBeNull();
});
