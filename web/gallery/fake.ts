// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// A core that keeps everything in memory and seals nothing. It answers as the
// real one does, so that screens can be looked at in every state.

import type {
  Answered,
  ChatSummary,
  ChatView,
  Check,
  Core,
  CoreError,
  CoreEvent,
  Hit,
  Kit,
  Message,
  Model,
  PageNews,
  Plan,
  Receipt,
  Session,
  Settings,
  Trust,
  TrustState,
  Verdict,
} from '../src/core/protocol.ts';

/** What differs between the states of the gallery. */
export interface Scene {
  session: Session;
  trust: TrustState;
  /** What the core says of the machine, where it is more than a state. */
  says?: Trust;
  chats: ChatSummary[];
  messages: Message[];
  models: Model[];
  settings: Settings;
  notices: Extract<CoreEvent, { t: 'notice' }>[];
  /** What the core says of the page itself. */
  page?: PageNews;
  /** What the account may do. */
  plan?: Plan;
  /** The question for it is never answered. */
  planWaits?: boolean;
  answers?: Answered[];
  loading?: number;
  /** The text that answers whatever is sent. */
  answer: string;
  /** Milliseconds between pieces; -1: nothing comes. */
  pace: number;
  /** Codes and sentences of the commands that fail, by name. */
  fails: Record<string, CoreError>;
  prf: boolean;
  /** The core never starts. */
  dead?: boolean;
  /** The core starts and says nothing. */
  silent?: boolean;
}

export const NOW = new Date(2026, 10, 23, 14, 2).getTime();
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

export const KIT: Kit = {
  groups: ['7KQ2M', 'X9D4T', '0HRWB', 'VN3E8', 'J6PZC', '4TYS1', 'GA5FQ', 'M8W2K'],
  confirm: [2, 6],
  made: '2026-11-23T14:02:00Z',
};

export function chat(id: string, title: string, ago: number, more: Partial<ChatSummary> = {}): ChatSummary {
  const at = NOW - ago;
  return {
    id,
    title,
    pinned: false,
    archived: false,
    folder: '',
    temporary: false,
    model: 'granite',
    created: at,
    updated: at,
    busy: false,
    ...more,
  };
}

export const CHATS: ChatSummary[] = [
  chat('c1', 'Sourdough that rises in a cold kitchen', HOUR, { pinned: true }),
  chat('c2', 'Letter to the landlord about the damp', 2 * HOUR),
  chat('c3', 'Reading a blood test', 3 * HOUR, { busy: true }),
  chat('c4', 'Go: reading a stream in records', DAY),
  chat('c5', 'A name for the boat', DAY + HOUR),
  chat('c6', 'Explain compound interest to a twelve-year-old, with an example that she will find funny', 3 * DAY),
  chat('c7', 'רשימת קניות לשבת', 4 * DAY),
  chat('c8', 'Packing list, Lofoten in March', 12 * DAY),
  chat('c9', 'What did I mean by this poem?', 40 * DAY),
  chat('c10', 'Divorce: what to ask the lawyer', 70 * DAY),
  chat('c11', 'Old project notes', 400 * DAY, { archived: true }),
];

export const MODELS: Model[] = [
  { id: 'granite', name: 'Granite 4 Small', demo: false, context: 131072, engine: 'vLLM' },
  { id: 'qwen', name: 'Qwen 3 30B', demo: false, context: 262144, engine: 'vLLM' },
  { id: 'demo', name: 'Sotto demo', demo: true, context: 1024, engine: 'built in' },
];

export function receipt(state = 'verified'): Receipt {
  const time = NOW / 1000;
  return {
    v: 1,
    node: '5f1c9a0e77b24c38a1d2e3f405162738',
    key_id: 'ab12c34d56e78f90ab12c34d56e78f90',
    platform: state === 'demo' ? 'software' : 'snp',
    release: 'sha256:9b1f0c7d2e4a5b6c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e',
    state,
    ...(state === 'demo' ? {} : { version: '1.4.2', log_index: 18230, witnesses: 2 }),
    checks: (state === 'demo' ? DEMO_CHECKS : CHECKS).map(({ id, status, detail }) => ({ id, status, detail })),
    not_before: time - 600,
    not_after: time + 300,
    time,
  };
}

export const SETTINGS: Settings = { theme: 'system', model: 'granite', instructions: '', enterSends: true };

let serial = 0;
export function message(
  chatId: string,
  parent: string,
  role: Message['role'],
  text: string,
  more: Partial<Message> = {},
): Message {
  const id = more.id ?? `m${++serial}`;
  return {
    id,
    chat: chatId,
    parent,
    role,
    text,
    status: 'complete',
    created: NOW - HOUR + ++serial * 1000,
    ...(role === 'assistant' ? { model: 'granite', receipt: receipt() } : {}),
    ...more,
  };
}

const CHECKS: Check[] = [
  {
    id: 'chip',
    title: 'The chip is real',
    status: 'ok',
    detail: 'AMD signed this machine’s report. Its firmware is newer than the oldest we accept.',
    want: 'firmware 1.55 or newer',
    found: 'firmware 1.58',
    redo: 'sotto verify --show chip',
  },
  {
    id: 'software',
    title: 'It runs exactly this software',
    status: 'ok',
    detail: 'Release 1.4.3, and nothing else. It matches what was published.',
    want: '9b1f0c7d2e4a5b6c8d9e0f1a',
    found: '9b1f0c7d2e4a5b6c8d9e0f1a',
  },
  {
    id: 'log',
    title: 'That release is public',
    status: 'ok',
    detail: 'Entry 18,231 in the public log, seen by two witnesses, published three days ago.',
  },
  {
    id: 'key',
    title: 'Only that machine has the key',
    status: 'ok',
    detail: 'Your message is sealed to key ab12, made inside the machine 10 minutes ago.',
  },
  {
    id: 'page',
    title: 'This page is the published page',
    status: 'warn',
    detail: 'A web page can be swapped by its server. To be sure, use the terminal program.',
  },
];

const DEMO_CHECKS: Check[] = [
  {
    id: 'chip',
    title: 'The chip is real',
    status: 'warn',
    detail: 'There is no proving chip here: this is demo hardware, and it proves nothing.',
    want: 'a report signed by AMD, Intel or NVIDIA',
    found: 'a report signed by a public test key',
    redo: 'sotto verify --insecure-software-node http://127.0.0.1:8787',
  },
  {
    id: 'software',
    title: 'It runs exactly this software',
    status: 'warn',
    detail: 'Demo hardware can’t prove what it runs.',
  },
  { id: 'log', title: 'That release is public', status: 'warn', detail: 'This build keeps no public log yet.' },
  {
    id: 'key',
    title: 'Only that machine has the key',
    status: 'warn',
    detail: 'The key is named in the stand-in for a proof, which anybody could have written.',
  },
  {
    id: 'page',
    title: 'This page is the published page',
    status: 'warn',
    detail: 'A web page can be swapped by its server. To be sure, use the terminal program.',
  },
];

export function trust(state: TrustState): Trust {
  const line: Record<TrustState, string> = {
    checking: 'Checking the machine…',
    verified: 'Private — checked 14:02',
    'verified-old': 'Checked 3 h ago · rechecking',
    changed: 'New version since your last chat — see what changed',
    unknown: 'Can’t check right now',
    failed: 'Not sent. This machine could not prove itself.',
    consent: 'Demo hardware — not private',
    demo: 'Demo hardware — not private',
  };
  const detail: Record<TrustState, string> = {
    checking: 'This takes a moment.',
    verified: 'Only the machine that answers can read your words, and it keeps nothing.',
    'verified-old': 'The last check was 3 hours ago and still counts. A new one is running.',
    changed: 'The machine runs release 1.4.3 since today. It is in the public log; your last chat used 1.4.2.',
    unknown: 'The list of machines did not arrive. Check your connection, then check again.',
    failed: 'It runs software that was never published. Wait, or check again; other machines may be fine.',
    consent: 'This machine runs on ordinary hardware and proves nothing.',
    demo: 'This machine runs on ordinary hardware and proves nothing. Treat your words as readable by whoever runs it.',
  };
  const demo = state === 'demo' || state === 'consent';
  let checks = demo ? DEMO_CHECKS : CHECKS;
  if (state === 'failed') {
    checks = checks.map((c) =>
      c.id === 'software'
        ? {
            ...c,
            status: 'fail',
            detail: 'It runs software that was never published.',
            want: '9b1f0c7d2e4a',
            found: '00c1ffee4b1d',
            redo: 'sotto verify --json https://sotto.example',
          }
        : c.id === 'chip' || c.id === 'page'
          ? c
          : { ...c, status: 'warn', detail: 'Not looked at: an earlier check failed.' },
    );
  }
  const verdict: Verdict = {
    v: 1,
    state: state === 'failed' ? 'failed' : demo ? 'demo' : 'verified',
    summary: detail[state],
    node: receipt().node,
    key_id: receipt().key_id,
    release: receipt().release,
    platforms: [demo ? 'software' : 'snp'],
    models: [{ id: 'granite', digest: 'sha256:77aa…' }],
    not_before: NOW / 1000 - 600,
    not_after: NOW / 1000 + 300,
    checked_at: NOW / 1000,
    checks,
  };
  const some =
    state === 'checking' || state === 'unknown' ? [] : demo ? [verdict] : [verdict, { ...verdict, node: '9a…' }];
  return { state, line: line[state], detail: detail[state], checkedAt: some.length ? NOW : 0, verdicts: some };
}

/** A fake core, and what a test can make happen in it. */
export interface Fake extends Core {
  emit(e: CoreEvent): void;
  trustIs(s: TrustState): void;
  /** Another device has written in a chat. */
  touch(id: string): void;
  /** A message of another device has come in. */
  arrive(id: string, text: string): void;
}

/** A day's beginning in the person's own time zone, some hours on. */
const RESETS = new Date(2026, 10, 24, 1, 0).getTime();

export const FREE: Plan = {
  known: true,
  tokens: true,
  billing: true,
  price: '$35 a month',
  plan: 'free',
  perDay: 20,
  perHour: 200,
  left: 13,
  resets: RESETS,
  again: 0,
  chats: 5,
  until: '',
  account: '3f9c21d07be8441aa05d6e1c8b72f490',
  card: '',
  relay: { host: 'relay.example', operator: 'Example Ltd', local: false, error: null },
  error: null,
};

export const MEMBER: Plan = { ...FREE, plan: 'member', perDay: -1, left: -1, chats: 0, card: 'active', until: '2026-12-14' };

/** Starts a fake core for a scene. */
export function connectFake(scene: Scene): Fake {
  if (scene.dead) throw { code: 'core_dead', message: '' } satisfies CoreError;
  const listeners = new Set<(e: CoreEvent) => void>();
  const chats = new Map(scene.chats.map((c) => [c.id, c]));
  const texts = new Map<string, Message[]>();
  for (const m of scene.messages) texts.set(m.chat, [...(texts.get(m.chat) ?? []), m]);
  const stops = new Map<string, () => void>();
  let state = scene.trust;
  let session = scene.session;
  let settings = scene.settings;
  let plan = scene.plan ?? FREE;

  const emit = (e: CoreEvent): void => listeners.forEach((f) => f(structuredClone(e)));
  const list = (): CoreEvent => ({
    t: 'chats',
    chats: [...chats.values()].sort((a, b) => Number(b.pinned) - Number(a.pinned) || b.updated - a.updated),
  });
  const setSession = (s: Session): void => emit({ t: 'session', session: (session = s) });
  const told = (s: TrustState): Trust => (scene.says?.state === s ? scene.says : trust(s));
  const setTrust = (s: TrustState): void => emit({ t: 'trust', trust: told((state = s)) });
  const view = (id: string): ChatView => {
    const messages = texts.get(id) ?? [];
    return { chat: chats.get(id)!, messages, leaf: messages.at(-1)?.id ?? '' };
  };
  const fail = (name: string): void => {
    const e = scene.fails[name];
    if (e) throw e;
  };
  const wait = (ms: number): Promise<void> => new Promise((r) => setTimeout(r, ms));
  const change = (id: string, m: string, part: Partial<Message>): void => {
    texts.set(
      id,
      texts.get(id)!.map((x) => (x.id === m ? { ...x, ...part } : x)),
    );
    emit({ t: 'chat', view: view(id) });
  };
  const answer = async (id: string, m: string): Promise<void> => {
    let stopped = false;
    stops.set(id, () => (stopped = true));
    chats.set(id, { ...chats.get(id)!, busy: true });
    emit(list());
    await wait(60);
    if (scene.pace < 0) return;
    change(id, m, { status: 'streaming' });
    let text = '';
    for (const piece of scene.answer.match(/\s*\S+/g) ?? []) {
      if (stopped) break;
      text += piece;
      emit({ t: 'delta', chat: id, message: m, text: piece });
      texts.set(
        id,
        texts.get(id)!.map((x) => (x.id === m ? { ...x, text } : x)),
      );
      await wait(scene.pace);
    }
    chats.set(id, { ...chats.get(id)!, busy: false, title: chats.get(id)!.title || 'A new subject' });
    emit(list());
    change(id, m, { status: stopped ? 'stopped' : 'complete', text, receipt: receipt(state) });
  };

  const core: Core = {
    on(f) {
      listeners.add(f);
      if (!scene.silent) {
        queueMicrotask(() => {
          f({ t: 'session', session });
          if (session.state !== 'starting') f({ t: 'trust', trust: told(state) });
          if (scene.page) f({ t: 'page', page: scene.page });
          if (session.state !== 'open') return;
          f({ t: 'settings', settings });
          f({ t: 'models', models: scene.models });
          if (scene.plan) f({ t: 'plan', plan });
          if (scene.loading !== undefined) f({ t: 'loading', progress: scene.loading });
          if (scene.loading === undefined || scene.loading >= 1) f(list());
          for (const n of scene.notices) f(n);
        });
      }
      return () => listeners.delete(f);
    },
    async signUp() {
      fail('signUp');
      return { prf: scene.prf, kit: KIT };
    },
    async signUpFinish() {
      fail('signUpFinish');
      setSession({ state: 'open', account: 'a', prf: scene.prf, kitConfirmed: true });
      emit(list());
      emit({ t: 'models', models: scene.models });
    },
    async signIn() {
      fail('signIn');
      setSession({ state: 'open', account: 'a', prf: true, kitConfirmed: true });
      emit(list());
      emit({ t: 'models', models: scene.models });
    },
    async unlockWithPassphrase() {
      fail('unlock');
      await core.signIn();
    },
    async recover() {
      fail('recover');
      await core.signIn();
    },
    async signOut() {
      setSession({ state: 'signed-out' });
    },
    async lock() {
      setSession({ state: 'locked', prf: scene.prf });
    },
    async forgetBrowser() {
      setSession({ state: 'signed-out' });
    },
    async deleteAccount() {
      setSession({ state: 'signed-out' });
    },
    async passkeys() {
      return [
        { id: 'p1', label: 'iCloud Keychain', created: NOW - 40 * DAY, lastUsed: NOW, prf: true, current: true },
        {
          id: 'p2',
          label: 'Blue security key',
          created: NOW - 300 * DAY,
          lastUsed: NOW - 12 * DAY,
          prf: false,
          current: false,
        },
      ];
    },
    async addPasskey() {
      fail('addPasskey');
      return { id: 'p3', label: 'New passkey', created: NOW, lastUsed: 0, prf: true, current: false };
    },
    async removePasskey() {
      fail('removePasskey');
    },
    async sessions() {
      return [
        { id: 's1', label: 'Firefox on Linux', kind: 'browser', created: NOW - 3 * DAY, lastSeen: NOW, current: true },
        {
          id: 's2',
          label: 'Safari on iPhone',
          kind: 'browser',
          created: NOW - 9 * DAY,
          lastSeen: NOW - DAY,
          current: false,
        },
        {
          id: 's3',
          label: 'sotto on workshop',
          kind: 'terminal',
          created: NOW - 30 * DAY,
          lastSeen: NOW - 4 * DAY,
          current: false,
        },
      ];
    },
    async endSession() {},
    async newKit() {
      return KIT;
    },
    async confirmKit() {
      fail('confirmKit');
    },
    async setPassphrase() {},
    async link() {
      fail('link');
      return { name: 'sotto on workshop', code: '482 913', expires: NOW + 300_000 };
    },
    async approveLink() {
      fail('approveLink');
    },
    async linkApp() {
      fail('linkApp');
      return { url: 'https://chat.example/link/1#secret', code: 'K7QD-2MXA', expires: NOW + 300_000 };
    },
    async appLinked() {
      return false;
    },
    async openApp() {
      fail('openApp');
    },
    async pageTold() {},
    async report() {
      fail('report');
      return scene.answers ?? [];
    },
    async checkAgain() {
      setTrust('checking');
      await wait(300);
      setTrust(scene.trust);
      return told(state);
    },
    async acceptDemo() {
      setTrust('demo');
    },
    async exportProof() {
      return new TextEncoder().encode('{}');
    },
    async openChat(id) {
      if (!chats.has(id)) throw { code: 'no_chat', message: 'This chat is gone.' } satisfies CoreError;
      return structuredClone(view(id));
    },
    async closeChat() {},
    async newChat({ temporary }) {
      const c = chat(`n${++serial}`, '', 0, { temporary });
      chats.set(c.id, c);
      return c;
    },
    async send(id, parent, text, model) {
      fail('send');
      if (plan.left > 0) emit({ t: 'plan', plan: (plan = { ...plan, left: plan.left - 1 }) });
      const u = message(id, parent, 'user', text, { created: NOW + ++serial });
      const a = message(id, u.id, 'assistant', '', {
        status: 'sending',
        model,
        receipt: undefined,
        created: NOW + ++serial,
      });
      texts.set(id, [...(texts.get(id) ?? []), u, a]);
      chats.set(id, { ...chats.get(id)!, updated: NOW, title: chats.get(id)!.title || text.slice(0, 40) });
      emit({ t: 'chat', view: view(id) });
      void answer(id, a.id);
      return { user: u.id, assistant: a.id };
    },
    async regenerate(id, m, model) {
      const old = texts.get(id)!.find((x) => x.id === m)!;
      const a = message(id, old.parent, 'assistant', '', {
        status: 'sending',
        model,
        receipt: undefined,
        created: NOW + ++serial,
      });
      texts.set(id, [...texts.get(id)!, a]);
      emit({ t: 'chat', view: view(id) });
      void answer(id, a.id);
      return { assistant: a.id };
    },
    async stop(id) {
      stops.get(id)?.();
    },
    async rename(id, title) {
      chats.set(id, { ...chats.get(id)!, title });
      emit(list());
    },
    async pin(id, pinned) {
      chats.set(id, { ...chats.get(id)!, pinned });
      emit(list());
    },
    async archive(id, archived) {
      chats.set(id, { ...chats.get(id)!, archived });
      emit(list());
    },
    async deleteChat(id) {
      chats.delete(id);
      emit(list());
    },
    async search(q) {
      const hits: Hit[] = [];
      for (const ms of texts.values())
        for (const m of ms) {
          const at = m.text.toLowerCase().indexOf(q.toLowerCase());
          if (at < 0) continue;
          const from = Math.max(0, at - 40);
          const snippet = m.text.slice(from, at + 90).replace(/\s/g, ' ');
          hits.push({
            chat: m.chat,
            message: m.id,
            title: chats.get(m.chat)?.title ?? '',
            role: m.role === 'user' ? 'user' : 'assistant',
            snippet,
            marks: [[at - from, at - from + q.length]],
            created: m.created,
          });
        }
      return hits;
    },
    async rejoin() {
      await wait(60);
      fail('rejoin');
    },
    async exportAll() {
      return new Uint8Array();
    },
    async exportChat() {
      return new Uint8Array();
    },
    async plan() {
      if (scene.planWaits) await wait(3_600_000);
      fail('plan');
      emit({ t: 'plan', plan });
      return plan;
    },
    async planPage() {
      fail('planPage');
      return 'https://pay.example/checkout/1';
    },
    async voucher() {
      fail('voucher');
      emit({ t: 'plan', plan: (plan = MEMBER) });
      return plan;
    },
    async setSettings(s) {
      settings = { ...settings, ...s };
      emit({ t: 'settings', settings });
    },
  };
  const touch = (id: string): void => {
    chats.set(id, { ...chats.get(id)!, updated: NOW });
    emit(list());
  };
  const arrive = (id: string, text: string): void => {
    texts.set(id, [...(texts.get(id) ?? []), message(id, texts.get(id)?.at(-1)?.id ?? '', 'user', text)]);
    touch(id);
  };
  return Object.assign(core, { emit, trustIs: setTrust, touch, arrive });
}
