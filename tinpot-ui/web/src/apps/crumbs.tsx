import { href } from "../app/base-path";

/** The way back from a page below an app. */
export function AppCrumbs({ app, here }: { app: string; here: string }) {
  return (
    <nav class="breadcrumb" aria-label="Breadcrumb">
      <a href={href("/apps")}>Apps</a>
      <span aria-hidden="true">/</span>
      <a href={href(`/apps/${encodeURIComponent(app)}`)}>{app}</a>
      <span aria-hidden="true">/</span>
      {here}
    </nav>
  );
}
