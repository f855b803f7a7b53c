import { fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { expect, test, vi } from "vitest";
import { Dialog } from "./dialog";

test("a dialog traps the focus and restores it", async () => {
  document.body.insertAdjacentHTML("beforeend", '<button id="before">x</button>');
  const before = document.getElementById("before") as HTMLElement;
  before.focus();
  const onClose = vi.fn();
  const dialog = render(
    <Dialog title="Sure?" onClose={onClose}>
      <button type="button">one</button>
      <button type="button">two</button>
    </Dialog>,
  );
  const [one, two] = [screen.getByText("one"), screen.getByText("two")];
  expect(document.activeElement).toBe(one);
  two.focus();
  fireEvent.keyDown(two, { key: "Tab" });
  expect(document.activeElement).toBe(one);
  fireEvent.keyDown(one, { key: "Tab", shiftKey: true });
  expect(document.activeElement).toBe(two);
  fireEvent.keyDown(two, { key: "Escape" });
  expect(onClose).toHaveBeenCalledTimes(1);
  dialog.unmount();
  await waitFor(() => expect(document.activeElement).toBe(before));
  before.remove();
});
