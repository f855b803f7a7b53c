import { cleanup } from "@testing-library/preact";
import { afterEach } from "vitest";

// Some tests run without a page.
const hasPage = "window" in globalThis;

if (hasPage) {
  // jsdom has no layout, so scrolling does nothing.
  window.scrollTo = () => undefined;
  Element.prototype.scrollIntoView = () => undefined;
}

afterEach(() => {
  if (!hasPage) return;
  cleanup();
  window.localStorage.clear();
});
