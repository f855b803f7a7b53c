// The versions of an app, the newest first.
import { href } from "../app/base-path";
import { navigate } from "../app/router";
import { identity } from "../identity/identity";
import { Button, formatBytes, Icon, Menu, type MenuItem } from "../ui";
import type { App, Version } from "./api";
import { Made } from "./made";

export const versionPath = (app: string, version: number): string =>
  `/apps/${encodeURIComponent(app)}/versions/${version}`;
export const comparePath = (app: string, from: number, to: number): string =>
  `/apps/${encodeURIComponent(app)}/compare?from=${from}&to=${to}`;

interface Props {
  app: App;
  versions: readonly Version[];
  onActivate: (version: Version) => void;
  /** Shows more of them, if there are more. */
  onMore?: () => void;
}

export function Versions({ app, versions, onActivate, onMore }: Props) {
  const active = app.active_version;
  const commands = (one: Version): MenuItem[] => {
    const { version } = one;
    const other = version === active ? version - 1 : active;
    const items: MenuItem[] = [];
    if (version !== active && identity.may("deploy"))
      items.push({
        label: active !== null && version < active ? "Roll back…" : "Activate…",
        onSelect: () => onActivate(one),
      });
    if (other !== null && other > 0)
      items.push({
        label: `Compare with version ${other}`,
        onSelect: () =>
          navigate(comparePath(app.name, Math.min(other, version), Math.max(other, version))),
      });
    items.push({
      label: "Files and Towerfile",
      onSelect: () => navigate(versionPath(app.name, version)),
    });
    return items;
  };
  return (
    <section class="panel versions" aria-labelledby="versions">
      <header class="versions-head">
        <h2 id="versions">Versions</h2>
        {app.latest_version > 1 && (
          <a
            class="button small"
            href={href(comparePath(app.name, app.latest_version - 1, app.latest_version))}
          >
            <Icon name="compare" /> Compare
          </a>
        )}
      </header>
      <div class="table-wrap">
        <table class="records">
          <thead>
            <tr>
              <th>Version</th>
              <th>Created</th>
              <th>Size</th>
              <th>Runtime</th>
              <th>
                <span class="unseen">Change</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {versions.map((one) => (
              <tr key={one.version}>
                <td class="main-cell nowrap">
                  <a href={href(versionPath(app.name, one.version))}>
                    <strong>{one.version}</strong>
                  </a>
                  {one.version === active && (
                    <span class="status" data-status="succeeded">
                      <i aria-hidden="true" />
                      active
                    </span>
                  )}
                </td>
                <td class="soft" data-label="Created">
                  <Made at={one.created_at} by={one.created_by} />
                </td>
                <td class="soft nowrap" data-label="Size">
                  {formatBytes(one.archive.bytes)}
                </td>
                <td class="soft" data-label="Runtime">
                  {one.runtime}
                </td>
                <td class="right">
                  <Menu label={`Version ${one.version}`} items={commands(one)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {onMore !== undefined && (
        <p class="versions-more">
          <Button onClick={onMore}>Show more</Button>
        </p>
      )}
    </section>
  );
}
