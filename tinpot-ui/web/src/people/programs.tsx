// Programs: the service accounts of a team, with their tokens and grants.
import { useState } from "preact/hooks";
import { href } from "../app/base-path";
import { navigate } from "../app/router";
import { useTitle } from "../app/use-title";
import { Entry } from "../identity/entry";
import { identity } from "../identity/identity";
import { useResource } from "../stream";
import { Button, count, Empty, ErrorBox, Loading, Menu, PageHead, Time } from "../ui";
import { AddGrant } from "./add-grant";
import { type Grant, type Program, people, type Role } from "./api";
import { AskFirst, FormDialog } from "./ask";
import { GrantTable, limitsOf } from "./grant-table";
import { NotAllowed, RoleSelect } from "./members";
import { Tokens } from "./tokens";

const pathOf = (id: string): string => `/programs/${encodeURIComponent(id)}`;

export function ProgramsPage() {
  useTitle("Programs");
  const list = useResource("programs", (signal) => people.programs(signal));
  const tokens = useResource("all tokens", (signal) => people.tokens(true, signal));
  const grants = useResource("grants", (signal) => people.grants(signal));
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<Program | null>(null);
  const programs = list.data?.programs;
  const error = list.error ?? tokens.error ?? grants.error;
  const reload = (): void => {
    setAdding(false);
    setRemoving(null);
    for (const one of [list, tokens, grants]) one.reload();
  };
  const sub = programs === undefined ? undefined : count(programs.length, "program");
  if (!identity.manages("manage_team")) return <NotAllowed />;
  return (
    <>
      <PageHead title="Programs" sub={sub}>
        <Button look="primary" icon="plus" onClick={() => setAdding(true)}>
          Add program…
        </Button>
      </PageHead>
      {error !== null && <ErrorBox error={error} retry={reload} />}
      {programs === undefined && error === null && <Loading />}
      {programs?.length === 0 && (
        <Empty title="No programs yet" icon="key">
          A program is an account without a password. It has roles of its own, and uses the API by
          tokens that do not end when a person leaves.
        </Empty>
      )}
      {programs !== undefined && programs.length > 0 && (
        <div class="panel table-wrap">
          <table class="records">
            <thead>
              <tr>
                <th>Program</th>
                <th>Roles</th>
                <th>Tokens</th>
                <th>Created</th>
                <th>
                  <span class="unseen">Change</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {programs.map((one) => (
                <tr key={one.id}>
                  <td class="main-cell">
                    <a href={href(pathOf(one.id))}>
                      <strong>{one.name}</strong>
                    </a>
                  </td>
                  <td data-label="Roles">
                    <Roles grants={grantsOf(grants.data?.grants, one)} />
                  </td>
                  <td data-label="Tokens">
                    {tokens.data?.tokens.filter(({ principal }) => principal === one.id).length ??
                      ""}
                  </td>
                  <td class="soft" data-label="Created">
                    <Time at={one.created_at} />
                  </td>
                  <td class="right">
                    <Menu
                      label={`Program ${one.name}`}
                      items={[
                        {
                          label: "Tokens and grants",
                          onSelect: () => navigate(pathOf(one.id)),
                        },
                        { label: "Remove…", onSelect: () => setRemoving(one) },
                      ]}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {adding && <AddProgram onDone={reload} onClose={() => setAdding(false)} />}
      {removing !== null && (
        <RemoveProgram program={removing} onDone={reload} onClose={() => setRemoving(null)} />
      )}
    </>
  );
}

/** One program, with its tokens and grants. */
export function ProgramPage({ id }: { id: string }) {
  const list = useResource("programs", (signal) => people.programs(signal));
  const grants = useResource("grants", (signal) => people.grants(signal));
  const [asking, setAsking] = useState<"grant" | "remove" | Grant | null>(null);
  const program = list.data?.programs.find((one) => one.id === id);
  useTitle(program?.name ?? "Program");
  const error = list.error ?? grants.error;
  const own = program === undefined ? [] : grantsOf(grants.data?.grants, program);
  const close = (): void => setAsking(null);
  const done = (): void => {
    close();
    grants.reload();
  };
  const retry = (): void => {
    list.reload();
    grants.reload();
  };
  if (!identity.manages("manage_team")) return <NotAllowed />;
  if (error !== null) return <ErrorBox error={error} retry={retry} />;
  if (list.data === null) return <Loading />;
  if (program === undefined)
    return (
      <Empty title="No such program" icon="key">
        It may have been removed. <a href={href("/programs")}>Programs</a>
      </Empty>
    );
  const { name } = program;
  return (
    <>
      <nav class="breadcrumb" aria-label="Breadcrumb">
        <a href={href("/programs")}>Programs</a>
        <span aria-hidden="true">/</span>
        {name}
      </nav>
      <PageHead title={name} sub={<span class="mono">{id}</span>}>
        <Button onClick={() => setAsking("remove")}>Remove…</Button>
      </PageHead>
      <Tokens program={program} />
      <section class="panel part" aria-labelledby="program-grants">
        <header>
          <div>
            <h2 id="program-grants">Grants</h2>
            <p class="soft">What the program may do, and where.</p>
          </div>
          <Button icon="plus" onClick={() => setAsking("grant")}>
            Add grant…
          </Button>
        </header>
        {grants.data === null && <Loading rows={2} />}
        {grants.data !== null && own.length === 0 && (
          <p class="part-none soft">No grants yet: the program may do nothing</p>
        )}
        {own.length > 0 && (
          <GrantTable
            grants={own}
            nameOf={() => name}
            onRemove={(grant) => setAsking(grant)}
            bare
          />
        )}
      </section>
      {asking === "grant" && (
        <AddGrant
          users={[]}
          groups={[]}
          programs={[program]}
          program={program}
          onDone={done}
          onClose={close}
        />
      )}
      {asking === "remove" && (
        <RemoveProgram program={program} onDone={() => navigate("/programs")} onClose={close} />
      )}
      {asking !== null && typeof asking === "object" && (
        <AskFirst
          title="Remove this grant?"
          action="Remove grant"
          request={() => people.removeGrant(asking.id)}
          onDone={done}
          onClose={close}
        >
          {name} is no longer {asking.role}
          {limitsOf(asking).length > 0 && " within these limits"}.
        </AskFirst>
      )}
    </>
  );
}

function grantsOf(grants: readonly Grant[] | undefined, program: Program): Grant[] {
  return grants?.filter(({ to }) => to.program === program.id) ?? [];
}

function Roles({ grants }: { grants: readonly Grant[] }) {
  if (grants.length === 0) return <span class="faint">none</span>;
  const texts = grants.map((one) => (limitsOf(one).length > 0 ? `${one.role}, limited` : one.role));
  return (
    <span class="tags">
      {[...new Set(texts)].map((text) => (
        <span class="tag" key={text}>
          {text}
        </span>
      ))}
    </span>
  );
}

interface DialogProps {
  onDone: () => void;
  onClose: () => void;
}

function RemoveProgram({ program, ...rest }: DialogProps & { program: Program }) {
  const { id, name } = program;
  return (
    <AskFirst
      title={`Remove ${name}?`}
      action="Remove program"
      request={() => people.removeProgram(id)}
      {...rest}
    >
      Its tokens and certificates are refused at once, and its grants end. The history and the audit
      keep the name.
    </AskFirst>
  );
}

function AddProgram({ onDone, onClose }: DialogProps) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role | null>("operator");
  // The program that an attempt has added, if its grant failed.
  const [added, setAdded] = useState<Program | null>(null);
  const save = async (): Promise<void> => {
    const program = added ?? (await people.addProgram(name.trim()));
    setAdded(program);
    if (role === null) return;
    const to = { program: program.id };
    const limits = { actions: null, groups: null, queues: null, environments: null };
    await people.addGrant({ to, role, ...limits, own_only: false });
  };
  return (
    <FormDialog
      title="Add program"
      action="Add program"
      disabled={name.trim() === ""}
      request={save}
      onDone={onDone}
      onClose={added === null ? onClose : onDone}
    >
      <Entry label="Name" hint="Such as deployer" value={name} onInput={setName} first />
      <RoleSelect role={role} onRole={setRole} />
    </FormDialog>
  );
}
