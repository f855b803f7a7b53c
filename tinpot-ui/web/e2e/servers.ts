// Real servers for the tests, each on a free port with the actions of this folder and its own
// store.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer, request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Account } from "./people";

const HERE = dirname(fileURLToPath(import.meta.url));
/** The folder of `tinpot`; the example that embeds Tinpot is in `examples` below it. */
export const BINARIES = process.env.TINPOT_E2E_BIN ?? resolve(HERE, "../../../target/debug");
export const ACTIONS = join(HERE, "actions");

const START_MS = 30_000;

export async function freePort(): Promise<number> {
  // Below those that the system gives outgoing connections: a server that restarts finds it free.
  // Other processes of tests begin elsewhere.
  nextPort += 1;
  const port = 15_000 + ((process.pid * 97 + nextPort) % 17_000);
  const isFree = await new Promise<boolean>((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
  return isFree ? port : freePort();
}

let nextPort = 0;

/** A process of a server. Its output is shown if it does not start. */
export class Program {
  private child: ChildProcess | null = null;
  private written = "";

  constructor(
    private readonly args: string[],
    private readonly name = "tinpot",
  ) {}

  start(): void {
    const path = join(BINARIES, this.name);
    if (!existsSync(path))
      throw new Error(`${path} does not exist: run cargo build --workspace --bins --examples`);
    const child = spawn(path, this.args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, RUST_LOG: "warn" },
    });
    const record = (chunk: Buffer): void => {
      this.written = (this.written + chunk.toString()).slice(-20_000);
    };
    child.stdout.on("data", record);
    child.stderr.on("data", record);
    this.child = child;
  }

  /** Ends the process with a signal, and kills it if it is still running after 5 seconds. */
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

  /** Waits until the process has written something. Returns its first group. */
  async wrote(pattern: RegExp): Promise<string> {
    const deadline = Date.now() + START_MS;
    while (Date.now() < deadline && !this.gone) {
      const found = pattern.exec(this.written)?.[1];
      if (found !== undefined) return found;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`${this.name} did not write ${pattern}\n${this.output()}`);
  }

  output(): string {
    return `${this.name} wrote:\n${this.written}`;
  }

  /** Returns the processor time that the process has used, in seconds; Linux only. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.child?.pid}/stat`, "utf8");
    // The fields after the name, which may contain spaces; times are in hundredths of a second.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  get gone(): boolean {
    return this.child === null || this.child.exitCode !== null;
  }
}

/** Waits until a URL responds with a matching body. */
export async function responds(
  url: string,
  program: Program,
  body = /./,
  headers: Record<string, string> = {},
): Promise<void> {
  const deadline = Date.now() + START_MS;
  let last = "nothing";
  while (Date.now() < deadline) {
    if (program.gone) break;
    try {
      const response = await fetch(url, { headers });
      const text = await response.text();
      last = `${response.status} ${text.slice(0, 300)}`;
      if (response.ok && body.test(text)) return;
    } catch (error) {
      last = String(error);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(
    `${url} does not respond as expected; last response: ${last}\n${program.output()}`,
  );
}

export interface Server {
  /** The URL without a slash at its end. */
  url: string;
  stop: () => Promise<void>;
}

interface Options {
  actions?: string;
  concurrency?: number;
  /** Further arguments of the program. */
  args?: string[];
  /** A pattern that the list of actions matches once the test can begin. */
  ready?: RegExp;
}

/** Starts `tinpot dev`: a coordinator and a worker in one process. */
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
    "--insecure-no-auth",
    ...args,
  ]);
  program.start();
  await responds(`${url}/api/workers`, program, /"id"/);
  await responds(`${url}/api/actions`, program, ready);
  return { url, stop: () => program.stop() };
}

export interface Cluster extends Server {
  /** Kills the coordinator, and starts it again on the same port and store. */
  restart: (between?: () => Promise<void>) => Promise<void>;
  /** Ends the worker, and waits until the coordinator has noticed. */
  endWorker: () => Promise<void>;
  startWorker: () => Promise<void>;
  /** Returns the processor time of the coordinator in seconds. */
  cpuSeconds: () => number;
}

/** Starts a coordinator with an embedded broker and a store in a file, and a worker. */
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
    await responds(`${url}/api/workers`, worker, /"id"/);
    await responds(`${url}/api/actions`, worker, ready);
  };
  coordinator.start();
  await responds(`${url}/health`, coordinator);
  await startWorker();
  return {
    url,
    startWorker,
    cpuSeconds: () => coordinator.cpuSeconds(),
    endWorker: async () => {
      await worker.stop();
      await responds(`${url}/api/workers`, coordinator, /"workers":\s*\[\]/);
    },
    restart: async (between) => {
      await coordinator.stop("SIGKILL");
      await between?.();
      coordinator.start();
      await responds(`${url}/health`, coordinator);
    },
    stop: async () => {
      await worker.stop();
      await coordinator.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts the example that serves the API below a path of another application. */
export async function nested(): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/automation`;
  const program = new Program(["--port", String(port)], "examples/embed_in_axum");
  program.start();
  await responds(`${url}/api/actions`, program, /"greet"/);
  return { url, stop: () => program.stop() };
}

export interface Front extends Server {
  /** Closes all connections and accepts no new ones. */
  down: () => Promise<void>;
  /** Accepts connections again on the same port, as a server of this version. */
  up: (version: string) => Promise<void>;
  /** Returns the number of open event streams, and the most that were open at once. */
  streams: () => number;
  mostStreams: () => number;
}

/** Starts a proxy in front of a server that can go down and come back with another version. */
export async function front(server: Server): Promise<Front> {
  const port = await freePort();
  const to = new URL(server.url);
  let version: string | null = null;
  let [streams, mostStreams] = [0, 0];
  const proxy = createHttpServer((incoming, outgoing) => {
    const { "accept-encoding": _plain, ...headers } = incoming.headers;
    const onward = request(
      { host: to.hostname, port: to.port, path: incoming.url, method: incoming.method, headers },
      (answer) => {
        const isStream = (answer.headers["content-type"] ?? "").startsWith("text/event-stream");
        if (isStream) {
          streams += 1;
          mostStreams = Math.max(mostStreams, streams);
          outgoing.once("close", () => {
            streams -= 1;
          });
        }
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.on("data", (chunk: Buffer) => {
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
    streams: () => streams,
    mostStreams: () => mostStreams,
    up: async (next) => {
      version = next;
      await listen();
    },
  };
}

export interface NewServer extends Server {
  /** The ticket that makes the first user. */
  setUpTicket: string;
  startWorker: (account: Account) => Promise<void>;
}

/** Starts a coordinator that knows its callers, and has no user yet. */
export async function withoutUsers(): Promise<NewServer> {
  const folder = mkdtempSync(join(tmpdir(), "tinpot-e2e-"));
  const [port, broker] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const address = `tcp://127.0.0.1:${broker}`;
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
    "--auth",
    "users",
  ]);
  const worker = new Program(["worker", "--broker", address, "--actions", ACTIONS]);
  coordinator.start();
  const setUpTicket = await coordinator.wrote(/[?]ticket=(\S+)/);
  await responds(`${url}/health`, coordinator);
  return {
    url,
    setUpTicket,
    startWorker: async ({ headers }) => {
      worker.start();
      await responds(`${url}/api/actions`, worker, /"leaf"/, headers);
    },
    stop: async () => {
      await worker.stop();
      await coordinator.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts a coordinator and a worker with `ada`, an admin, and other users by their roles. */
export async function withUsers(roles: Record<string, string>): Promise<Server> {
  const server = await withoutUsers();
  const ada = await Account.setUp(server.url, server.setUpTicket, "ada");
  for (const [name, role] of Object.entries(roles)) await ada.addUser(name, role);
  await server.startWorker(ada);
  return server;
}

/** Starts `tinpot dev` for the person at this machine. Returns it with the ticket that it prints. */
export async function local(): Promise<Server & { ticket: string }> {
  const port = await freePort();
  const program = new Program(["dev", ACTIONS, "--port", String(port)]);
  program.start();
  const ticket = await program.wrote(/[?]ticket=(\S+)/);
  const url = `http://127.0.0.1:${port}`;
  await responds(`${url}/health`, program);
  return { url, ticket, stop: () => program.stop() };
}
