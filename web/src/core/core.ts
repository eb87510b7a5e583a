// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The page's half of the core: it starts the Worker by way of the core's frame,
// passes commands and events through, and runs the passkey ceremonies, which
// only a page can.
//
// Locking, signing out and forgetting take the frame away and make a new one: the
// Worker's memory, with the keys in it, ends with its document.

import type { Keeper } from '../keeper/keeper.ts';
import { Heartbeat } from './heartbeat.ts';
import { lazy } from './lazy.ts';
import type { Core, CoreError, CoreEvent, Settings, Theme, TrustState } from './protocol.ts';
import { answerWithPasskey, makePasskey, usePasskey } from './webauthn.ts';
import type { Calls, CallMessage, Given, WorkerEvent, WorkerMessage } from './wire.ts';

const FAILED: CoreError = {
  code: 'core_failed',
  message: 'The part that seals and opens your messages did not load. Nothing was sent. Check your connection, then reload.',
};
const RESTARTED: CoreError = {
  code: 'core_restarted',
  message: 'Something went wrong, so Sotto locked itself. Nothing is lost: open your history again.',
};
const LOCKED: CoreError = { code: 'locked', message: 'Your history was locked meanwhile. Open it and try again.' };

/** How often the page itself is looked at, at most. */
const LOOK_MS = 300_000;
/** How long the frame may take to start the Worker. */
const START_MS = 20_000;
/** A core that breaks more often than this isn't started again by itself. */
const BREAK_MS = 60_000;

const THEME_KEY = 'sotto.theme';

/** Starts the core. Commands wait until it is there. */
export function connect(): Core {
  return new PageCore().core;
}

interface Waiting {
  resolve: (v: unknown) => void;
  reject: (e: CoreError) => void;
}

class PageCore {
  private port: MessagePort | null = null;
  private frame: HTMLIFrameElement | null = null;
  private startTimer: ReturnType<typeof setTimeout> | undefined;
  private brokenAt = 0;
  private readonly heart = new Heartbeat(
    () => this.call('ping', []),
    () => this.broken(),
  );
  private nextId = 1;
  private waiting = new Map<number, Waiting>();
  /** Asked for before the Worker was there. */
  private unsent: { message: CallMessage; transfer: Transferable[] }[] = [];
  private listeners = new Set<(e: CoreEvent) => void>();
  /** The last event of each kind that describes a state. */
  private state = new Map<CoreEvent['t'], CoreEvent>();
  private theme: Theme = readTheme();
  private keeper: Promise<Keeper> | null = null;
  private lookedAt = 0;
  private lookedIn: TrustState = 'checking';

  readonly core: Core;

  constructor() {
    this.state.set('session', { t: 'session', session: { state: 'starting' } });
    this.settings({ model: '', instructions: '', enterSends: true });
    addEventListener('message', (e: MessageEvent<unknown>) => this.hello(e));
    document.addEventListener('visibilitychange', () => (document.visibilityState === 'visible' ? this.wake() : this.rest()));
    addEventListener('online', () => this.wake());
    this.core = this.commands();
    this.takeAppKey();
    this.start();
  }

  /** `sotto app` prints its address with a key in the fragment: not to be left in the browser's history. */
  private takeAppKey(): void {
    const key = /^#app=([\w-]{43})$/.exec(location.hash)?.[1];
    if (!key) return;
    history.replaceState(null, '', location.pathname);
    this.call('appKey', [key]).catch(() => {});
  }

  // ------------------------------------------------------------- the Worker

  private start(): void {
    // The first frame stands in index.html, so that it loads beside this script.
    const first = this.frame ? null : document.querySelector<HTMLIFrameElement>('iframe#core');
    this.frame?.remove();
    this.frame = first ?? newFrame();
    if (!first) (document.body ?? document.documentElement).append(this.frame);
    this.ask();
    clearTimeout(this.startTimer);
    this.startTimer = setTimeout(() => this.fail(), START_MS);
  }

  /** Asks the frame for the port. Before it is there, nobody hears. */
  private ask(): void {
    this.frame?.contentWindow?.postMessage('port', location.origin);
  }

  /** Takes the port that the frame brings. */
  private hello(e: MessageEvent<unknown>): void {
    if (e.origin !== location.origin || !this.frame || e.source !== this.frame.contentWindow) return;
    const said = e.data as { sotto?: string; code?: string; reason?: string } | null;
    const what = said?.sotto;
    if (what === 'here') this.ask();
    // What was changed isn't tried a second time.
    if (what === 'core failed' && said?.code) return this.fail({ code: FAILED.code, message: said.reason ?? FAILED.message });
    if (what === 'core failed') this.broken();
    const port = e.ports[0];
    if (what !== 'core' || !port) return;
    clearTimeout(this.startTimer);
    this.port = port;
    port.onmessage = (m: MessageEvent<WorkerMessage>) => this.take(port, m.data);
    for (const u of this.unsent.splice(0)) port.postMessage(u.message, u.transfer);
    this.heart.start();
  }

  /** Ends the Worker with all that it holds, and starts another. */
  private restart(): void {
    this.heart.stop();
    this.port = null;
    this.dropCalls(LOCKED);
    this.state.delete('chats');
    this.emit({ t: 'session', session: { state: 'starting' } });
    this.start();
  }

  private broken(): void {
    const again = Date.now() - this.brokenAt > BREAK_MS;
    this.brokenAt = Date.now();
    if (!again) return this.fail();
    this.restart();
    this.emit({ t: 'notice', kind: 'warn', ...worded(RESTARTED) });
  }

  private fail(why = FAILED): void {
    this.heart.stop();
    this.port = null;
    clearTimeout(this.startTimer);
    this.dropCalls(why);
    this.emit({ t: 'notice', kind: 'warn', ...worded(why) });
  }

  private dropCalls(why: CoreError): void {
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    this.unsent = [];
    for (const w of waiting) w.reject(why);
  }

  private take(from: MessagePort, m: WorkerMessage): void {
    if (from !== this.port) return; // of a Worker that has ended
    if ('event' in m) {
      this.event(m.event);
    } else if ('restart' in m) {
      if (m.restart === 'ended') this.restart();
      else this.broken();
    } else {
      const w = this.waiting.get(m.id);
      this.waiting.delete(m.id);
      if ('error' in m) w?.reject(m.error);
      else w?.resolve(m.value);
    }
  }

  private call<K extends keyof Calls>(method: K, args: Parameters<Calls[K]>, transfer: Transferable[] = []): ReturnType<Calls[K]> {
    const message: CallMessage = { id: this.nextId++, method, args };
    const p = new Promise((resolve, reject) => this.waiting.set(message.id, { resolve, reject }));
    if (this.port) this.port.postMessage(message, transfer);
    else this.unsent.push({ message, transfer });
    return p as ReturnType<Calls[K]>;
  }

  private rest(): void {
    if (this.port) this.call('rest', []).catch(() => {});
  }

  private wake(): void {
    if (this.port) this.call('wake', []).catch(() => {});
  }

  // ------------------------------------------------------------- events

  private event(e: WorkerEvent): void {
    if (e.t === 'trust' && e.trust.state !== 'checking') this.look(e.trust.state);
    if (e.t === 'settings') this.settings(e.settings);
    else this.emit(e);
  }

  private settings(s: Omit<Settings, 'theme'>): void {
    this.emit({ t: 'settings', settings: { ...s, theme: this.theme } });
  }

  private emit(e: CoreEvent): void {
    if (e.t === 'session' || e.t === 'trust' || e.t === 'page' || e.t === 'models' || e.t === 'plan' || e.t === 'chats' || e.t === 'settings') this.state.set(e.t, e);
    for (const f of [...this.listeners]) f(e);
  }

  private on(f: (e: CoreEvent) => void): () => void {
    for (const e of this.state.values()) f(e);
    this.listeners.add(f);
    return () => this.listeners.delete(f);
  }

  /** Has the page itself looked at, when machines have been: both need the public log. */
  private look(state: TrustState): void {
    if (Date.now() - this.lookedAt < LOOK_MS && state === this.lookedIn) return;
    this.lookedAt = Date.now();
    this.lookedIn = state;
    this.keeper ??= lazy('lazy:keeper', () => import('../keeper/keeper.ts')).then(
      ({ Keeper }) =>
        new Keeper({
          judge: (seen) => this.call('judgePage', [seen]),
          register: () => this.frame?.contentWindow?.postMessage('keeper', location.origin),
          news: (page) => this.emit({ t: 'page', page }),
        }),
    );
    this.keeper.then((s) => s.look()).catch(() => (this.keeper = null)); // offline: the next check looks again
  }

  // ------------------------------------------------------------- commands

  private commands(): Core {
    const pass =
      <K extends keyof Calls & keyof Core>(method: K) =>
      (...args: Parameters<Calls[K]>): ReturnType<Calls[K]> =>
        this.call(method, args);
    const given = (g: Given): Transferable[] => (g.prf ? [g.prf.buffer] : []);
    return {
      on: (f) => this.on(f),

      signUp: async () => {
        const options = await this.call('signUpBegin', []);
        const g = await makePasskey(options);
        return this.call('signUpMade', [g], given(g));
      },
      signIn: async () => {
        const o = await this.call('signInBegin', []);
        const g = o.server ? await answerWithPasskey(o.server) : await usePasskey(o.allow);
        return this.call('signInFinish', [g, o.server === null], given(g));
      },
      addPasskey: async () => {
        const options = await this.call('passkeyBegin', []);
        const g = await makePasskey(options);
        return this.call('passkeyMade', [g], given(g));
      },
      signUpFinish: pass('signUpFinish'),
      unlockWithPassphrase: pass('unlockWithPassphrase'),
      recover: pass('recover'),
      signOut: () => this.call('signOut', []).then(() => this.restart()),
      lock: async () => this.restart(),
      forgetBrowser: async () => {
        await this.call('forgetBrowser', []);
        localStorage.removeItem(THEME_KEY);
        this.theme = 'system';
        await lazy('lazy:keeper', () => import('../keeper/keeper.ts')).then(({ forget }) => forget(true)).catch(() => {});
        this.state.delete('trust');
        this.state.delete('page');
        this.lookedAt = 0;
        this.restart();
      },
      deleteAccount: (typed) => this.call('deleteAccount', [typed]).then(() => this.restart()),

      passkeys: pass('passkeys'),
      removePasskey: pass('removePasskey'),
      sessions: pass('sessions'),
      endSession: pass('endSession'),
      newKit: pass('newKit'),
      confirmKit: pass('confirmKit'),
      setPassphrase: pass('setPassphrase'),

      // The secret stands in the link's fragment, which no server ever sees.
      link: (id) => this.call('link', [id, location.hash.slice(1)]),
      approveLink: pass('approveLink'),
      linkApp: pass('linkApp'),
      appLinked: pass('appLinked'),
      openApp: pass('openApp'),

      checkAgain: pass('checkAgain'),
      acceptDemo: pass('acceptDemo'),
      exportProof: pass('exportProof'),
      report: pass('report'),
      pageTold: async () => (await this.keeper)?.told(),

      openChat: pass('openChat'),
      closeChat: pass('closeChat'),
      newChat: pass('newChat'),
      send: pass('send'),
      regenerate: pass('regenerate'),
      stop: pass('stop'),
      rename: pass('rename'),
      pin: pass('pin'),
      archive: pass('archive'),
      deleteChat: pass('deleteChat'),
      search: pass('search'),
      exportAll: pass('exportAll'),
      exportChat: pass('exportChat'),
      rejoin: pass('rejoin'),
      plan: pass('plan'),
      planPage: pass('planPage'),
      voucher: pass('voucher'),

      setSettings: async ({ theme, ...rest }) => {
        if (theme) {
          this.theme = theme;
          localStorage.setItem(THEME_KEY, theme);
          const now = this.state.get('settings');
          if (now?.t === 'settings') this.settings(now.settings);
        }
        if (Object.keys(rest).length > 0) await this.call('setSettings', [rest]);
      },
    };
  }
}

function newFrame(): HTMLIFrameElement {
  const frame = document.createElement('iframe');
  frame.id = 'core';
  frame.hidden = true;
  frame.title = 'Core';
  frame.src = '/core.html';
  return frame;
}

function worded(e: CoreError): { code: string; text: string } {
  return { code: e.code, text: e.message };
}

/** The theme is this browser's own and plain, so that the first paint has it. */
function readTheme(): Theme {
  const v = localStorage.getItem(THEME_KEY);
  return v === 'light' || v === 'dark' ? v : 'system';
}
