// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Getting in and out: sign-up, sign-in, unlocking, and the ways in that an
// account has. Keys are made and opened by Go; the account server sees wraps.

import type { Kit, Passkey, SessionInfo, SignUp } from '../core/protocol.ts';
import type { Given, OptionsDoc, SignInOptions } from '../core/wire.ts';
import { api, inApp } from './api.ts';
import type { GoCore } from './go.ts';
import { hex, type KnownAccount, type Store, type Wrap } from './store.ts';

interface Entered {
  account: string;
  session: SessionDoc;
  wraps: Wrap[];
}

interface SessionDoc {
  id: string;
  kind: 'browser' | 'terminal';
  label?: string;
  created: string;
  seen: string;
  current: boolean;
}

interface PasskeyDoc {
  id: string;
  label?: string;
  created: string;
  used: string;
  synced: boolean;
  wrapped: boolean;
}

const NOT_OPEN = { code: 'locked', message: 'Your history is locked. Open it with your passkey first.' };

export interface AccountHost {
  go(): Promise<GoCore>;
  store(): Promise<Store>;
  /** A session is there, the history isn't open yet. */
  entered(): void;
  /** The vault is open: load the history. */
  opened(): Promise<void>;
}

export class Account {
  /** The account of the session, or of the last one while offline. */
  known: KnownAccount | null = null;
  private session = '';
  /** `sotto app` serves this page: its session is a terminal's. */
  app = false;
  /** The account that this browser knew before another one entered and is not open yet. */
  private replaced = '';
  private made: { given: Given['credential']; account: string } | null = null;

  constructor(private readonly host: AccountHost) {}

  /** Some passkey gives a key; else a passphrase opens the history. */
  get prf(): boolean {
    return this.known?.wraps.some((w) => w.kind === 'passkey') ?? true;
  }

  /** Asks the server for the session. Null when there is none. */
  async resume(): Promise<KnownAccount | null> {
    const doc = await api<Entered>('GET', 'session');
    await this.enter(doc);
    return this.known;
  }

  /** Takes what this browser knows while the server can't be reached. */
  async recall(): Promise<KnownAccount | null> {
    this.known = (await (await this.host.store()).account()) ?? null;
    return this.known;
  }

  private async enter(doc: Entered, credential?: string): Promise<void> {
    const store = await this.host.store();
    const before = await store.account();
    const same = before?.account === doc.account ? before : undefined;
    this.session = doc.session.id;
    this.app = inApp() && doc.session.kind === 'terminal';
    this.known = {
      account: doc.account,
      device: same?.device ?? hex(crypto.getRandomValues(new Uint8Array(8))),
      wraps: doc.wraps,
      credential: credential ?? same?.credential,
    };
    this.replaced = before && !same ? before.account : '';
    // A server that names another account must not make this browser forget the
    // one it has, with words in it that only this browser holds.
    if (!this.replaced) await store.setAccount(this.known);
  }

  /** The keys are there, so the account is this person's: now the one before it may go. */
  private async unlocked(): Promise<void> {
    if (this.replaced) {
      const store = await this.host.store();
      await store.forgetAccount(this.replaced);
      await store.setAccount(this.known!);
      this.replaced = '';
    }
    await this.host.opened();
  }

  // ------------------------------------------------------------- signing up

  private begun: { account: string } | null = null;

  async signUpBegin(): Promise<OptionsDoc> {
    const { account, publicKey } = await api<{ account: string; publicKey: OptionsDoc }>('POST', 'signup/begin', {});
    this.begun = { account };
    return publicKey;
  }

  async signUpMade({ credential, prf }: Given): Promise<SignUp> {
    const account = this.begun?.account;
    if (!account) throw { code: 'no_draft', message: 'This took too long. Start again.' };
    this.made = { given: credential, account };
    return (await this.host.go()).call('newAccount', { account, credential: credential.id }, prf);
  }

  async signUpFinish(typed: [string, string], passphrase?: string): Promise<void> {
    if (!this.made) throw { code: 'no_draft', message: 'This took too long. Start again.' };
    const go = await this.host.go();
    const wraps = await go.call('finishAccount', { typed, passphrase: passphrase ?? '' });
    const credential = this.made.given;
    const doc = await api<Entered>('POST', 'signup/finish', { credential, wraps });
    await this.enter({ ...doc, wraps }, credential.id);
    await go.call('adopt', { device: this.known!.device });
    this.made = null;
    await this.unlocked();
    await this.nameThis(credential.id);
  }

  // ------------------------------------------------------------- signing in

  /** A locked history needs no server: any passkey that has a wrap opens it. */
  async signInBegin(): Promise<SignInOptions> {
    const allow = this.known?.wraps.filter((w) => w.kind === 'passkey').map((w) => w.ref ?? '') ?? [];
    if (allow.length > 0) return { server: null, allow };
    const { publicKey } = await api<{ publicKey: OptionsDoc }>('POST', 'signin/begin', {});
    return { server: publicKey, allow: [] };
  }

  async signInFinish({ credential, prf }: Given, local: boolean): Promise<void> {
    if (!local) {
      const doc = await api<Entered>('POST', 'signin/finish', { credential });
      await this.enter(doc, credential.id);
      this.host.entered();
    }
    const go = await this.host.go();
    await go.call('unlockPasskey', { ...this.unlock(), credential: credential.id }, prf);
    if (local) await this.remember(credential.id);
    await this.unlocked();
    if (!local) await this.nameThis();
  }

  /**
   * Opens the history with what the program that serves this page keeps. Nobody else may say what opens a history: a
   * site that could would have a person write under a key of its own.
   */
  async openApp(): Promise<void> {
    const { account, secret, wrap } = await api<{ account: string; secret: string; wrap: Wrap }>('POST', 'app/open', {});
    // The program's word on whose history this is, not the server's.
    if (!inApp() || this.known?.account !== account) throw NOT_OPEN;
    // A wrap of this once, in the form of a passkey's: the program stands in for the authenticator.
    const key = Uint8Array.from(atob(secret), (c) => c.charCodeAt(0));
    const unlock = { account, device: this.known.device, wraps: [wrap], credential: wrap.ref ?? '' };
    await (await this.host.go()).call('unlockPasskey', unlock, key);
    await this.unlocked();
  }

  /** Asks whether the program that serves this page was let in; if so, its session is this one. */
  async appLinked(): Promise<boolean> {
    if (!(await api<{ linked: boolean }>('POST', 'app/poll', {})).linked) return false;
    await this.resume();
    return true;
  }

  async unlockWithPassphrase(passphrase: string): Promise<void> {
    const go = await this.host.go();
    await go.call('unlockPassphrase', { ...this.unlock(), passphrase });
    await this.unlocked();
  }

  async recover(kit: string): Promise<void> {
    const go = await this.host.go();
    const { id } = await go.call('recoverBegin', { kit });
    const { challenge } = await api<{ challenge: string }>('POST', 'recover/begin', { recovery_id: id });
    const { signature } = await go.call('recoverSign', { challenge });
    const doc = await api<Entered>('POST', 'recover/finish', { recovery_id: id, challenge, signature });
    await this.enter(doc);
    this.host.entered();
    await go.call('recoverOpen', this.unlock());
    await this.unlocked();
    await this.nameThis();
  }

  private unlock(): { account: string; device: string; wraps: Wrap[] } {
    if (!this.known) throw NOT_OPEN;
    const { account, device, wraps } = this.known;
    return { account, device, wraps };
  }

  private async remember(credential: string): Promise<void> {
    if (!this.known || this.known.credential === credential) return;
    this.known = { ...this.known, credential };
    await (await this.host.store()).setAccount(this.known);
  }

  /** Gives this session and a fresh passkey a name that only the person's devices read. */
  private async nameThis(passkey?: string): Promise<void> {
    const label = await this.seal(browserName());
    const named = [api('PUT', `sessions/${this.session}/label`, { label })];
    if (passkey) named.push(api('PUT', `passkeys/${passkey}/label`, { label }));
    await Promise.allSettled(named); // a name is a kindness: without it the day is shown
  }

  private async seal(label: string): Promise<string> {
    return (await (await this.host.go()).call('sealLabel', { label })).sealed;
  }

  // ------------------------------------------------------------- ways in

  async passkeys(): Promise<Passkey[]> {
    const { passkeys } = await api<{ passkeys: PasskeyDoc[] }>('GET', 'passkeys');
    const labels = await this.openLabels(passkeys);
    return passkeys.map((p, i) => this.passkey(p, labels[i] || 'Passkey'));
  }

  private passkey(p: PasskeyDoc, label: string): Passkey {
    return { id: p.id, label, created: day(p.created), lastUsed: day(p.used), prf: p.wrapped, current: p.id === this.known?.credential };
  }

  async passkeyBegin(): Promise<OptionsDoc> {
    return (await api<{ publicKey: OptionsDoc }>('POST', 'passkeys/begin', {})).publicKey;
  }

  async passkeyMade({ credential, prf }: Given): Promise<Passkey> {
    const go = await this.host.go();
    const name = browserName();
    const label = await this.seal(name);
    const wrap = prf ? await go.call('wrapPasskey', { credential: credential.id }, prf) : undefined;
    const { passkey } = await api<{ passkey: PasskeyDoc }>('POST', 'passkeys/finish', { credential, label, ...(wrap ? { wrap } : {}) });
    if (wrap) await this.setWraps([...this.known!.wraps, wrap]);
    return this.passkey(passkey, name);
  }

  async removePasskey(id: string): Promise<void> {
    await api('DELETE', `passkeys/${id}`);
    await this.setWraps(this.known!.wraps.filter((w) => w.kind !== 'passkey' || w.ref !== id));
  }

  async sessions(): Promise<SessionInfo[]> {
    const { sessions } = await api<{ sessions: SessionDoc[] }>('GET', 'sessions');
    const labels = await this.openLabels(sessions);
    return sessions.map((s, i) => ({
      id: s.id,
      label: labels[i] || (s.kind === 'terminal' ? 'Terminal' : 'Browser'),
      kind: s.kind,
      created: day(s.created),
      lastSeen: day(s.seen),
      current: s.current,
    }));
  }

  async endSession(id: string): Promise<void> {
    await api('DELETE', `sessions/${id}`);
  }

  async newKit(): Promise<Kit> {
    return (await this.host.go()).call('newKit', {});
  }

  /** The new kit takes effect before the old one ends: there is never none. */
  async confirmKit(typed: [string, string]): Promise<void> {
    const wrap = await (await this.host.go()).call('confirmKit', { typed });
    await this.replace('recovery', wrap);
  }

  async setPassphrase(passphrase: string): Promise<void> {
    const wrap = await (await this.host.go()).call('wrapPassphrase', { passphrase });
    await this.replace('passphrase', wrap);
  }

  private async replace(kind: Wrap['kind'], wrap: Wrap): Promise<void> {
    await api('PUT', `wraps/${wrap.id}`, wrap);
    const { wraps } = await api<{ wraps: Wrap[] }>('GET', 'wraps');
    for (const old of wraps) {
      if (old.kind === kind && old.id !== wrap.id) await api('DELETE', `wraps/${old.id}`);
    }
    await this.setWraps(wraps.filter((w) => w.kind !== kind || w.id === wrap.id));
  }

  private async setWraps(wraps: Wrap[]): Promise<void> {
    this.known = { ...this.known!, wraps };
    await (await this.host.store()).setAccount(this.known);
  }

  private async openLabels(docs: { label?: string }[]): Promise<string[]> {
    const sealed = docs.map((d) => d.label ?? '');
    return (await (await this.host.go()).call('openLabels', { sealed })).labels;
  }

  // ------------------------------------------------------------- terminals

  private terminal = '';

  async link(id: string, secret: string): Promise<{ name: string; code: string; expires: number }> {
    const doc = await api<{ public_key: string; expires: number }>('GET', `links/${encodeURIComponent(id)}`);
    const { name, code } = await (await this.host.go()).call('openOffer', { public_key: doc.public_key, secret });
    this.terminal = name;
    // The link's own secret says that it is the terminal's, and not whose terminal
    // it is: somebody may have sent the person a link of theirs. The code is on the
    // screen of the terminal that made it.
    return { name, code, expires: doc.expires * 1000 };
  }

  async approveLink(id: string): Promise<void> {
    const wrap = await (await this.host.go()).call('wrapOffer', {});
    const label = await this.seal(this.terminal);
    await api('POST', `links/${encodeURIComponent(id)}/approve`, { wrap, label });
  }
}

/** Days are all that the account server tells of time. */
function day(s: string): number {
  return Date.parse(`${s}T00:00:00`) || 0;
}

/** This browser in a few words, for the person's own lists. */
function browserName(): string {
  const ua = navigator.userAgent;
  const find = (list: [string, string][]): string => list.find(([mark]) => ua.includes(mark))?.[1] ?? '';
  const browser = find([
    ['Edg/', 'Edge'],
    ['OPR/', 'Opera'],
    ['Firefox/', 'Firefox'],
    ['Chrome/', 'Chrome'],
    ['Safari/', 'Safari'],
  ]);
  const system = find([
    ['Android', 'Android'],
    ['iPhone', 'iPhone'],
    ['iPad', 'iPad'],
    ['Windows', 'Windows'],
    ['Mac OS', 'Mac'],
    ['CrOS', 'ChromeOS'],
    ['Linux', 'Linux'],
  ]);
  return [browser || 'Browser', system].filter(Boolean).join(' on ');
}
