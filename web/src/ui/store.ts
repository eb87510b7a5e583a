// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// What the page knows, as signals, and what a person can do, as methods.
//
// The core is the truth: its events fill the signals. The page adds only what is
// about looking: the route, the branch on the screen, drafts, what is open.

import { batch, computed, signal, type ReadonlySignal, type Signal } from '@preact/signals';
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type {
  ChatSummary,
  ChatView,
  Core,
  CoreError,
  CoreEvent,
  Message,
  Model,
  PageNews,
  Plan,
  Session,
  Settings,
  Trust,
  TrustState,
} from '../core/protocol.ts';
import { ready } from '../markdown/lex.ts';
import { isBelow, leafBelow, pathTo, tree, type Tree } from './branches.ts';
import { codeOf, sentence } from './errors.ts';
import { mayWrite } from './limits.ts';
import { LiveTexts } from './live.ts';
import { announcement, sameWhereEqual } from './messages.ts';
import type { Notice, Overlay, Toast } from './overlay.ts';
import { parse, path, type Route } from './routes.ts';
import { t } from './strings.ts';

/** A message that waits until the machine is checked. */
export interface Queued {
  text: string;
  parent: string;
}

const SENDS: readonly TrustState[] = ['verified', 'verified-old', 'changed', 'demo'];

/** Whether a message may go in this state. */
export function maySend(state: TrustState): boolean {
  return SENDS.includes(state);
}

/** Whether it is the page, and not a machine, that failed. */
export function pageFailed(trust: Trust): boolean {
  return trust.state === 'failed' && trust.verdicts.length > 0 && trust.verdicts.every((v) => v.checks.every((c) => c.id === 'page' || c.status !== 'fail'));
}

/** The core's code for a start that failed for good. */
const CORE_FAILED = 'core_failed';

const NO_TRUST: Trust = { state: 'checking', line: t.trust.checking, detail: '', checkedAt: 0, verdicts: [] };

const NO_NEWS: PageNews = { news: '', text: '', version: '', entry: 0, from: '', changes: [] };

const NO_PLAN: Plan = {
  known: false,
  tokens: false,
  billing: false,
  price: '',
  plan: '',
  perDay: -1,
  perHour: 0,
  left: -1,
  resets: 0,
  again: 0,
  chats: 0,
  until: '',
  account: '',
  card: '',
  relay: null,
  error: null,
};

export class Store {
  core: Core | undefined;

  readonly fatal = signal('');
  readonly session: Signal<Session> = signal({ state: 'starting' });
  readonly trust: Signal<Trust> = signal(NO_TRUST);
  readonly page: Signal<PageNews> = signal(NO_NEWS);
  readonly models: Signal<Model[]> = signal([]);
  readonly plan: Signal<Plan> = signal(NO_PLAN);
  readonly chats: Signal<ChatSummary[]> = signal([]);
  readonly chatsKnown = signal(false);
  readonly settings: Signal<Settings> = signal({ theme: 'system', model: '', instructions: '', enterSends: true });
  /** 0..1 while a history is being opened, else 1. */
  readonly progress = signal(1);
  readonly notices: Signal<Notice[]> = signal([]);

  readonly route: Signal<Route> = signal(parse(location.pathname));
  readonly overlay: Signal<Overlay | null> = signal(null);
  readonly toasts: Signal<Toast[]> = signal([]);
  /** The drawer on a phone. */
  readonly drawer = signal(false);
  readonly sidebar = signal(true);
  /** Said to screen readers. */
  readonly said = signal('');

  /** The chat on the screen; null for a new one. */
  readonly view: Signal<ChatView | null> = signal(null);
  readonly missing = signal(false);
  readonly leaf = signal('');
  /** The next new chat is a temporary one. */
  readonly temporary = signal(false);
  /** Model picked for a chat that doesn't exist yet. */
  readonly picked = signal('');
  readonly queued: Signal<Queued | null> = signal(null);
  readonly editing = signal('');
  /** The chat whose title is being written in the sidebar. */
  readonly naming = signal('');
  readonly problem = signal('');
  /** A message to scroll to and mark. */
  readonly target = signal('');
  /** Counts sends: the log goes to its end for each. */
  readonly sends = signal(0);

  /** Chats deleted on the screen whose time to undo isn't over. */
  readonly leaving: Signal<ReadonlySet<string>> = signal(new Set<string>());

  readonly path: ReadonlySignal<Message[]> = computed(() => {
    const v = this.view.value;
    return v ? pathTo(v.messages, this.leaf.value).filter((m) => m.role !== 'system') : [];
  });
  readonly tree: ReadonlySignal<Tree> = computed(() => tree(this.view.value?.messages ?? []));
  readonly busy: ReadonlySignal<boolean> = computed(() =>
    this.path.value.some((m) => m.status === 'sending' || m.status === 'streaming' || m.status === 'reconnecting'),
  );
  readonly model: ReadonlySignal<string> = computed(() => {
    const ids = this.models.value.map((m) => m.id);
    const wanted = [this.picked.value, this.view.value?.chat.model ?? '', this.settings.value.model];
    return wanted.find((id) => id !== '' && ids.includes(id)) ?? ids[0] ?? '';
  });

  readonly live = new LiveTexts();
  private drafts = new Map<string, string>();
  private opened = '';
  private asked = false;
  private toastId = 0;
  private retry: (() => void) | undefined;

  /** Starts the core and follows it. */
  async start(connect: () => Core | Promise<Core>): Promise<void> {
    try {
      this.core = await connect();
    } catch (e) {
      this.fatal.value = (e as Partial<CoreError> | undefined)?.message || t.fatal.text;
      return;
    }
    // The lexer isn't needed to get in, and is wanted right after.
    void ready();
    this.core.on((e) => batch(() => this.take(e)));
    addEventListener('popstate', () => this.wentBack());
    addEventListener('pagehide', () => this.settle());
    addEventListener('beforeunload', (e) => {
      if (this.temporaryAtRisk()) e.preventDefault();
    });
  }

  // ------------------------------------------------------------- events

  private take(e: CoreEvent): void {
    switch (e.t) {
      case 'session': {
        const was = this.session.value.state;
        this.session.value = e.session;
        if (e.session.state === 'open' && was !== 'open') void this.enter();
        if (e.session.state !== 'open' && was === 'open') this.forget();
        break;
      }
      case 'trust':
        this.trust.value = e.trust;
        this.releaseQueue();
        this.askConsent();
        break;
      case 'page':
        this.page.value = e.page;
        break;
      case 'plan':
        this.plan.value = e.plan;
        break;
      case 'models':
        this.models.value = e.models;
        this.releaseQueue();
        break;
      case 'chats':
        this.chats.value = e.chats;
        this.chatsKnown.value = true;
        break;
      case 'chat':
        if (e.view.chat.id === this.opened) this.show(e.view);
        break;
      case 'delta':
        if (e.chat === this.opened) this.addText(e.message, e.text, e.reasoning);
        break;
      case 'settings':
        this.settings.value = e.settings;
        break;
      case 'loading':
        this.progress.value = e.progress;
        break;
      case 'notice':
        if (e.code === CORE_FAILED) this.fatal.value = e.text;
        this.notices.value = [
          ...this.notices.value.filter((n) => n.code !== e.code),
          { kind: e.kind, code: e.code, text: e.text, ...(e.rejoin ? { rejoin: true } : {}) },
        ];
        break;
    }
  }

  private addText(id: string, text: string, reasoning?: string): void {
    const m = this.view.value?.messages.find((x) => x.id === id);
    if (!m) return;
    this.live.text(m).append(text);
    if (reasoning) this.live.reasoning(m).append(reasoning);
  }

  private show(fresh: ChatView): void {
    const before = this.view.value;
    const view = { ...fresh, messages: sameWhereEqual(before?.messages ?? [], fresh.messages) };
    this.view.value = view;
    for (const m of view.messages) if (m.role === 'assistant') this.live.update(m);
    if (!before || before.chat.id !== view.chat.id) this.leaf.value = view.leaf;
    else if (view.leaf !== before.leaf && isBelow(view.messages, view.leaf, this.leaf.value))
      this.leaf.value = view.leaf;
    this.say(announcement(before, view));
  }

  private say(words: string): void {
    // The same words twice would not be read out twice.
    if (words) this.said.value = words === this.said.value ? `${words}\u00a0` : words;
  }

  private async enter(): Promise<void> {
    await this.follow(this.route.value);
    this.askConsent();
  }

  /** Says what the demo is, once, when there is something to send. */
  private askConsent(): void {
    if (this.asked || this.trust.value.state !== 'consent') return;
    if (this.session.value.state !== 'open' || this.route.value.at === 'link' || this.overlay.value) return;
    this.asked = true;
    this.overlay.value = { is: 'consent' };
  }

  /** Nothing of a history stays on the screen when it is locked. */
  private forget(): void {
    this.settle();
    this.view.value = null;
    this.opened = '';
    this.chats.value = [];
    this.chatsKnown.value = false;
    this.live.clear();
    this.drafts.clear();
    this.queued.value = null;
    this.naming.value = '';
    this.overlay.value = null;
    this.notices.value = [];
  }

  // ------------------------------------------------------------- going places

  /** Goes to a page, after asking where a temporary chat would be lost. */
  go(to: Route, opts: { replace?: boolean; force?: boolean } = {}): void {
    if (!opts.force && this.temporaryAtRisk() && !(to.at === 'chat' && to.id === this.opened)) {
      this.overlay.value = { is: 'leave', then: () => this.go(to, { ...opts, force: true }) };
      return;
    }
    const url = path(to);
    if (opts.replace) history.replaceState(null, '', url);
    else if (url !== location.pathname) history.pushState(null, '', url);
    void this.follow(to);
  }

  /** The browser's own buttons have gone already: a temporary chat is put back before asking. */
  private wentBack(): void {
    const to = parse(location.pathname);
    if (!this.temporaryAtRisk()) return void this.follow(to);
    history.pushState(null, '', path(this.route.value));
    this.overlay.value = { is: 'leave', then: () => this.go(to, { force: true }) };
  }

  private temporaryAtRisk(): boolean {
    const v = this.view.value;
    return !!v && v.chat.temporary && v.messages.length > 0;
  }

  private async follow(to: Route): Promise<void> {
    batch(() => {
      this.route.value = to;
      this.drawer.value = false;
      this.problem.value = '';
      this.editing.value = '';
    });
    if (this.session.value.state !== 'open') return;
    const id = to.at === 'chat' ? to.id : '';
    if (to.at === 'settings' || to.at === 'link') return;
    if (id === this.opened && id !== '') return;
    this.leaveChat();
    if (id !== '') await this.open(id);
  }

  private leaveChat(): void {
    const old = this.opened;
    batch(() => {
      this.view.value = null;
      this.opened = '';
      this.leaf.value = '';
      this.missing.value = false;
      this.queued.value = null;
      this.picked.value = '';
      this.temporary.value = false;
      this.target.value = '';
    });
    this.live.clear();
    if (old) this.core?.closeChat(old).catch(ignore);
  }

  private async open(id: string): Promise<void> {
    this.opened = id;
    try {
      const view = await this.core!.openChat(id);
      if (this.opened === id) batch(() => this.show(view));
    } catch {
      if (this.opened === id) this.missing.value = true;
    }
  }

  /** Shows one message of a chat, on whatever branch it is. */
  goToMessage(chat: string, message: string): void {
    this.go({ at: 'chat', id: chat });
    this.target.value = message;
  }

  showVersion(id: string): void {
    this.leaf.value = leafBelow(this.tree.value, id);
  }

  newChat(): void {
    this.go({ at: 'new' });
  }

  // ------------------------------------------------------------- sending

  draft(): string {
    return this.drafts.get(this.opened) ?? '';
  }

  keepDraft(text: string): void {
    if (text === '') this.drafts.delete(this.opened);
    else this.drafts.set(this.opened, text);
  }

  /** A new chat has got its id: what was typed meanwhile goes with it. */
  private becomes(id: string): void {
    const draft = this.draft();
    this.keepDraft('');
    this.opened = id;
    this.keepDraft(draft);
  }

  get draftKey(): string {
    return this.opened;
  }

  /** Sends, or keeps the message until the check is done. Answers false where it stays in the box. */
  submit(text: string, parent?: string): boolean {
    const under = parent ?? this.path.value.at(-1)?.id ?? '';
    const state = this.trust.value.state;
    this.problem.value = '';
    if (state === 'failed' || state === 'unknown') {
      this.overlay.value = { is: 'trust' };
      return false;
    }
    if (this.full()) {
      this.overlay.value = { is: 'chats', send: true };
      return false;
    }
    // The line above the box says why, and what can be done.
    if (this.plan.value.left === 0 || this.plan.value.again > Date.now()) return false;
    if (maySend(state) && this.model.value !== '') {
      void this.send({ text, parent: under });
      return true;
    }
    this.queued.value = { text, parent: under };
    if (state === 'consent') this.overlay.value = { is: 'consent' };
    return true;
  }

  /** Whether the plan's active chats are others than the one on the screen. */
  private full(): boolean {
    return !(this.view.value?.chat.temporary ?? this.temporary.value) && !mayWrite(this.plan.value, this.chats.value, this.opened);
  }

  /** Takes a waiting message back into the box. */
  unqueue(): string {
    const q = this.queued.value;
    this.queued.value = null;
    return q?.text ?? '';
  }

  private releaseQueue(): void {
    const q = this.queued.value;
    if (!q || !maySend(this.trust.value.state) || this.model.value === '') return;
    this.queued.value = null;
    void this.send(q);
  }

  private async send(q: Queued): Promise<void> {
    const core = this.core!;
    this.sends.value++;
    this.editing.value = '';
    this.retry = () => void this.send(q);
    try {
      const model = this.model.value;
      if (this.opened === '') {
        const chat = await core.newChat({ temporary: this.temporary.value });
        this.becomes(chat.id);
        batch(() => {
          this.view.value = { chat, messages: [], leaf: '' };
          this.picked.value = model;
        });
        if (!chat.temporary) {
          history.replaceState(null, '', path({ at: 'chat', id: chat.id }));
          this.route.value = { at: 'chat', id: chat.id };
        }
        await core.openChat(chat.id).then((v) => this.opened === chat.id && this.show(v));
      }
      const at = this.opened;
      const { assistant } = await core.send(at, q.parent, q.text, model);
      if (this.opened === at) this.leaf.value = leafBelow(this.tree.value, assistant);
    } catch (e) {
      this.problem.value = sentence(e);
      if (codeOf(e) === 'chats_full') this.overlay.value = { is: 'chats', send: true };
      this.drafts.set(this.opened, q.text);
    }
  }

  async regenerate(m: Message, model = this.model.value): Promise<void> {
    this.problem.value = '';
    this.sends.value++;
    this.retry = () => void this.regenerate(m, model);
    try {
      const at = this.opened;
      const { assistant } = await this.core!.regenerate(at, m.id, model);
      if (this.opened === at) this.leaf.value = leafBelow(this.tree.value, assistant);
    } catch (e) {
      this.problem.value = sentence(e);
    }
  }

  retryLast(): void {
    this.problem.value = '';
    this.retry?.();
  }

  stop(): void {
    if (this.busy.value) this.core?.stop(this.opened).catch((e) => (this.problem.value = sentence(e)));
  }

  async pickModel(id: string): Promise<void> {
    this.picked.value = id;
  }

  // ------------------------------------------------------------- chats

  /** Takes a chat off the screen and deletes it when the time to undo is over. */
  remove(chat: ChatSummary): void {
    this.leaving.value = new Set([...this.leaving.value, chat.id]);
    const back = (): void => {
      const s = new Set(this.leaving.value);
      s.delete(chat.id);
      this.leaving.value = s;
    };
    if (this.opened === chat.id) this.go({ at: 'new' }, { force: true });
    this.toast(t.sidebar.deleted(chat.title || t.sidebar.untitled), { label: t.sidebar.undo, run: back }, () => {
      this.core!.deleteChat(chat.id).catch((e) => {
        back();
        this.toast(sentence(e));
      });
    });
  }

  /** Ends every waiting toast now: the page may go away. */
  private settle(): void {
    for (const x of this.toasts.value) x.gone?.();
    this.toasts.value = [];
  }

  toast(text: string, action?: Toast['action'], gone?: () => void): void {
    const id = ++this.toastId;
    this.toasts.value = [...this.toasts.value, { id, text, action, gone }];
  }

  endToast(id: number, how: 'action' | 'gone'): void {
    const x = this.toasts.value.find((y) => y.id === id);
    if (!x) return;
    this.toasts.value = this.toasts.value.filter((y) => y.id !== id);
    if (how === 'action') x.action?.run();
    else x.gone?.();
  }

  /** Runs a command whose failure is a toast. */
  do(p: Promise<unknown>): void {
    p.catch((e) => {
      if (codeOf(e) === 'chats_full') this.overlay.value = { is: 'chats' };
      else this.toast(sentence(e));
    });
  }

  /** Asks once, then goes on with the server's copy of the history. */
  askRejoin(): void {
    this.overlay.value = {
      is: 'confirm',
      title: t.rejoin.title,
      text: t.rejoin.text,
      go: t.rejoin.go,
      stay: t.rejoin.later,
      danger: false,
      run: async () => {
        await this.core!.rejoin();
        this.notices.value = this.notices.value.filter((n) => !n.rejoin);
        this.toast(t.rejoin.done);
      },
    };
  }

  /** The person has read what there was to say of the page. */
  endPageNews(): void {
    if (this.page.value.news === 'updated') this.core?.pageTold().catch(ignore);
    this.page.value = { ...this.page.value, news: '' };
  }

  dismissNotice(code: string): void {
    this.notices.value = this.notices.value.filter((n) => n.code !== code);
  }

  modelName(id: string | undefined): string {
    return this.models.value.find((m) => m.id === id)?.name ?? id ?? '';
  }
}

function ignore(): void {}

export const StoreContext = createContext<Store | null>(null);

export function useStore(): Store {
  const s = useContext(StoreContext);
  if (!s) throw new Error('no store');
  return s;
}
