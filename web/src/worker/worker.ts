// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The Worker: everything of the core that isn't the page. It answers the page's
// commands, runs Go, keeps ciphertext in IndexedDB and talks to the servers.
//
// The signed-out screen waits for none of this: the session is asked for while
// the WASM is still coming in.

import type { Session } from '../core/protocol.ts';
import { coreError, type Calls, type CallMessage, type WorkerEvent, type WorkerMessage } from '../core/wire.ts';
import { Account } from './account.ts';
import { api, ApiError, apiText, inApp, setAppKey } from './api.ts';
import { Deltas } from './deltas.ts';
import { GoCore } from './go.ts';
import { Store } from './store.ts';
import { Sync } from './sync.ts';

/** How long opening waits for the server's news before it shows what is here. */
const FIRST_SYNC_MS = 1_500;
/** How long it waits where nothing is here. */
const FIRST_SYNC_EMPTY_MS = 15_000;

class Core {
  private readonly store: Promise<Store>;
  private readonly go: Promise<GoCore>;
  private readonly deltas = new Deltas((e) => this.send({ event: e }));
  private readonly account: Account;
  private sync: Sync | null = null;
  /** The other tabs of this browser. */
  private readonly tabs = new BroadcastChannel('sotto');
  private session: Session = { state: 'starting' };
  /** The first try to find out who is here. */
  private readonly begun: Promise<void>;
  /** What this tab is called beside the tokens. */
  private readonly owner = crypto.randomUUID();
  /** Answers under way here, with what lets go of their locks. */
  private held = new Map<string, () => void>();

  constructor(private readonly port: MessagePort) {
    this.store = Store.open();
    this.account = new Account({
      go: () => this.go,
      store: () => this.store,
      entered: () => this.setSession('locked'),
      opened: () => this.open(),
    });
    // The session decides what is on the screen, so it is asked for first.
    this.begun = this.begin(true);
    this.go = this.boot();
    this.go.catch((e) => this.send({ event: { t: 'notice', kind: 'warn', code: 'core_failed', text: coreError(e).message } }));
    port.onmessage = (m: MessageEvent<CallMessage>) => void this.answer(m.data);
    addEventListener('online', () => this.wake());
    this.tabs.onmessage = (m: MessageEvent<{ rejoined?: string }>) => {
      // This tab's copy is of the history that was left: it is opened again.
      if (m.data.rejoined && m.data.rejoined === this.account.known?.account && this.sync) this.send({ restart: 'ended' });
    };
  }

  private send(m: WorkerMessage, transfer: Transferable[] = []): void {
    this.port.postMessage(m, transfer);
  }

  private emit(e: WorkerEvent): void {
    if (e.t === 'delta') return this.deltas.add(e);
    this.deltas.flush();
    this.send({ event: e });
  }

  private async boot(): Promise<GoCore> {
    const go = await GoCore.boot({
      emit: (e) => this.emit(e),
      queue: async (puts) => {
        const account = this.account.known?.account;
        if (!account) throw new Error('nothing to queue without an account');
        await (await this.store).enqueue(account, puts);
        this.sync?.written();
      },
      pending: async (id, sealed) => {
        const account = this.account.known?.account;
        if (!account) return;
        if (sealed) this.hold(id);
        await (await this.store).setPending(account, id, sealed);
        if (!sealed) this.letGo(id);
      },
      keep: async (kept) => (await this.store).setKept(kept),
      api: (method, path, body) =>
        apiText(method, path, body || undefined).then(
          (text) => ({ text }),
          (e: unknown) => ({ ...coreError(e), body: e instanceof ApiError ? e.body : '' }),
        ),
      openTokens: async () => (await this.store).openTokens(this.account.known!.account, this.owner),
      saveTokens: async (blob) => (await this.store).saveTokens(this.account.known!.account, this.owner, blob),
      ended: () => this.send({ restart: 'broken' }),
    });
    const consent = await this.store.then((s) => s.consent()).catch(() => false);
    const kept = await this.store.then((s) => s.kept()).catch(() => '');
    const appKey = await this.store.then((s) => s.appKey()).catch(() => '');
    if (isLocal() && appKey !== '') setAppKey(appKey); // the first look at the machines may go through it
    await go.call('start', { origin: location.origin, local: await mayBeDemo(appKey), consent, kept, policy: __POLICY__ });
    return go;
  }

  // ------------------------------------------------------------- the session

  private async begin(first = false): Promise<void> {
    delete this.session.app;
    try {
      // Only where `sotto app` serves the page there is a key, so others don't wait for the store.
      if (first && isLocal()) setAppKey(await this.store.then((s) => s.appKey()).catch(() => ''));
      await this.account.resume();
      if (this.account.app) this.session.app = 'linked';
      this.setSession('locked');
    } catch (e) {
      if (e instanceof ApiError && e.status === 401) {
        if (isLocal() && e.code === 'app_key') this.session.app = 'closed';
        if (inApp() && e.code === 'app_link') this.session.app = 'unlinked';
        this.setSession('signed-out');
      } else if (e instanceof ApiError) {
        const known = await this.account.recall().catch(() => null);
        this.session.offline = true;
        if (known && inApp()) this.session.app = 'linked';
        this.setSession(known ? 'locked' : 'signed-out');
      } else {
        this.setSession('signed-out');
        const { code, message } = coreError(e);
        this.emit({ t: 'notice', kind: 'warn', code, text: message });
      }
    }
  }

  private setSession(state: Session['state']): void {
    const { known, prf } = this.account;
    const { offline, app } = this.session;
    this.session = { state, ...(offline ? { offline } : {}), ...(app ? { app } : {}) };
    if (known && state !== 'signed-out') {
      Object.assign(this.session, { account: known.account, prf, kitConfirmed: known.wraps.some((w) => w.kind === 'recovery') });
    }
    this.emit({ t: 'session', session: { ...this.session } });
  }

  /** Loads the history into the vault that Go has just opened. */
  private async open(): Promise<void> {
    const go = await this.go;
    const store = await this.store;
    const { account } = this.account.known!;
    this.sync?.stop();
    this.sync = new Sync(go, store, account, {
      reach: (offline) => this.reach(offline),
      ended: () => this.send({ restart: 'ended' }),
      rejoined: () => this.tabs.postMessage({ rejoined: account }),
      refused: (e) => this.emit({ t: 'notice', kind: 'warn', code: e.code, text: `The server refused to keep something. ${e.message}` }),
    }, isLocal());
    let empty = true;
    try {
      for await (const part of store.entries(account)) {
        empty = false;
        await go.call('load', { entries: part.entries, puts: [] });
        this.emit({ t: 'loading', progress: part.done });
      }
    } catch {
      // What is stored here was changed or is broken. The server's copy is checked
      // just as strictly, so go on from there. But what of it this browser has
      // seen before is forgotten with it, and only the person can tell.
      await store.forgetFeed(account, (await go.call('head', {})).seq);
      this.emit({
        t: 'notice',
        kind: 'history',
        code: 'store_damaged',
        text: 'A part of the history that this browser keeps was damaged or changed, so it is fetched from the server again. Look whether your newest chats are there; if not, another device may have them.',
      });
    }
    const puts = (await store.queued(account)).map((q) => q.put);
    await go.call('load', { entries: [], puts });

    const news = this.sync.poke();
    await Promise.race([news, new Promise((r) => setTimeout(r, empty ? FIRST_SYNC_EMPTY_MS : FIRST_SYNC_MS))]);
    this.setSession('open');
    await go.call('opened', {});
    this.emit({ t: 'loading', progress: 1 });
    this.sync.follow();
    for (const id of await store.pendingIds(account)) void this.resume(go, store, id);
  }

  /**
   * Takes up an answer that was under way. While another tab has it, that tab
   * holds its lock; should it go away, this one takes over.
   */
  private async resume(go: GoCore, store: Store, id: string): Promise<void> {
    if (this.held.has(id)) return;
    await navigator.locks.request(`sotto-answer-${id}`, async () => {
      const sealed = await store.pending(id);
      if (!sealed) return;
      const done = new Promise<void>((resolve) => this.held.set(id, resolve));
      try {
        await go.call('resume', { id, sealed: base64(sealed) });
        await done;
      } catch {
        await store.setPending(this.account.known!.account, id, null); // not readable: there is nothing to take up
        this.letGo(id);
      }
    });
  }

  private hold(id: string): void {
    if (this.held.has(id)) return;
    const done = new Promise<void>((resolve) => this.held.set(id, resolve));
    void navigator.locks.request(`sotto-answer-${id}`, () => done);
  }

  private letGo(id: string): void {
    this.held.get(id)?.();
    this.held.delete(id);
  }

  private reach(offline: boolean): void {
    this.session.offline = offline;
    if (!offline) delete this.session.offline;
    this.emit({ t: 'session', session: { ...this.session } });
    void this.go.then((go) => go.call('reach', { offline }));
    if (offline) {
      this.emit({ t: 'notice', kind: 'offline', code: 'offline', text: 'The server can’t be reached. What you write is kept here, sealed, and saved when it is back.' });
    }
  }

  /** Posts what is held, before this browser forgets it. Without the server, the person goes all the same. */
  private async flushed(): Promise<void> {
    if (this.sync) await Promise.race([this.sync.release(), new Promise((r) => setTimeout(r, FIRST_SYNC_EMPTY_MS))]);
  }

  private wake(): void {
    this.sync?.wake();
    void this.go.then((go) => go.call('wake', {})).catch(() => {});
    if (!this.sync && this.session.offline) {
      delete this.session.offline;
      void this.begin();
    }
  }

  private async erased(): Promise<void> {
    this.sync?.stop();
    await (await this.store).erase();
  }

  // ------------------------------------------------------------- commands

  private async answer({ id, method, args }: CallMessage): Promise<void> {
    try {
      const f = this.calls[method] as (...a: unknown[]) => Promise<unknown>;
      const value = await f(...args);
      this.send({ id, value }, value instanceof Uint8Array ? [value.buffer] : []);
    } catch (e) {
      this.send({ id, error: coreError(e) });
    }
  }

  private readonly calls: Calls = {
    signUpBegin: () => this.account.signUpBegin(),
    signUpMade: (given) => this.account.signUpMade(given),
    signUpFinish: (typed, passphrase) => this.account.signUpFinish(typed, passphrase),
    signInBegin: () => this.account.signInBegin(),
    signInFinish: (given, local) => this.account.signInFinish(given, local),
    unlockWithPassphrase: (p) => this.account.unlockWithPassphrase(p),
    recover: (kit) => this.account.recover(kit),
    passkeyBegin: () => this.account.passkeyBegin(),
    passkeyMade: (given) => this.account.passkeyMade(given),
    passkeys: () => this.account.passkeys(),
    removePasskey: (id) => this.account.removePasskey(id),
    sessions: () => this.account.sessions(),
    endSession: (id) => this.account.endSession(id),
    newKit: () => this.account.newKit(),
    confirmKit: (typed) => this.account.confirmKit(typed),
    setPassphrase: (p) => this.account.setPassphrase(p),
    link: (id, secret) => this.account.link(id, secret),
    approveLink: (id) => this.account.approveLink(id),

    appKey: async (key) => {
      if (!isLocal()) return; // an ordinary site has none
      await this.begun;
      setAppKey(key);
      await (await this.store).setAppKey(key).catch(() => {}); // this tab works without
      await this.begin(); // a page that was open has the key of an earlier run
    },
    linkApp: async () => {
      const offer = await api<{ url: string; code: string; expires: number }>('POST', 'app/link', {});
      return { ...offer, expires: offer.expires * 1000 };
    },
    appLinked: async () => {
      if (!(await this.account.appLinked())) return false;
      this.session.app = 'linked';
      this.setSession('locked');
      return true;
    },
    openApp: () => this.account.openApp(),

    signOut: async () => {
      await this.flushed();
      this.sync?.stop();
      await api('POST', 'signout', {}).catch((e: unknown) => {
        if (!(e instanceof ApiError && e.status === 401)) throw e;
      });
    },
    forgetBrowser: async () => {
      await this.flushed();
      await api('POST', 'signout', {}).catch(() => {}); // offline, the cookie stays and opens nothing
      await this.erased();
    },
    deleteAccount: async (typed) => {
      if (typed !== 'delete') throw { code: 'not_confirmed', message: 'Type the word delete to confirm.' };
      await api('DELETE', 'account');
      await this.erased();
    },

    rejoin: async () => {
      if (!this.sync) throw { code: 'locked', message: 'Your history was locked meanwhile. Open it and try again.' };
      await this.sync.rejoin();
    },

    plan: async () => (await this.go).call('plan', {}),
    planPage: async (which) => (await api<{ url: string }>('POST', `plan/${which}`, {})).url,
    voucher: async (code) => {
      await api('POST', 'plan/voucher', { code });
      return (await this.go).call('plan', {});
    },

    checkAgain: async () => (await this.go).call('check', {}),
    acceptDemo: async () => {
      const go = await this.go;
      await go.call('acceptDemo', {});
      await (await this.store).setConsent();
    },
    report: async () => (await this.go).call('report', {}),
    judgePage: async (seen) => (await this.go).call('judgePage', seen),
    exportProof: async () => (await this.go).call('proof', {}),

    openChat: async (chat) => (await this.go).call('openChat', { chat }),
    closeChat: async (chat) => void (await (await this.go).call('closeChat', { chat })),
    newChat: async ({ temporary }) => (await this.go).call('newChat', { temporary }),
    send: async (chat, parent, text, model) => (await this.go).call('send', { chat, parent, text, model }),
    regenerate: async (chat, message, model) => (await this.go).call('regenerate', { chat, message, model }),
    stop: async (chat) => void (await (await this.go).call('stop', { chat })),
    rename: async (chat, title) => void (await (await this.go).call('rename', { chat, title })),
    pin: async (chat, on) => void (await (await this.go).call('pin', { chat, on })),
    archive: async (chat, on) => void (await (await this.go).call('archive', { chat, on })),
    deleteChat: async (chat) => void (await (await this.go).call('deleteChat', { chat })),
    search: async (query) => (await this.go).call('search', { query }),
    exportAll: async () => (await this.go).call('exportAll', {}),
    exportChat: async (chat, as) => (await this.go).call('exportChat', { chat, as }),
    setSettings: async (s) => void (await (await this.go).call('setSettings', s)),
    wake: async () => this.wake(),
    rest: async () => void this.sync?.release(),
    ping: async () => {},
  };
}

/** Whether the page comes from this machine. */
function isLocal(): boolean {
  return location.hostname === 'localhost' || location.hostname === '127.0.0.1';
}

/** Whether demo hardware may be accepted: where it is the person's own. `sotto app` may talk to somebody else's. */
async function mayBeDemo(appKey: string): Promise<boolean> {
  if (!isLocal()) return false;
  try {
    return (await api<{ allowed: boolean }>('POST', 'app/demo', {})).allowed;
  } catch (e) {
    // `sotto app` always says. Where nobody answers, it is what was here before.
    return e instanceof ApiError && (e.status !== 0 || appKey === '');
  }
}

function base64(b: Uint8Array): string {
  let s = '';
  for (let i = 0; i < b.length; i += 0x8000) s += String.fromCharCode(...b.subarray(i, i + 0x8000));
  return btoa(s);
}

addEventListener('message', (e: MessageEvent<unknown>) => {
  const port = e.ports[0];
  if (e.data === 'page' && port) new Core(port);
}, { once: true });
