// The ways to hand a folder or an archive to the page.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { errorText } from "../api/transport";
import { Confirm, Menu } from "../ui";
import { type Chosen, chosenFiles, droppedFiles } from "./folder";

interface ChooserProps {
  label: string;
  primary?: boolean;
  onChosen: (chosen: Chosen) => void;
}

/** A menu that opens the dialogs of the browser for a folder or an archive. */
export function Chooser({ label, primary = false, onChosen }: ChooserProps) {
  const folder = useRef<HTMLInputElement>(null);
  const archive = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const changed = (event: Event): void => {
    const input = event.currentTarget as HTMLInputElement;
    const files = [...(input.files ?? [])];
    // The same files again are a change, too.
    input.value = "";
    if (files.length === 0) return;
    try {
      onChosen(chosenFiles(files));
    } catch (error) {
      setProblem(errorText(error));
    }
  };
  return (
    <>
      <Menu
        label={label}
        icon="upload"
        class={primary ? "chooser primary" : "chooser"}
        items={[
          { label: "Choose a folder…", onSelect: () => folder.current?.click() },
          { label: "Choose a .tar.gz file…", onSelect: () => archive.current?.click() },
        ]}
      >
        {`${label}…`}
      </Menu>
      <input
        ref={folder}
        type="file"
        class="unseen"
        tabIndex={-1}
        aria-label="Folder of the app"
        {...{ webkitdirectory: true }}
        onChange={changed}
      />
      <input
        ref={archive}
        type="file"
        class="unseen"
        tabIndex={-1}
        aria-label="Archive of the app"
        accept=".gz,.tgz,application/gzip"
        onChange={changed}
      />
      {problem !== null && <Refused problem={problem} onClose={() => setProblem(null)} />}
    </>
  );
}

interface DropProps {
  disabled: boolean;
  onChosen: (chosen: Chosen) => void;
  children: ComponentChildren;
}

const hasFiles = (event: DragEvent): boolean =>
  event.dataTransfer?.types.includes("Files") === true;

/** A page onto which a folder or an archive can be dropped. */
export function DropTarget({ disabled, onChosen, children }: DropProps) {
  const [over, setOver] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const depth = useRef(0);
  const enter = (by: number): void => {
    depth.current = Math.max(0, depth.current + by);
    setOver(depth.current > 0);
  };
  const dropped = (event: DragEvent): void => {
    depth.current = 0;
    setOver(false);
    if (event.dataTransfer === null) return;
    droppedFiles(event.dataTransfer).then(onChosen, (error: unknown) =>
      setProblem(errorText(error)),
    );
  };
  return (
    <div
      class="drop-target"
      data-over={over || undefined}
      onDragEnter={(event) => {
        if (!disabled && hasFiles(event)) enter(1);
      }}
      onDragLeave={(event) => {
        if (!disabled && hasFiles(event)) enter(-1);
      }}
      onDragOver={(event) => {
        if (!disabled && hasFiles(event)) event.preventDefault();
      }}
      onDrop={(event) => {
        if (disabled || !hasFiles(event)) return;
        // The browser would open the file in place of the page.
        event.preventDefault();
        dropped(event);
      }}
    >
      {children}
      {over && (
        <p class="drop-note" aria-hidden="true">
          Drop a folder or a .tar.gz file to deploy it
        </p>
      )}
      {problem !== null && <Refused problem={problem} onClose={() => setProblem(null)} />}
    </div>
  );
}

function Refused({ problem, onClose }: { problem: string; onClose: () => void }) {
  return (
    <Confirm title="Nothing to deploy" action="OK" onConfirm={onClose} onClose={onClose}>
      {problem}
    </Confirm>
  );
}
