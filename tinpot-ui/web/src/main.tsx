import { render } from "preact";
import { App, preload } from "./app/app";
import { location, startRouter } from "./app/router";
import { startTheme } from "./app/theme";
import { identity, takeTicket } from "./identity/identity";
import { hub } from "./stream";
import "./styles/index.css";

/** The time for which a page waits to know who uses it: it shows only what they may do. */
const KNOWN_MS = 400;

async function start(): Promise<void> {
  // First of all: nothing may see a ticket in the address.
  const ticket = takeTicket();
  startTheme();
  startRouter();
  preload(location.peek().path);
  const known = identity.start(ticket);
  const late = new Promise((done) => setTimeout(done, KNOWN_MS));
  await (ticket === null ? Promise.race([known, late]) : known);
  hub.start();
  hub.onResync(() => void identity.check());
  const root = document.getElementById("app");
  if (root !== null) render(<App />, root);
}

void start();
