import { useLayoutEffect } from "preact/hooks";
import { href } from "../app/base-path";
import { catalogue } from "../app/catalogue";
import { identity } from "../identity/identity";
import { ErrorBox, Loading, Prose } from "../ui";
import { actionHref, firstLine, RunLink } from "./action-list";
import { NoActions } from "./actions";

const LISTED = 12;

/** The actions to run, in place of empty charts while nothing has run yet. */
export function FirstActions() {
  useLayoutEffect(catalogue.need, []);
  const actions = catalogue.actions.value;
  const error = catalogue.error.value;
  return (
    <section aria-label="Actions">
      <h2 class="section-head">
        {identity.may("run") ? "Run your first action" : "Actions"}
        {actions !== null && actions.length > LISTED && (
          <a href={href("/actions")}>All {actions.length.toLocaleString("en")} actions</a>
        )}
      </h2>
      {actions === null && error === null && <Loading />}
      {actions === null && error !== null && <ErrorBox error={error} retry={catalogue.reload} />}
      {actions?.length === 0 && <NoActions />}
      {actions !== null && actions.length > 0 && (
        <ul class="panel rows first-actions">
          {actions.slice(0, LISTED).map((one) => (
            <li key={one.name}>
              <a href={actionHref(one.name)}>{one.name}</a>
              <span class="soft">
                <Prose text={firstLine(one.description)} />
              </span>
              <RunLink name={one.name} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
