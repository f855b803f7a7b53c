// Parts of the UI that most visits do not need: their code is loaded when they are shown.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { hub } from "../stream";
import { ErrorBox, Loading } from "../ui";

/** Returns a component whose code is loaded when it is first shown. Until then it has `rows`. */
export function lazy<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
  rows = 3,
): ComponentType<Props> {
  let loaded: ComponentType<Props> | null = null;
  return (props) => {
    const [Part, setPart] = useState(() => loaded);
    const [problem, setProblem] = useState<string | null>(null);
    useEffect(() => {
      if (loaded !== null) return;
      if (hub.outdated.peek()) {
        // The code of another version does not fit the code of this page.
        setProblem("The server was updated: reload the page.");
        return;
      }
      load().then(
        (component) => {
          loaded = component;
          setPart(() => component);
        },
        () => setProblem("The server did not respond. Check that it is running, then reload."),
      );
    }, []);
    if (problem !== null)
      return (
        <ErrorBox
          title="Part of the page is missing"
          error={problem}
          retry={() => window.location.reload()}
        />
      );
    if (Part !== null) return <Part {...props} />;
    return rows === 0 ? null : <Loading rows={rows} />;
  };
}
