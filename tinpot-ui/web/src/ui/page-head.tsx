import type { ComponentChildren } from "preact";

interface PageHeadProps {
  title: ComponentChildren;
  sub?: ComponentChildren;
  children?: ComponentChildren;
}

/** The heading of a page, with its controls on the right. */
export function PageHead({ title, sub, children }: PageHeadProps) {
  return (
    <header class="page-head">
      <div>
        <h1>{title}</h1>
        {sub !== undefined && <p>{sub}</p>}
      </div>
      {children !== undefined && <div class="page-actions">{children}</div>}
    </header>
  );
}
