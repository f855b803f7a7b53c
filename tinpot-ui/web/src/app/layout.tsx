import { type ComponentChildren, Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { gate } from "../api/gate";
import { identity } from "../identity/identity";
import { YouMenu } from "../identity/you-menu";
import { hub, type StreamState } from "../stream";
import { Button, Icon, type IconName, Key, StaleBanner } from "../ui";
import { href } from "./base-path";
import { Overlays, openPalette } from "./overlays";
import { location } from "./router";
import { administration, pages } from "./sections";
import { setTheme, type Theme, theme } from "./theme";

const STREAM_TEXT: Record<StreamState, [string, string]> = {
  idle: ["Not live", "Nothing on this page changes."],
  connecting: ["Connecting", "Opening the live stream."],
  live: ["Live", "This page updates as things change."],
  stale: ["Disconnected, retrying", "Cannot reach the server. The page may be out of date."],
  denied: ["Signed out", "Sign in to see what changes."],
  closed: ["Not live", "The server offers no live stream. Reload the page to update it."],
};

function StreamBadge() {
  const state = gate.closed.value ? "denied" : hub.state.value;
  const [text, title] = STREAM_TEXT[state];
  return (
    <span class="stream" data-state={state} role="status" title={title}>
      <i aria-hidden="true" />
      {text}
    </span>
  );
}

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const THEME_ICON: Record<Theme, IconName> = { system: "system", light: "sun", dark: "moon" };

function ThemeButton() {
  const current = theme.value;
  return (
    <Button
      look="quiet"
      icon={THEME_ICON[current]}
      aria-label={`Theme: ${current}. Switch to ${NEXT[current]}`}
      onClick={() => setTheme(NEXT[current])}
    />
  );
}

const mac = /Mac|iPhone|iPad/.test(navigator.platform);

/** The frame of every page: header, navigation and overlays. */
export function Layout({ path, children }: { path: string; children: ComponentChildren }) {
  const [menu, setMenu] = useState(false);
  const at = location.value;
  useEffect(() => setMenu(false), [at]);
  useEffect(() => hub.attend(), []);
  const lists = [pages(), administration()].filter((list) => list.length > 0);
  const section = lists
    .flat()
    .filter((one) => path === one.path || path.startsWith(`${one.path}/`))
    .pop();
  const me = identity.signedIn ? identity.me.value : null;
  return (
    <div class="layout" data-menu={menu || undefined}>
      {/* biome-ignore lint/a11y/useValidAnchor: <base> changes the target of the link. */}
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        Skip to content
      </a>
      <header class="top">
        <Button
          look="quiet"
          icon={menu ? "close" : "menu"}
          class="menu-button"
          aria-label="Menu"
          aria-expanded={menu}
          aria-controls="nav"
          onClick={() => setMenu(!menu)}
        />
        <a class="brand" href={href("/")} aria-label="Tinpot">
          <Icon name="actions" />
          <span>Tinpot</span>
        </a>
        <button
          type="button"
          class="palette-button"
          onClick={openPalette}
          aria-label="Search actions, pages and executions"
          aria-keyshortcuts={mac ? "Meta+K" : "Control+K"}
        >
          <Icon name="search" />
          <span>Search or go to…</span>
          <Key>{mac ? "⌘K" : "Ctrl K"}</Key>
        </button>
        <span class="top-end">
          {hub.outdated.value && (
            <Button
              class="reload"
              icon="reset"
              onClick={() => window.location.reload()}
              title="The server was updated after this page was loaded."
            >
              New version: reload
            </Button>
          )}
          {identity.options.value.insecure && (
            <span
              class="open-badge"
              role="img"
              aria-label="Authentication is off"
              title="Authentication is off: every client that reaches this server may do everything."
            >
              <Icon name="warning" />
              <span>Authentication is off</span>
            </span>
          )}
          <StreamBadge />
          <ThemeButton />
          {me !== null && <YouMenu me={me} />}
        </span>
      </header>
      <nav id="nav" class="side" aria-label="Pages">
        {lists.map((list, at) => (
          <Fragment key={at}>
            {at > 0 && <p class="side-head">Administration</p>}
            {list.map((one) => (
              <a
                key={one.path}
                href={href(one.path)}
                aria-current={section === one ? (path === one.path ? "page" : "true") : undefined}
              >
                <Icon name={one.icon} />
                {one.title}
              </a>
            ))}
          </Fragment>
        ))}
        <p class="side-end">
          {hub.server.value !== null && <span>{hub.server.value.version}</span>}
          <span>
            <Key>?</Key> Shortcuts
          </span>
        </p>
      </nav>
      <main id="main" tabIndex={-1} data-stale={hub.state.value === "stale" || undefined}>
        {gate.closed.value && !gate.asking.value && (
          <div class="stale-banner" role="status">
            <Icon name="warning" />
            <span>
              <strong>You are signed out.</strong> This page does not change.
            </span>
            <Button onClick={() => gate.ask()}>Sign in</Button>
          </div>
        )}
        {hub.state.value === "stale" && <StaleBanner since={hub.lastLive.peek()} />}
        {children}
      </main>
      <Overlays />
    </div>
  );
}
