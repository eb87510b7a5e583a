// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The core in Go: what it can be asked, and what it asks of the Worker.
// cmd/sotto-wasm is the other side.

import 'go/wasm_exec';
import { integrity, NotPublished } from '../core/digest.ts';
import type { Answered, ChatSummary, ChatView, CoreError, Hit, Kit, PageJudged, PageSeen, Plan, Settings, Trust } from '../core/protocol.ts';
import type { WorkerEvent } from '../core/wire.ts';
import { throughApp, type Method } from './api.ts';
import type { Entry, Page, Put, Tokens, Wrap } from './store.ts';

interface Unlock {
  account: string;
  device: string;
  wraps: Wrap[];
}

/** The methods: arguments and results. `Uint8Array` results are bytes, the rest is JSON. */
export interface GoCalls {
  start: [{ origin: string; local: boolean; consent: boolean; kept: string; policy: string }, object];
  acceptDemo: [object, object];
  check: [object, Trust];
  proof: [object, Uint8Array];
  report: [object, Answered[]];
  judgePage: [PageSeen, PageJudged];
  plan: [object, Plan];

  newAccount: [{ account: string; credential: string }, { prf: boolean; kit: Kit }];
  finishAccount: [{ typed: [string, string]; passphrase: string }, Wrap[]];
  adopt: [{ device: string }, object];
  unlockPasskey: [Unlock & { credential: string }, object];
  unlockPassphrase: [Unlock & { passphrase: string }, object];
  recoverBegin: [{ kit: string }, { id: string }];
  recoverSign: [{ challenge: string }, { signature: string }];
  recoverOpen: [Unlock, object];
  wrapPasskey: [{ credential: string }, Wrap];
  wrapPassphrase: [{ passphrase: string }, Wrap];
  newKit: [object, Kit];
  confirmKit: [{ typed: [string, string] }, Wrap];
  openOffer: [{ public_key: string; secret: string }, { name: string; code: string }];
  wrapOffer: [object, Wrap];
  sealLabel: [{ label: string }, { sealed: string }];
  openLabels: [{ sealed: string[] }, { labels: string[] }];

  load: [{ entries: Entry[]; puts: Put[] }, object];
  opened: [object, object];
  head: [object, { seq: number; hash: string }];
  apply: [{ page: Page }, { seq: number; again: boolean; erased: boolean }];
  acked: [{ puts: Put[]; seqs: number[]; head: { seq: number; hash: string } }, { entries: Entry[]; erased: boolean }];
  rejoin: [{ puts: Put[] }, object];
  pending: [object, { puts: Put[] }];
  erasing: [object, { seqs: number[] }];
  reach: [{ offline: boolean }, object];
  resume: [{ id: string; sealed: string }, object];
  wake: [object, object];

  openChat: [{ chat: string }, ChatView];
  closeChat: [{ chat: string }, object];
  newChat: [{ temporary: boolean }, ChatSummary];
  send: [{ chat: string; parent: string; text: string; model: string }, { user: string; assistant: string }];
  regenerate: [{ chat: string; message: string; model: string }, { assistant: string }];
  stop: [{ chat: string }, object];
  rename: [{ chat: string; title: string }, object];
  pin: [{ chat: string; on: boolean }, object];
  archive: [{ chat: string; on: boolean }, object];
  deleteChat: [{ chat: string }, object];
  search: [{ query: string }, Hit[]];
  exportAll: [object, Uint8Array];
  exportChat: [{ chat: string; as: string }, Uint8Array];
  setSettings: [Partial<Omit<Settings, 'theme'>>, object];
}

type RawCall = (method: string, args: string, secret: Uint8Array | null) => Promise<string | Uint8Array>;

/** What the account server answered. */
export type ApiAnswer = { text: string } | (CoreError & { body: string });

interface FetchResult {
  status: number;
  contentType: string;
  reader: ReadableStreamDefaultReader<Uint8Array> | null;
}

/** What Go asks of the Worker; see `browser` in cmd/sotto-wasm/bridge_js.go. */
interface GoHost {
  ready(call: RawCall): void;
  emit(event: string): void;
  queue(puts: string): Promise<void>;
  pending(id: string, sealed: Uint8Array | null): Promise<void>;
  keep(kept: string): void;
  api(method: string, path: string, body: string): Promise<ApiAnswer>;
  openTokens(): Promise<Tokens>;
  saveTokens(blob: Uint8Array): Promise<boolean>;
  fetch(
    method: string,
    url: string,
    contentType: string,
    body: Uint8Array<ArrayBuffer> | null,
    fields: Record<string, string>,
    signal: AbortSignal,
  ): Promise<FetchResult>;
}

export interface Host {
  emit(e: WorkerEvent): void;
  queue(puts: Put[]): Promise<void>;
  pending(id: string, sealed: Uint8Array | null): Promise<void>;
  keep(kept: string): Promise<void>;
  api(method: Method, path: string, body: string): Promise<ApiAnswer>;
  /** Makes this tab the one that pays, and gives what it pays with. */
  openTokens(): Promise<Tokens>;
  /** False: another tab pays now. */
  saveTokens(blob: Uint8Array): Promise<boolean>;
  /** The program has ended, which it never should. */
  ended(): void;
}

export class GoCore {
  private constructor(private readonly raw: RawCall) {}

  /** Fetches and compiles the core (while it comes in), and starts it if it is the one that belongs to this Worker. */
  static async boot(host: Host): Promise<GoCore> {
    const go = new Go();
    // No browser checks WASM by a digest of its own accord. A mere compiled module runs nothing.
    const answer = await fetch(__WASM_URL__, { priority: 'low' });
    const whole = answer.clone().arrayBuffer().then(integrity);
    const [compiled, sum] = await Promise.allSettled([WebAssembly.compileStreaming(answer), whole]);
    if (sum.status === 'rejected') throw sum.reason;
    if (sum.value !== __WASM_INTEGRITY__) throw new NotPublished('The part that seals and opens your messages');
    if (compiled.status === 'rejected') throw compiled.reason;
    const instance = await WebAssembly.instantiate(compiled.value, go.importObject);
    return new Promise((resolve) => {
      const side: GoHost = {
        ready: (call) => resolve(new GoCore(call)),
        emit: (e) => host.emit(JSON.parse(e) as WorkerEvent),
        queue: (puts) => host.queue(JSON.parse(puts) as Put[]),
        pending: (id, sealed) => host.pending(id, sealed),
        // Without it, a change of release or a log that goes back is noticed one visit later.
        keep: (kept) => void host.keep(kept).catch(() => undefined),
        openTokens: () => host.openTokens(),
        saveTokens: (blob) => host.saveTokens(blob),
        api: (method, path, body) => host.api(method as Method, path, body),
        fetch: sealedFetch,
      };
      (globalThis as { sottoHost?: GoHost }).sottoHost = side;
      void go.run(instance).then(() => host.ended());
    });
  }

  /** Asks Go. `secret` is overwritten there. Rejects with a CoreError. */
  async call<K extends keyof GoCalls>(method: K, args: GoCalls[K][0], secret: Uint8Array | null = null): Promise<GoCalls[K][1]> {
    const out = await this.raw(method, JSON.stringify(args), secret);
    return (typeof out === 'string' ? JSON.parse(out) : out) as GoCalls[K][1];
  }
}

/** Carries sealed bytes to the service, or to its relay: no cookies, nothing that names the person. */
async function sealedFetch(
  method: string,
  url: string,
  contentType: string,
  body: Uint8Array<ArrayBuffer> | null,
  fields: Record<string, string>,
  signal: AbortSignal,
): Promise<FetchResult> {
  // In the app, the program that serves it carries what goes to the relay.
  const [at, app] = throughApp(url);
  const r = await fetch(at, {
    method,
    signal,
    credentials: 'omit',
    cache: 'no-store',
    redirect: 'error',
    referrerPolicy: 'no-referrer',
    headers: { ...fields, ...app, ...(body ? { 'Content-Type': contentType } : {}) },
    ...(body ? { body } : {}),
  });
  return { status: r.status, contentType: r.headers.get('Content-Type') ?? '', reader: r.body?.getReader() ?? null };
}
