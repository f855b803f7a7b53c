import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { type Block, type Inline, parseMarkdown } from "./markdown";

/** The summary that an action has written, as Markdown. */
export function Summary({ markdown }: { markdown: string }) {
  const blocks = useMemo(() => parseMarkdown(markdown), [markdown]);
  return <div class="summary-text">{blocks.map(block)}</div>;
}

function inline(parts: readonly Inline[]): ComponentChildren {
  return parts.map(inlinePart);
}

function inlinePart(part: Inline, key: number): ComponentChildren {
  switch (part.kind) {
    case "text":
      return part.text;
    case "code":
      return <code key={key}>{part.text}</code>;
    case "strong":
      return <strong key={key}>{inline(part.inner)}</strong>;
    case "emphasis":
      return <em key={key}>{inline(part.inner)}</em>;
    case "strike":
      return <s key={key}>{inline(part.inner)}</s>;
    case "break":
      return <br key={key} />;
    case "link":
      return (
        <a key={key} href={part.href} target="_blank" rel="noopener noreferrer nofollow">
          {inline(part.inner)}
        </a>
      );
  }
}

function block(value: Block, key: number): ComponentChildren {
  switch (value.kind) {
    case "heading": {
      // The headings of the page have the levels above.
      const Tag = `h${Math.min(6, value.level + 2)}` as "h3";
      return <Tag key={key}>{inline(value.inner)}</Tag>;
    }
    case "paragraph":
      return <p key={key}>{inline(value.inner)}</p>;
    case "code":
      return (
        <pre key={key} tabIndex={0}>
          <code>{value.text}</code>
        </pre>
      );
    case "rule":
      return <hr key={key} />;
    case "quote":
      return <blockquote key={key}>{value.inner.map(block)}</blockquote>;
    case "list": {
      const items = value.items.map((item, at) => (
        <li key={at} class={item.checked === null ? undefined : "task"}>
          {item.checked !== null && (
            <span role="img" aria-label={item.checked ? "done" : "not done"}>
              {item.checked ? "☑ " : "☐ "}
            </span>
          )}
          {inline(item.inner)}
          {item.nested.map(block)}
        </li>
      ));
      return value.ordered ? (
        <ol key={key} start={value.start}>
          {items}
        </ol>
      ) : (
        <ul key={key}>{items}</ul>
      );
    }
    case "table":
      return (
        <div key={key} class="table-wrap" tabIndex={0} role="region" aria-label="Table">
          <table>
            <thead>
              <tr>
                {value.head.map((cell, at) => (
                  <th key={at} data-align={value.align[at] ?? undefined}>
                    {inline(cell)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {value.rows.map((row, at) => (
                <tr key={at}>
                  {row.map((cell, column) => (
                    <td key={column} data-align={value.align[column] ?? undefined}>
                      {inline(cell)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      );
  }
}
