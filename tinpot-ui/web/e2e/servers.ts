/** Real servers for the tests: each on a free port, with the actions of this folder and a store of its own, ended with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer, request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
/** The program as people have it, and below it the example that has Tinpot in its own. */
const BINARIES = process.env.TINPOT_E2E_BIN ?? resolve(HERE, "../../../target/debug");
export const ACTIONS = join(HERE, "actions");

const START_MS = 30_000;

export async function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const server = createServer();
    server.once("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => done(port));
    });
  });
}

/** One process of a server; what it says is shown when it does not start. */
export class Program {
  private child: ChildProcess | null = null;
  private said = "";

  constructor(
    private readonly args: string[],
    private readonly name = "tinpot",
  ) {}

  start(): void {
    const path = join(BINARIES, this.name);
    if (!existsSync(path))
      throw new Error(`there is no ${path}: cargo build --workspace --bins --examples`);
    const child = spawn(path, this.args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, RUST_LOG: "warn" },
    });
    const hear = (chunk: Buffer): void => {
      this.said = (this.said + chunk.toString()).slice(-20_000);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    this.child = child;
  }

  /** Ends it: asked first, and killed if that does not help, or at once. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const child = this.child;
    this.child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((done) => child.once("exit", () => done()));
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await gone;
    clearTimeout(timer);
  }

  output(): string {
    return `${this.name} said:\n${this.said}`;
  }

  get gone(): boolean {
    return this.child === null || this.child.exitCode !== null;
  }
}

/** Waits until something answers at `url`. */
export async function answers(url: string, program: Program, body = /./): Promise<void> {
  const deadline = Date.now() + START_MS;
  let last = "nothing";
  while (Date.now() < deadline) {
    if (program.gone) break;
    try {
      const response = await fetch(url);
      const text = await response.text();
      last = `${response.status} ${text.slice(0, 300)}`;
      if (response.ok && body.test(text)) return;
    } catch (error) {
      last = String(error);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${url} does not answer as it should; last: ${last}\n${program.output()}`);
}

export interface Server {
  /** Without a slash at its end. */
  url: string;
  stop: () => Promise<void>;
}

interface Options {
  actions?: string;
  concurrency?: number;
  /** Further arguments. */
  args?: string[];
  /** What the list of actions says once it can begin. */
  ready?: RegExp;
}

/** Everything in one process: `tinpot dev`. */
export async function standalone({
  actions = ACTIONS,
  concurrency = 3,
  args = [],
  ready = /"colourful"/,
}: Options = {}): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const program = new Program([
    "dev",
    actions,
    "--port",
    String(port),
    "--concurrency",
    String(concurrency),
    ...args,
  ]);
  program.start();
  await answers(`${url}/api/workers`, program, /"id"/);
  await answers(`${url}/api/actions`, program, ready);
  return { url, stop: () => program.stop() };
}

export interface Cluster extends Server {
  /** Ends the coordinator as a crash would, and starts it again on the same port and store. */
  restart: (between?: () => Promise<void>) => Promise<void>;
  /** Ends the worker, and waits until the coordinator knows. */
  endWorker: () => Promise<void>;
  startWorker: () => Promise<void>;
}

/** A coordinator with a store in a file and a broker in it, and a worker. */
export async function cluster({
  actions = ACTIONS,
  concurrency = 2,
  args = [],
  ready = /"ticking"/,
}: Options = {}): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), "tinpot-e2e-"));
  const [port, broker] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const address = `tcp://127.0.0.1:${broker}`;
  const times = ["--beat-interval", "0.5", "--worker-lease", "20", "--coordinator-lease", "30"];
  const coordinator = new Program([
    "coordinator",
    "--port",
    String(port),
    "--broker",
    address,
    "--embedded-broker",
    `127.0.0.1:${broker}`,
    "--store",
    join(folder, "store.db"),
    ...times,
    ...args,
  ]);
  const worker = new Program([
    "worker",
    "--broker",
    address,
    "--actions",
    actions,
    "--concurrency",
    String(concurrency),
    "--grace",
    "1",
    "--containment",
    "process-group",
    ...times,
  ]);
  const startWorker = async (): Promise<void> => {
    worker.start();
    await answers(`${url}/api/workers`, worker, /"id"/);
    await answers(`${url}/api/actions`, worker, ready);
  };
  coordinator.start();
  await answers(`${url}/health`, coordinator);
  await startWorker();
  return {
    url,
    startWorker,
    endWorker: async () => {
      await worker.stop();
      await answers(`${url}/api/workers`, coordinator, /"workers":\s*\[\]/);
    },
    restart: async (between) => {
      await coordinator.stop("SIGKILL");
      await between?.();
      coordinator.start();
      await answers(`${url}/health`, coordinator);
    },
    stop: async () => {
      await worker.stop();
      await coordinator.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The API nested below a path of another application. */
export async function nested(): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/automation`;
  const program = new Program(["--port", String(port)], "examples/embed_in_axum");
  program.start();
  await answers(`${url}/api/actions`, program, /"greet"/);
  return { url, stop: () => program.stop() };
}

export interface Front extends Server {
  /** Ends all connections and takes no new ones. */
  down: () => Promise<void>;
  /** Back, on the same port, as a server of this version. */
  up: (version: string) => Promise<void>;
}

/** Something in front of a server that can be gone, and come back with another version of it. */
export async function front(server: Server): Promise<Front> {
  const port = await freePort();
  const to = new URL(server.url);
  let version: string | null = null;
  const proxy = createHttpServer((incoming, outgoing) => {
    const { "accept-encoding": _plain, ...headers } = incoming.headers;
    const onward = request(
      { host: to.hostname, port: to.port, path: incoming.url, method: incoming.method, headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.on("data", (chunk: Buffer) => {
          const isStream = (answer.headers["content-type"] ?? "").startsWith("text/event-stream");
          outgoing.write(
            isStream && version !== null
              ? chunk.toString().replace(/"version":"[^"]*"/, `"version":"${version}"`)
              : chunk,
          );
        });
        answer.on("end", () => outgoing.end());
      },
    );
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  const listen = (): Promise<void> =>
    new Promise((done) => proxy.listen(port, "127.0.0.1", () => done()));
  const close = (): Promise<void> =>
    new Promise((done) => {
      proxy.close(() => done());
      proxy.closeAllConnections();
    });
  await listen();
  return {
    url: `http://127.0.0.1:${port}`,
    stop: close,
    down: close,
    up: async (next) => {
      version = next;
      await listen();
    },
  };
}
