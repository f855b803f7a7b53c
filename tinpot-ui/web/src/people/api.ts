// The routes of people: their sign-ins, tokens, users, grants and the audit.
import { json, queryText } from "../api/client";
import type { components } from "../api/schema";

type Shapes = components["schemas"];

export type SignInView = Shapes["SignIn"];
export type Token = Shapes["Token"];
/** A token with its secret, which the server never shows again. */
export type NewToken = Shapes["TokenSecret"];
export type User = Shapes["User"];
export type Group = Shapes["Group"];
/** A service account of the team. */
export type Program = Shapes["Program"];
export type Team = Shapes["Team"];
export type AuditEntry = Shapes["AuditEntry"];
export type Secret = Shapes["Secret"];
export type WorkerKey = Shapes["WorkerKey"];
export type WorkerLimits = Shapes["WorkerLimits"];
export type JoinToken = Shapes["JoinToken"];
/** A join token with its secret, which the server never shows again. */
export type NewJoinToken = Shapes["JoinTokenSecret"];

/** The actions that may have a secret: null is all. */
export const WHERE = ["actions", "groups", "queues"] as const;
export type Where = Record<(typeof WHERE)[number], string[] | null>;

/** A program that waits for the person who types its code. */
export type DeviceView = Shapes["DeviceView"];

export type Role = Shapes["Role"];
/** Every role, from the weakest. */
export const ROLES = [
  "viewer",
  "operator",
  "developer",
  "admin",
] as const satisfies readonly Role[];

/** The grantee: exactly one is set. */
export interface Grantee {
  user?: string;
  group?: string;
  program?: string;
  /** The calls of an action. */
  action?: string;
}

export const LIMITS = ["actions", "groups", "queues", "environments"] as const;

/** The limits of a grant: null is everything, and an empty list is nothing. */
export type Limits = Record<(typeof LIMITS)[number], string[] | null>;

export interface Grant extends Limits, Omit<Required<Shapes["Grant"]>, keyof Limits | "to"> {
  to: Grantee;
}

export interface AuditFilter {
  /** Runs and calls are a log of their own. */
  log?: "runs";
  who?: string;
  /** The beginning of what was done. */
  what?: string;
  since?: string;
  after?: string;
  limit?: number;
}

const at = (...parts: string[]): string => `/api/${parts.map(encodeURIComponent).join("/")}`;
const get = <T>(path: string, signal: AbortSignal, query: object = {}): Promise<T> =>
  json<T>(path + queryText({ ...query }), null, { signal });
const post = <T>(path: string, body: object): Promise<T> => json<T>(path, body, {});
const send = <T>(method: string, path: string, body: object | null = null): Promise<T> =>
  json<T>(path, body, { method });

export const people = {
  signIns: (signal: AbortSignal) => get<{ sign_ins: SignInView[] }>("/api/auth/sign-ins", signal),
  endSignIn: (id: string) => send<null>("DELETE", at("auth", "sign-ins", id)),
  /** Changes the own password. All other sign-ins end. */
  setPassword: (current: string, next: string) =>
    post<null>("/api/auth/password", { current, new: next }),

  device: (code: string) => json<DeviceView>(at("auth", "device", code), null, {}),
  decideDevice: (code: string, agree: boolean) => post<null>(at("auth", "device", code), { agree }),

  tokens: (all: boolean, signal: AbortSignal) =>
    get<{ tokens: Token[] }>("/api/tokens", signal, all ? { all } : {}),
  /** Creates a token of the caller, or of a program. */
  createToken: (token: {
    name: string;
    scopes: string[];
    days: number;
    principal: string | null;
  }) => post<NewToken>("/api/tokens", token),
  /** Makes a new secret. The old one stays valid for `overlap_s` seconds. */
  rotateToken: (id: string, overlap_s: number) =>
    post<NewToken>(at("tokens", id, "rotate"), { overlap_s }),
  revokeToken: (id: string) => send<null>("DELETE", at("tokens", id)),

  users: (signal: AbortSignal) => get<{ users: User[] }>("/api/users", signal),
  addUser: (user: { name: string; password: string; role: Role | null; server_admin: boolean }) =>
    post<User>("/api/users", user),
  changeUser: (
    id: string,
    change: { disabled?: boolean; password?: string; server_admin?: boolean },
  ) => send<User>("PATCH", at("users", id), change),
  may: (id: string, action: string, signal: AbortSignal) =>
    get<Shapes["UserRights"]>(at("users", id, "may"), signal, action === "" ? {} : { action }),
  removeUser: (id: string) => send<null>("DELETE", at("users", id)),

  programs: (signal: AbortSignal) => get<{ programs: Program[] }>("/api/programs", signal),
  addProgram: (name: string) => post<Program>("/api/programs", { name }),
  removeProgram: (id: string) => send<null>("DELETE", at("programs", id)),

  grants: (signal: AbortSignal) => get<{ grants: Grant[] }>("/api/grants", signal),
  addGrant: (grant: Omit<Grant, "id">) => post<Grant>("/api/grants", grant),
  removeGrant: (id: string) => send<null>("DELETE", at("grants", id)),
  groups: (signal: AbortSignal) => get<{ groups: Group[] }>("/api/groups", signal),
  setGroup: (name: string, members: string[]) =>
    send<Group>("PUT", at("groups", name), { members }),
  removeGroup: (name: string) => send<null>("DELETE", at("groups", name)),

  teams: (signal: AbortSignal) => get<{ teams: Team[] }>("/api/teams", signal),
  createTeam: (team: { name: string; description: string }) => post<Team>("/api/teams", team),
  changeTeam: (id: string, change: { name?: string; description?: string; disabled?: boolean }) =>
    send<Team>("PATCH", at("teams", id), change),
  removeTeam: (id: string) => send<null>("DELETE", at("teams", id)),
  teamMembers: (id: string, signal: AbortSignal) =>
    get<{ users: User[] }>(at("teams", id, "members"), signal),
  addTeamMember: (id: string, user: string, role: Role | null) =>
    post<User>(at("teams", id, "members"), { user, role }),
  removeTeamMember: (id: string, user: string) =>
    send<null>("DELETE", at("teams", id, "members", user)),
  secrets: (signal: AbortSignal) => get<{ secrets: Secret[] }>("/api/secrets", signal),
  setSecret: (name: string, secret: Where & { value: string }) =>
    send<Secret>("PUT", at("secrets", name), secret),
  removeSecret: (name: string) => send<null>("DELETE", at("secrets", name)),

  workerKeys: (signal: AbortSignal) => get<{ keys: WorkerKey[] }>("/api/worker-keys", signal),
  rotateWorkerKey: (id: string) => send<null>("POST", at("worker-keys", id, "rotate")),
  revokeWorkerKey: (id: string) => send<null>("DELETE", at("worker-keys", id)),
  joinTokens: (signal: AbortSignal) => get<{ tokens: JoinToken[] }>("/api/join-tokens", signal),
  createJoinToken: (token: {
    names: string;
    uses: number;
    valid_for_s: number;
    queues: string[] | null;
    groups: string[] | null;
    actions: string[] | null;
    slots: number | null;
    temporary: boolean;
  }) => post<NewJoinToken>("/api/join-tokens", token),
  revokeJoinToken: (id: string) => send<null>("DELETE", at("join-tokens", id)),

  audit: (filter: AuditFilter, signal?: AbortSignal) =>
    json<Shapes["AuditPage"]>(`/api/audit${queryText({ ...filter })}`, null, { signal }),
};
