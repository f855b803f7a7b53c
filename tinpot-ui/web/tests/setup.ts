import { cleanup } from "@testing-library/preact";
import { afterEach } from "vitest";

// jsdom has no layout, so scrolling does nothing.
window.scrollTo = () => undefined;
Element.prototype.scrollIntoView = () => undefined;

afterEach(() => {
  cleanup();
  window.localStorage.clear();
});
