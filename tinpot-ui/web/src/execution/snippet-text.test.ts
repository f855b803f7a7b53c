import { execFileSync } from "node:child_process";

import { describe, expect, test } from "vitest";

import type { JsonObject } from "../json/lossless-json";
import { parseResponse } from "../json/lossless-json";
import {
  type Call,
  pythonValue,
  SNIPPET_KINDS,
  shellWord,
  snippet,
  withPlaceholders,
} from "./snippet-text";

const nasty = `it's "quoted" $HOME \`id\` \\ \n ünï <script> "#`;
const call: Call = {
  action: "back up",
  parameters: {
    text: nasty,
    n: 1.5,
    on: true,
    none: null,
    list: [1, "two", {}],
    token: "***",
    deep: { password: "***" },
  },
  options: {},
  server: "http://localhost:8000/sub",
};

describe("snippets", () => {
  test("have placeholders for secrets at any depth", () => {
    const filled = withPlaceholders(call);
    expect(filled.token).toBe("<token>");
    expect(filled.deep).toEqual({ password: "<password>" });
    expect(JSON.stringify(filled)).not.toContain("***");
  });

  test("are quoted for the shell", () => {
    for (const word of [nasty, "plain", "", "'", "-x", "$(id)"]) {
      const back = execFileSync("sh", ["-c", `printf %s ${shellWord(word)}`], { encoding: "utf8" });
      expect(back).toBe(word);
    }
    const body = execFileSync("sh", [
      "-c",
      `curl() { while [ "$1" != -d ]; do shift; done; printf %s "$2"; }\n${snippet("curl", call)}`,
    ]);
    expect(JSON.parse(body.toString())).toEqual({ parameters: withPlaceholders(call) });
    const sent = execFileSync("sh", ["-c", `tinpot() { cat; }\n${snippet("CLI", call)}`]);
    expect(JSON.parse(sent.toString())).toEqual(withPlaceholders(call));
  });

  test("are valid Python", () => {
    const program = `import json\nprint(json.dumps(${pythonValue(withPlaceholders(call), "")}))`;
    const back = execFileSync("python3", ["-"], { input: program, encoding: "utf8" });
    expect(JSON.parse(back)).toEqual(withPlaceholders(call));
    execFileSync("python3", ["-c", "import sys, ast; ast.parse(sys.stdin.read())"], {
      input: snippet("Python", call),
    });
  });

  test("keep numbers that the browser would round", () => {
    const parameters = parseResponse(
      '{"id": 9007199254740993, "far": 1e400, "list": [123456789012345678901234567890]}',
    ) as JsonObject;
    for (const kind of SNIPPET_KINDS) {
      const text = snippet(kind, { ...call, parameters });
      for (const number of ["9007199254740993", "1e400", "123456789012345678901234567890"])
        expect(text, kind).toContain(number);
      expect(text, kind).not.toContain("exact ");
    }
  });

  test("have the options of the execution", () => {
    const options = { queue: "far away", priority: -5, timeout: 90, retries: 2 };
    const run = snippet("CLI", { ...call, options });
    expect(run).toContain(`--queue='far away' --priority=-5 --attempt-timeout=90 --retries=2`);
    for (const kind of ["curl", "Python", "Rust"] as const)
      expect(snippet(kind, { ...call, options }), kind).toMatch(
        /"options": \{\s+"queue": "far away",\s+"priority": -5,\s+"timeout": 90,\s+"retries": 2/,
      );
  });

  test("are valid Rust for any text", () => {
    const text = snippet("Rust", { ...call, parameters: { a: '"#', b: '"##' } });
    expect(text).toContain('r###"');
    expect(text).toContain('"http://localhost:8000/sub/api/actions/back%20up/execute"');
  });

  test("escape the name of the action", () => {
    expect(snippet("curl", { ...call, parameters: {} })).toContain(
      "/sub/api/actions/back%20up/execute",
    );
    expect(snippet("CLI", { ...call, parameters: {} })).toBe(
      `tinpot run 'back up' --server http://localhost:8000/sub`,
    );
  });
});
