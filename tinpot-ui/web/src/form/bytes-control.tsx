import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "../api/client";
import { errorText } from "../api/transport";
import { Button } from "../ui";
import { type ControlProps, common } from "./control-props";
import { useForm } from "./form-context";
import { base64OfBytes, base64Size, isUpload, textOfBase64 } from "./formats";
import { TextLine } from "./text-line";
import { bytesOfText, UNSET } from "./value-tree";

/** The size from which a file is uploaded: smaller ones are sent with the submission. */
const INLINE_BYTES = 256 * 1024;

interface Sending {
  name: string;
  done: number;
  total: number;
}

/** Bytes as text, or from a file. */
export function BytesControl(props: ControlProps) {
  const { node, onChange, id } = props;
  const { action } = useForm();
  const [problem, setProblem] = useState<string | null>(null);
  const [sending, setSending] = useState<Sending | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const base64 = node.kind === "bytes" ? node.base64 : null;
  const text = base64 === null ? "" : textOfBase64(base64);
  const name = node.kind === "bytes" ? node.name : undefined;
  const take = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    running.current?.abort();
    running.current = new AbortController();
    const { signal } = running.current;
    setProblem(null);
    try {
      if (file.size <= INLINE_BYTES) {
        const content = base64OfBytes(new Uint8Array(await file.arrayBuffer()));
        if (!signal.aborted) onChange({ kind: "bytes", base64: content, name: file.name });
        return;
      }
      const sent = (done: number): void => setSending({ name: file.name, done, total: file.size });
      sent(0);
      // No other value is sent meanwhile.
      onChange({ kind: "bytes", base64: "", name: file.name, size: file.size, sending: true });
      const upload = await api.upload(action, file, signal, sent);
      if (!signal.aborted)
        onChange({ kind: "bytes", base64: upload, name: file.name, size: file.size });
    } catch (error) {
      if (signal.aborted) return;
      onChange(UNSET);
      setProblem(`${file.name} was not uploaded: ${errorText(error)}`);
    } finally {
      if (!signal.aborted) setSending(null);
    }
  };
  const stop = (): void => {
    running.current?.abort();
    setSending(null);
    onChange(UNSET);
  };
  return (
    <span class="bytes-control">
      {sending !== null ? (
        <>
          <span id={id} class="tag" role="status">
            {sending.name} · {Math.floor((100 * sending.done) / sending.total)} % uploaded
          </span>
          <Button look="quiet" class="small" onClick={stop}>
            Stop
          </Button>
        </>
      ) : text !== null && name === undefined ? (
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
          {label(props)}
        </span>
      )}
      <label class="button small file-button">
        Choose file…
        <input
          type="file"
          class="unseen"
          disabled={props.disabled}
          onChange={(event) => {
            void take(event.currentTarget.files?.[0]);
            // The same file can be chosen again after a failure.
            event.currentTarget.value = "";
          }}
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

/** Returns the name and the size of bytes that are not shown as text. */
function label({ node }: ControlProps): string {
  if (node.kind !== "bytes") return "bytes";
  const { base64, name, size } = node;
  if (isUpload(base64) && size === undefined)
    return `${name ?? "upload"} · ${base64.slice("upload:".length, "upload:".length + 12)}`;
  return `${name ?? "bytes"} · ${(size ?? base64Size(base64)).toLocaleString("en")} bytes`;
}
