// The person who uses this page, and what they may do.
import { signal } from "@preact/signals";
import { type AuthOptions, auth, type Me } from "../api/auth";
import { gate } from "../api/gate";
import { ApiError } from "../api/transport";
import { href } from "../app/base-path";
import { chooseTeam, chosenTeam, remember, storageKey } from "../app/storage";

/** Rights, as `x-rights` in the description of the API names them. */
export type Right =
  | "see_action"
  | "run"
  | "deploy"
  | "read"
  | "cancel"
  | "rerun"
  | "use_queue"
  | "see_queue"
  | "pause_queue"
  | "see_worker"
  | "drain_worker"
  | "enrol"
  | "manage_team"
  | "use_secret_store"
  | "read_audit"
  | "manage_server";

/** The server offers nothing: it is part of another application, or behind a proxy. */
const NO_OPTIONS: AuthOptions = {
  methods: [],
  ticket: false,
  set_up: false,
  anonymous: false,
  insecure: false,
  device: false,
};

/** The key by which the pages of a browser tell each other of sign-ins and sign-outs. */
const SIGNED = "signed";

/** Takes the ticket out of the address, so that neither the history nor a copied link has it. */
export function takeTicket(): string | null {
  const url = new URL(window.location.href);
  const ticket = url.searchParams.get("ticket");
  if (ticket === null) return null;
  url.searchParams.delete("ticket");
  window.history.replaceState(null, "", url);
  return ticket;
}

class Identity {
  readonly options = signal<AuthOptions>(NO_OPTIONS);
  /** Null until the server has said who this is. */
  readonly me = signal<Me | null>(null);
  /** The reason why the ticket in the address was not accepted. */
  readonly ticketProblem = signal<string | null>(null);
  /** The ticket of the address for the first user. */
  setUpTicket = "";

  /** Finds out who this is, by a ticket if there is one. */
  async start(ticket: string | null): Promise<void> {
    window.addEventListener("storage", ({ key, newValue }) => {
      if (key !== storageKey(SIGNED)) return;
      if (newValue?.startsWith("out") === true) window.location.reload();
      else void this.check();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && gate.closed.peek()) void this.check();
    });
    gate.doubt = () => void this.check();
    if (ticket === null) {
      await Promise.all([this.loadOptions(), this.check()]);
      return;
    }
    await this.loadOptions();
    if (this.options.peek().set_up) {
      this.setUpTicket = ticket;
      gate.close();
    } else await this.use(ticket);
  }

  /** Returns true if the person may do this anywhere in the team, or if that is unknown yet. */
  may(right: Right): boolean {
    const me = this.me.value;
    return me === null || me.rights.includes(right);
  }

  /** Is true if the server keeps apps. */
  get keepsApps(): boolean {
    return this.me.value?.apps === true;
  }

  /** Is true if a person has signed in here, and not to another application. */
  get signedIn(): boolean {
    return this.isUser || this.me.value?.via === "local";
  }

  /** Is true if the person has signed in to a server with users, and not to one of their own. */
  private get isUser(): boolean {
    return this.me.value?.via === "sign_in" || this.isProxied;
  }

  /** Is true if a proxy in front has signed the person in, and signs them out. */
  get isProxied(): boolean {
    return this.me.value?.via === "proxy";
  }

  /** Is true if the person has a password here. */
  get hasPassword(): boolean {
    return this.me.value?.has_password === true;
  }

  /** Is true if the server knows the name of the person, which is that of the requester. */
  get named(): boolean {
    const me = this.me.value;
    return me !== null && me.via !== "anonymous" && me.name !== "";
  }

  /** Returns true if the person may manage this. */
  manages(right: Right): boolean {
    // These need no user of the directory.
    const isForAll = right === "read_audit" || right === "manage_server";
    return (isForAll ? this.signedIn : this.isUser) && this.may(right);
  }

  /** Takes the answer to a sign-in. */
  readonly entered = (me: Me): void => {
    remember(SIGNED, `in ${Date.now()}`);
    this.know(me);
  };

  private know(me: Me): void {
    const before = this.me.peek();
    this.ticketProblem.value = null;
    if (before !== null && before.id !== me.id) {
      // The page shows what another person may see.
      window.location.reload();
      return;
    }
    this.me.value = me;
    if (gate.closed.peek()) gate.open();
  }

  /** Acts in another team from now on, in all pages of this browser. */
  chooseTeam(id: string): void {
    chooseTeam(id);
    remember(SIGNED, `out ${Date.now()}`);
    window.location.assign(href("/"));
  }

  async signOut(everywhere: boolean): Promise<void> {
    await auth.logout(everywhere);
    remember(SIGNED, `out ${Date.now()}`);
    window.location.assign(href("/"));
  }

  /** Asks again who this is: rights may have changed, or another page has signed in or out. */
  readonly check = async (): Promise<void> => {
    try {
      this.know(await auth.me());
    } catch (error) {
      if (!(error instanceof ApiError)) return;
      if (error.status === 401) gate.close();
      // The person is no longer in the team.
      else if (error.status === 404 && chosenTeam() !== "") this.chooseTeam("");
    }
  };

  private async use(ticket: string): Promise<void> {
    try {
      this.entered(await auth.ticket(ticket));
    } catch (error) {
      this.ticketProblem.value =
        error instanceof ApiError && error.status !== 401
          ? error.detail
          : "This link has been used or has expired.";
      await this.check();
    }
  }

  private async loadOptions(): Promise<void> {
    try {
      this.options.value = await auth.options();
      gate.helps = !this.options.peek().anonymous;
    } catch {
      // A server without these routes; the page works without them as long as it is let in.
    }
  }
}

export const identity = new Identity();
