import { useState } from "preact/hooks";
import { Button } from "../ui";
import { type ControlProps, common } from "./control-props";
import { base64OfBytes, base64Size, textOfBase64 } from "./formats";
import { TextLine } from "./text-line";
import { bytesOfText, UNSET } from "./value-tree";

/** The largest file to read; no server accepts parameters of that size. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

/** Bytes as text, or from a file. */
export function BytesControl(props: ControlProps) {
  const { node, onChange, id } = props;
  const [problem, setProblem] = useState<string | null>(null);
  const base64 = node.kind === "bytes" ? node.base64 : null;
  const text = base64 === null ? "" : textOfBase64(base64);
  const name = node.kind === "bytes" ? node.name : undefined;
  const take = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    if (file.size > FILE_BYTES_MAX) {
      setProblem(
        `${file.name} is ${Math.round(file.size / 1048576)} MiB: choose a file of at most 16 MiB`,
      );
      return;
    }
    setProblem(null);
    onChange({
      kind: "bytes",
      base64: base64OfBytes(new Uint8Array(await file.arrayBuffer())),
      name: file.name,
    });
  };
  return (
    <span class="bytes-control">
      {text !== null && name === undefined ? (
        <TextLine
          attributes={common(props)}
          text={text}
          placeholder={base64 === null ? "Text, or choose a file" : ""}
          many={props.many}
          onMany={props.onMany}
          onText={(next) => onChange(bytesOfText(next))}
        />
      ) : (
        <span id={id} class="tag">
          {name ?? "bytes"} · {base64Size(base64 ?? "").toLocaleString("en")} bytes
        </span>
      )}
      <label class="button small file-button">
        Choose file…
        <input
          type="file"
          class="unseen"
          disabled={props.disabled}
          onChange={(event) => void take(event.currentTarget.files?.[0])}
        />
      </label>
      {base64 !== null && !props.untouched && (
        <Button look="quiet" class="small" onClick={() => onChange(UNSET)}>
          Clear
        </Button>
      )}
      {problem !== null && <span class="error-text">{problem}</span>}
    </span>
  );
}
