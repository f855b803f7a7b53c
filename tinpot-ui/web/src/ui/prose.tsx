const MARKED = /(``[^`]+``|`[^`\n]+`|\*\*[^*\n]+\*\*)/;

/** A description from a docstring: `code` and **bold** are shown as such, all else is text. */
export function Prose({ text }: { text: string }) {
  return (
    <>
      {text.split(MARKED).map((part, at) => {
        if (at % 2 === 0) return part;
        return part.startsWith("`") ? (
          <code key={at}>{part.replace(/^`+|`+$/g, "")}</code>
        ) : (
          <strong key={at}>{part.slice(2, -2)}</strong>
        );
      })}
    </>
  );
}
