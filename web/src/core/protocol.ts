// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The seam between the page and its core.
//
// Everything that seals, opens, verifies or holds a key lives behind `Core`, in
// a Worker. The page gets plain data and sends plain commands; it never sees a
// key. Every document here survives structured cloning.

// ---------------------------------------------------------------- verdict

/** One check of a machine, as in spec/verdict.md. */
export interface Check {
  id: string;
  title: string;
  status: 'ok' | 'fail' | 'warn';
  detail: string;
  want?: string;
  found?: string;
  /** How a person can redo this check by hand. */
  redo?: string;
  /** The name of what was wrong, from the closed list of spec/verdict.md. */
  failure?: string;
  /** Whose evidence a part is about. */
  platform?: string;
  /** The single findings that a row sums up. */
  parts?: Check[];
}

/** What the client found out about one machine: spec/verdict.md. */
export interface Verdict {
  v: number;
  state: 'verified' | 'demo' | 'failed' | 'unknown';
  failure?: string;
  summary: string;
  node: string;
  key_id: string;
  release: string;
  /** What identifies the chip, as far as its evidence tells. */
  chip?: string;
  platforms: string[];
  models?: { id: string; digest: string; context?: number }[];
  /** Where the release stands in the public log; absent where there is none. */
  log?: {
    version: string;
    /** Unix seconds, as the release itself says; `seen` is the witnesses' time. */
    published: number;
    log: string;
    index: number;
    size: number;
    seen: number;
    witnesses: string[];
  };
  not_before: number;
  not_after: number;
  checked_at: number;
  checks: Check[];
}

/**
 * The state shown beside the send button. `failed`, `unknown` and `checking`
 * never send; `consent` is the demo before the person has accepted it once.
 */
export type TrustState =
  | 'checking'
  | 'verified'
  | 'verified-old'
  | 'changed'
  | 'unknown'
  | 'failed'
  | 'consent'
  | 'demo';

export interface Trust {
  state: TrustState;
  /** A line for the composer: "Private — checked 14:02". Made by the core's sentence table where it names a failure. */
  line: string;
  /** One more sentence for the panel: what happened and what to do. */
  detail: string;
  /** Milliseconds since the epoch; 0 when never. */
  checkedAt: number;
  verdicts: Verdict[];
}

/** Kept with each answer: who answered, as it was then. */
export interface Receipt {
  v: number;
  node: string;
  key_id: string;
  platform: string;
  release: string;
  state: string;
  /** Of the release, its place in the public log, and how many had seen that; absent where there was none. */
  version?: string;
  log_index?: number;
  witnesses?: number;
  /** The verdict's rows as they were; older receipts have none. */
  checks?: { id: string; status: Check['status']; detail: string }[];
  chip?: string;
  not_before: number;
  not_after: number;
  time: number;
}

/** One answer in the report: Answered of vault/report.go. */
export interface Answered {
  /** Unix seconds. */
  time: number;
  chat: string;
  title: string;
  message: string;
  model: string;
  machine: string;
  platform: string;
  state: string;
  release: string;
  version?: string;
  entry?: number;
  witnesses?: number;
}

// ---------------------------------------------------------------- the page

/** What was found of the page itself: pageArgs of cmd/sotto-wasm/page.go. */
export interface PageSeen {
  kept: string;
  was: string;
  log: string;
  served: boolean;
  offered: Record<string, string> | null;
  replaced: boolean;
  changed: string;
  unable: boolean;
}

/** What there is to tell a person of the page. */
export interface PageNews {
  /** `update`: a new version is ready; `updated`: it has begun; `refused`: the server's page was refused; `changed`: nothing may be sent. */
  news: '' | 'update' | 'updated' | 'refused' | 'changed';
  text: string;
  version: string;
  entry: number;
  /** The version before, of an update. */
  from: string;
  /** In words. */
  changes: string[];
}

/** What the public log says of the page: pageDoc of cmd/sotto-wasm/page.go. */
export interface PageJudged extends PageNews {
  keep: { digest: string; version: string; entry: number; log: string; files: Record<string, string> } | null;
  anew: boolean;
}

// ---------------------------------------------------------------- the plan

/** What a person may do here, and who sees where they are: planDoc of cmd/sotto-wasm/plan.go. Times are in milliseconds, 0 for none. */
export interface Plan {
  /** The service has said what it is: until then nothing here means anything. */
  known: boolean;
  /** Messages are counted, without saying whose they are. */
  tokens: boolean;
  /** Plans can be bought here, for `price`. */
  billing: boolean;
  price: string;
  /** `free`, `member`, or '' where none is known. */
  plan: string;
  /** Messages a day; -1: not counted. */
  perDay: number;
  /** Fair use: messages an hour; 0: not counted. */
  perHour: number;
  /** Messages left today; -1: not counted, -2: not known. */
  left: number;
  /** When new ones come. */
  resets: number;
  /** When fair use lets on. */
  again: number;
  /** Chats that may be active at once; 0: any number. */
  chats: number;
  /** The last day that is paid, as 2026-12-14; '' for none. */
  until: string;
  /** What to quote when asking for help. */
  account: string;
  /** How the card stands: '' where there is none. */
  card: '' | 'active' | 'ending' | 'failed';
  /** What hides the person's network address; null where nothing does. */
  relay: { host: string; operator: string; local: boolean; error: CoreError | null } | null;
  /** Why messages can't be counted now. */
  error: CoreError | null;
}

// ---------------------------------------------------------------- session

export type SessionState =
  /** The core is starting. */
  | 'starting'
  /** No session: show the welcome screen. */
  | 'signed-out'
  /** A session, but the root key is not in memory: one gesture opens it. */
  | 'locked'
  /** Signed in and unlocked. */
  | 'open';

export interface Session {
  state: SessionState;
  account?: string;
  /** This browser's passkey gives a key (PRF). False: a passphrase opens the history. */
  prf?: boolean;
  /** The kit has been shown and confirmed. */
  kitConfirmed?: boolean;
  offline?: boolean;
  /**
   * Where `sotto app` serves this page: `closed` without the key of its address, `unlinked` before it has an account,
   * `linked` with one. Passkeys are of no use there.
   */
  app?: 'closed' | 'unlinked' | 'linked';
}

/** What sign-up answers; the kit is shown once and confirmed with `confirmKit`. */
export interface SignUp {
  /** False: the passkey gave no key, so a passphrase is needed: call `signUpFinish` with one. */
  prf: boolean;
  kit: Kit;
}

export interface Kit {
  /** Eight groups of five characters. */
  groups: string[];
  /** Zero-based groups that the person types back. */
  confirm: [number, number];
  /** ISO date, for the printed page. */
  made: string;
}

export interface Passkey {
  id: string;
  label: string;
  created: number;
  lastUsed: number;
  prf: boolean;
  current: boolean;
}

export interface SessionInfo {
  id: string;
  label: string;
  kind: 'browser' | 'terminal';
  created: number;
  lastSeen: number;
  current: boolean;
}

// ---------------------------------------------------------------- chats

export interface ChatSummary {
  id: string;
  title: string;
  pinned: boolean;
  archived: boolean;
  folder: string;
  temporary: boolean;
  model: string;
  created: number;
  updated: number;
  /** An answer is being written in it now. */
  busy: boolean;
}

export interface Message {
  id: string;
  chat: string;
  /** '' for a first message. */
  parent: string;
  role: 'user' | 'assistant' | 'system';
  text: string;
  reasoning?: string;
  model?: string;
  status: 'sending' | 'streaming' | 'reconnecting' | 'complete' | 'stopped' | 'failed';
  /** One plain sentence, when failed or cut. */
  error?: string;
  /** What the sentence is about, from the core's closed list. */
  errorCode?: string;
  created: number;
  receipt?: Receipt;
  /** Kept in memory only until the server has it. */
  unsaved?: boolean;
}

/** A chat's whole tree; the page keeps which branch is shown. */
export interface ChatView {
  chat: ChatSummary;
  messages: Message[];
  /** The newest leaf, shown at first. */
  leaf: string;
}

export interface Hit {
  chat: string;
  message: string;
  title: string;
  role: 'user' | 'assistant' | 'title';
  /** Plain text around the hit. */
  snippet: string;
  /** Ranges in `snippet` to mark: [start, end) in UTF-16 units. */
  marks: [number, number][];
  created: number;
}

export interface Model {
  id: string;
  name: string;
  /** Shown as a demo everywhere. */
  demo: boolean;
  context?: number;
  digest?: string;
  /** The engine behind it, in words. */
  engine?: string;
}

export type Theme = 'system' | 'light' | 'dark';

/** Sealed in the vault, the same on every device, except `theme`. */
export interface Settings {
  theme: Theme;
  model: string;
  instructions: string;
  /** Ctrl/⌘+Enter sends; Enter makes a new line. */
  enterSends: boolean;
}

// ---------------------------------------------------------------- events

export type CoreEvent =
  | { t: 'session'; session: Session }
  | { t: 'trust'; trust: Trust }
  | { t: 'page'; page: PageNews }
  | { t: 'models'; models: Model[] }
  | { t: 'plan'; plan: Plan }
  /** The whole list, newest first, pinned first. */
  | { t: 'chats'; chats: ChatSummary[] }
  /** A chat that the page has opened has changed in more than streamed text. */
  | { t: 'chat'; view: ChatView }
  /** Text to append to a streaming message; at most one a frame. */
  | { t: 'delta'; chat: string; message: string; text: string; reasoning?: string }
  | { t: 'settings'; settings: Settings }
  /** Progress of opening a long history: 0..1. */
  | { t: 'loading'; progress: number }
  /**
   * Something the person should know: a sentence and what to do. `history` = the server's copy doesn't fit (rolled back,
   * hidden, swapped); with `rejoin`, nothing is saved until the person goes on with it.
   */
  | { t: 'notice'; kind: 'info' | 'warn' | 'history' | 'offline'; code: string; text: string; rejoin?: boolean };

/** Every rejected promise of `Core` is one of these (structured-cloned as a plain object). */
export interface CoreError {
  code: string;
  /** One plain sentence that says what to do. */
  message: string;
}

// ---------------------------------------------------------------- core

/** The page's whole view of the core. Implemented by `connect()` in core.ts. */
export interface Core {
  /** Calls `f` with every event from now on, after the current state of each kind. Returns a function that ends it. */
  on(f: (e: CoreEvent) => void): () => void;

  // Account. These run the WebAuthn ceremony in the page, so they must be called from a gesture.
  /** Makes a passkey and a root key; nothing is at the server until `signUpFinish`. */
  signUp(): Promise<SignUp>;
  /** Checks the typed groups, then creates the account with both wraps. `passphrase` only where `prf` was false. */
  signUpFinish(typed: [string, string], passphrase?: string): Promise<void>;
  /** Signs in with a passkey and unlocks; where the passkey gives no key, rejects with `passphrase_needed`. */
  signIn(): Promise<void>;
  /** After `passphrase_needed`, or to open a locked session without a passkey. */
  unlockWithPassphrase(passphrase: string): Promise<void>;
  /** Signs in and unlocks with the recovery kit; a typo names the group. */
  recover(kit: string): Promise<void>;
  signOut(): Promise<void>;
  lock(): Promise<void>;
  /** Everything on this browser goes, the account stays. */
  forgetBrowser(): Promise<void>;
  /** Erases the account and everything in it, at once. `typed` must be 'delete'. */
  deleteAccount(typed: string): Promise<void>;

  passkeys(): Promise<Passkey[]>;
  addPasskey(): Promise<Passkey>;
  removePasskey(id: string): Promise<void>;
  sessions(): Promise<SessionInfo[]>;
  endSession(id: string): Promise<void>;
  /** A new kit in place of the old one; confirmed like at sign-up. */
  newKit(): Promise<Kit>;
  confirmKit(typed: [string, string]): Promise<void>;
  setPassphrase(passphrase: string): Promise<void>;

  /** A terminal that wants in: what to show before approving. */
  link(id: string): Promise<{ name: string; code: string; expires: number }>;
  approveLink(id: string): Promise<void>;

  // Where `sotto app` serves this page.
  /** An address to open where one is signed in, to let this app in. */
  linkApp(): Promise<{ url: string; code: string; expires: number }>;
  /** Whether it was approved; the session is there then. */
  appLinked(): Promise<boolean>;
  /** Opens the history with what the app keeps. */
  openApp(): Promise<void>;

  // Trust.
  checkAgain(): Promise<Trust>;
  /** The person accepts demo hardware in this browser, once. Only works on localhost. */
  acceptDemo(): Promise<void>;
  /** The newest proof as a JSON file. */
  exportProof(): Promise<Uint8Array>;
  /** Who answered what, newest first. */
  report(): Promise<Answered[]>;
  /** The person has read what changed in the page. */
  pageTold(): Promise<void>;

  // Chats.
  openChat(id: string): Promise<ChatView>;
  closeChat(id: string): Promise<void>;
  /** Starts a chat; nothing is stored until its first message. */
  newChat(opts: { temporary: boolean }): Promise<ChatSummary>;
  /** Adds a message under `parent` and asks for an answer. Resolves when the message is accepted, not answered. */
  send(chat: string, parent: string, text: string, model: string): Promise<{ user: string; assistant: string }>;
  /** A new answer beside `message`. */
  regenerate(chat: string, message: string, model: string): Promise<{ assistant: string }>;
  /** Stops at the engine and keeps what came. */
  stop(chat: string): Promise<void>;
  rename(chat: string, title: string): Promise<void>;
  pin(chat: string, on: boolean): Promise<void>;
  archive(chat: string, on: boolean): Promise<void>;
  /** The page calls this when the time to undo is over. */
  deleteChat(chat: string): Promise<void>;
  search(query: string): Promise<Hit[]>;
  /** A .zip of everything, or one chat as Markdown or JSON. Plaintext: the page says so first. */
  exportAll(): Promise<Uint8Array>;
  exportChat(chat: string, as: 'md' | 'json'): Promise<Uint8Array>;

  /** After a notice with `rejoin`: takes the server's history as it is now and adds what only this device has. */
  rejoin(): Promise<void>;

  /** Asks anew what the account may do. */
  plan(): Promise<Plan>;
  /** An address at the payment provider: to become a member, or to change and end that. */
  planPage(which: 'checkout' | 'portal'): Promise<string>;
  /** Takes a code that pays for a plan. */
  voucher(code: string): Promise<Plan>;

  setSettings(s: Partial<Settings>): Promise<void>;
}
