import { cleanup } from "@testing-library/preact";
import { afterEach } from "vitest";

// jsdom has no layout: scrolling is nothing there.
window.scrollTo = () => undefined;
Element.prototype.scrollIntoView = () => undefined;

afterEach(() => {
  cleanup();
  window.localStorage.clear();
});
