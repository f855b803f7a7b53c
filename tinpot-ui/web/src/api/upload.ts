// Uploads with progress: `fetch` does not tell how much of a body is sent.
import { serverUrl } from "../app/base-path";
import { ApiError } from "./transport";

/** Sends a file, and returns the text of the answer. Aborting rejects with an `AbortError`. */
export function sendFile(
  method: "POST" | "PUT",
  path: string,
  body: Blob,
  signal: AbortSignal,
  onSent: (bytes: number) => void,
): Promise<string> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    const stop = (): void => request.abort();
    signal.addEventListener("abort", stop, { once: true });
    request.upload.onprogress = ({ loaded }) => onSent(loaded);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) done(request.responseText);
      else failed(new ApiError(request.status, detailOf(request)));
    };
    request.onerror = () =>
      failed(new ApiError(0, "The upload was interrupted. Check the connection, then try again."));
    request.onabort = () => failed(new DOMException("The upload was stopped.", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.open(method, `${serverUrl()}${path}`);
    request.setRequestHeader("Accept", "application/json");
    // Without a type, which the server would take for a form.
    request.send(body.slice(0, body.size, ""));
  });
}

function detailOf(request: XMLHttpRequest): string {
  try {
    const { detail } = JSON.parse(request.responseText) as { detail?: unknown };
    if (typeof detail === "string") return detail;
  } catch {
    // The answer of a proxy.
  }
  return request.status === 401
    ? "You are signed out. Sign in, then try again."
    : `The server responded with ${request.status} ${request.statusText}`.trim();
}
