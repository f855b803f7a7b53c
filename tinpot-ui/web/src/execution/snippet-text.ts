// Code that submits an execution: for the command line, curl, Python and Rust.
import { isObject, type Json, type JsonObject, writeJson } from "../json/lossless-json";

export interface Call {
  action: string;
  parameters: JsonObject;
  options: CallOptions;
  /** The URL of the server, without a slash at its end. */
  server: string;
}

/** The options of a submission, as in the API. */
export interface CallOptions {
  queue?: string;
  priority?: number;
  timeout?: number;
  retries?: number;
}

/** The flags of `tinpot run` for the options. */
const FLAGS: Record<keyof CallOptions, string> = {
  queue: "--queue",
  priority: "--priority",
  timeout: "--attempt-timeout",
  retries: "--retries",
};

export type SnippetKind = "CLI" | "curl" | "Python" | "Rust";
export const SNIPPET_KINDS: readonly SnippetKind[] = ["CLI", "curl", "Python", "Rust"];

/** The text that the API shows in place of a secret. */
const HIDDEN = "***";

/** Returns the parameters with a placeholder in place of each secret. */
export function withPlaceholders(call: Call): JsonObject {
  const fill = (value: Json, name: string): Json => {
    if (value === HIDDEN) return placeholder(name);
    if (Array.isArray(value)) return value.map((entry) => fill(entry, name));
    if (isObject(value)) {
      return Object.fromEntries(
        Object.entries(value).map(([inner, entry]) => [inner, fill(entry, inner)]),
      );
    }
    return value;
  };
  return Object.fromEntries(
    Object.entries(call.parameters).map(([name, value]) => [name, fill(value, name)]),
  );
}

function placeholder(name: string): string {
  return `<${name}>`;
}

/** Returns the code that submits the same execution. */
export function snippet(kind: SnippetKind, call: Call): string {
  const parameters = withPlaceholders(call);
  switch (kind) {
    case "CLI":
      return cli(call, parameters);
    case "curl":
      return curl(call, parameters);
    case "Python":
      return python(call, parameters);
    case "Rust":
      return rust(call, parameters);
  }
}

/** Returns the body of the request. */
function body(call: Call, parameters: JsonObject): JsonObject {
  return Object.keys(call.options).length === 0
    ? { parameters }
    : { parameters, options: { ...call.options } };
}

/** Quotes a text for a POSIX shell, if it needs quotes. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`;
}

function cli(call: Call, parameters: JsonObject): string {
  const flags = Object.entries(call.options).map(
    ([name, value]) => ` ${FLAGS[name as keyof CallOptions]}=${shellWord(String(value))}`,
  );
  const start = `tinpot run ${shellWord(call.action)} --server ${shellWord(call.server)}${flags.join("")}`;
  if (Object.keys(parameters).length === 0) return start;
  return `${start} -d - <<'END'\n${writeJson(parameters, true)}\nEND`;
}

function url(call: Call): string {
  return `${call.server}/api/actions/${encodeURIComponent(call.action)}/execute`;
}

function curl(call: Call, parameters: JsonObject): string {
  return [
    `curl -sS -X POST ${shellWord(url(call))}`,
    `-H 'content-type: application/json'`,
    `-d ${shellWord(writeJson(body(call, parameters), true))}`,
  ].join(" \\\n  ");
}

function python(call: Call, parameters: JsonObject): string {
  return `import json
import urllib.request

body = ${pythonValue(body(call, parameters), "")}
request = urllib.request.Request(
    ${pythonText(url(call))},
    data=json.dumps(body).encode(),
    headers={"content-type": "application/json"},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["execution_id"])`;
}

function pythonText(text: string): string {
  // Python has the escapes of JSON, except for surrogate pairs, which JSON.stringify does not
  // escape.
  return JSON.stringify(text);
}

export function pythonValue(value: Json, indent: string): string {
  const inner = `${indent}    `;
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return pythonText(value);
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[\n${value.map((entry) => `${inner}${pythonValue(entry, inner)},\n`).join("")}${indent}]`;
  }
  if (isObject(value)) {
    const entries = Object.entries(value);
    if (entries.length === 0) return "{}";
    const lines = entries.map(
      ([name, entry]) => `${inner}${pythonText(name)}: ${pythonValue(entry, inner)},\n`,
    );
    return `{\n${lines.join("")}${indent}}`;
  }
  return String(value);
}

function rust(call: Call, parameters: JsonObject): string {
  const text = writeJson(body(call, parameters), true);
  let hashes = "#";
  while (text.includes(`"${hashes}`)) hashes += "#";
  return `// cargo add reqwest --features blocking
fn main() -> Result<(), reqwest::Error> {
    let body = r${hashes}"${text}"${hashes};
    let answer = reqwest::blocking::Client::new()
        .post(${rustText(url(call))})
        .header("content-type", "application/json")
        .body(body)
        .send()?
        .error_for_status()?
        .text()?;
    println!("{answer}");
    Ok(())
}`;
}

function rustText(text: string): string {
  // A URL contains no control characters: only quotes and backslashes need an escape.
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
