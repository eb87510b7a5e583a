// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Every state of every screen: what the core says, and what a person does.

import type { Answered, PageNews } from '../src/core/protocol.ts';
import { CHATS, FREE, MEMBER, MODELS, SETTINGS, chat, message, NOW, receipt, type Scene } from './fake.ts';
import { HARDWARE, LOGGED, PAGE_CHANGED } from './verdicts.ts';
import { CODE, LETTER, LONG, MATHS, RICH, STREAM } from './texts.ts';

export interface State {
  name: string;
  path: string;
  scene: Scene;
  /** Selectors to press in order; `selector=text` types. */
  acts: string[];
}

const open: Scene = {
  session: { state: 'open', account: 'a', prf: true, kitConfirmed: true },
  trust: 'verified',
  chats: CHATS,
  messages: [],
  models: MODELS,
  settings: SETTINGS,
  notices: [],
  answer: STREAM,
  pace: 12,
  fails: {},
  prf: true,
};
const out: Scene = { ...open, session: { state: 'signed-out' }, chats: [], trust: 'checking' };

const letter = [
  message(
    'c2',
    '',
    'user',
    'Help me write to my landlord. The bathroom ceiling has had damp for three months and they keep saying they will send someone.',
    { id: 'u1' },
  ),
  message('c2', 'u1', 'assistant', 'Short first try.', { id: 'a0' }),
  message('c2', 'u1', 'assistant', LETTER, { id: 'a1' }),
  message('c2', 'a1', 'user', 'Make it a little firmer, and put the dates in a table.', { id: 'u2' }),
  message('c2', 'u2', 'assistant', RICH, {
    id: 'a2',
    reasoning: 'They want it firmer. A table of dates makes the delay plain without an angry word.',
  }),
];
const chatOf = (...m: Scene['messages']): Scene => ({ ...open, messages: m });
const ask = (text = 'How do records hide the length of an answer?'): ReturnType<typeof message> =>
  message('c4', '', 'user', text, { id: 'q' });
const reply = (text: string, more: Parameters<typeof message>[4] = {}): ReturnType<typeof message> =>
  message('c4', 'q', 'assistant', text, { id: 'r', ...more });
const CHANGES = [
  'The node’s program changes from sha256:9b1f0c7d2e4a… to sha256:00c1ffee4b1d….',
  'The engine’s version changes from 0.10.0 to 0.10.1.',
  'The model granite changes from sha256:77aa0c1d2e3f… to sha256:5c2be81f0a94….',
  'The page itself changed.',
];
const page = (news: PageNews['news'], text: string, changes: string[] = []): Scene => ({
  ...open,
  says: LOGGED,
  page: { news, text, version: '1.4.3', entry: 18231, from: '1.4.2', changes },
});
const update = page('update', 'New version 1.4.3, in the public log as entry 18231.', CHANGES);
const answers: Answered[] = [0, 1, 2, 30, 50, 200].map((hours, i) => ({
  time: NOW / 1000 - hours * 3_600,
  chat: `c${i + 1}`,
  title: CHATS[i]!.title,
  message: `m${i}`,
  model: 'granite',
  machine: '5f1c9a0e77b24c38a1d2e3f405162738',
  platform: i === 2 ? 'software' : 'tdx+nvidia',
  state: i === 2 ? 'demo' : 'verified',
  release: 'sha256:9b1f0c7d2e4a5b6c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e',
  ...(i === 2 ? {} : { version: i < 2 ? '1.4.3' : '1.4.2', entry: i < 2 ? 18231 : 18230, witnesses: 2 }),
}));
const demo: Scene = { ...open, trust: 'demo', models: [MODELS[2]!] };
const many = Array.from({ length: 400 }, (_, i) =>
  i % 2 === 0
    ? message('c4', i ? `l${i - 1}` : '', 'user', `Question ${i / 2 + 1}`, { id: `l${i}` })
    : message('c4', `l${i - 1}`, 'assistant', LONG, { id: `l${i}` }),
);

const wentBack: Scene = {
  ...chatOf(...letter),
  notices: [
    {
      t: 'notice',
      kind: 'history',
      code: 'rolled_back',
      text: 'The server went back to an older copy of your history, as after a backup was restored. Everything that this device has is kept. Until you decide, nothing new is saved at the server.',
      rejoin: true,
    },
  ],
};

const plan = (part: Partial<typeof FREE>, more: Partial<Scene> = {}): Scene => ({ ...open, chats: CHATS.slice(0, 4), plan: { ...FREE, ...part }, ...more });
const five = CHATS.slice(0, 5);
const six: Scene = { ...chatOf(...letter.map((m) => ({ ...m, chat: 'c6' }))), chats: CHATS.slice(0, 6), plan: FREE };
const noRelay = { code: 'unreachable', message: 'The relay can’t be reached. Nothing was sent. Try again.' };

function s(name: string, path: string, scene: Scene, ...acts: string[]): State {
  return { name, path, scene, acts };
}

export const STATES: State[] = [
  s('starting', '/', { ...out, silent: true }),
  s('core-dead', '/', { ...out, dead: true }),
  s('welcome', '/', out),
  s('welcome-demo', '/', { ...out, trust: 'consent' }),
  s(
    'welcome-cancelled',
    '/',
    { ...out, fails: { signUp: { code: 'cancelled', message: 'No passkey was used. Try again when you are ready.' } } },
    '.button.primary',
  ),
  s(
    'welcome-unsupported',
    '/',
    {
      ...out,
      fails: {
        signUp: {
          code: 'no_passkeys',
          message: 'This browser has no passkeys. Use another one, or open this page at https:// or at localhost.',
        },
      },
    },
    '.button.primary',
  ),
  s('kit', '/', out, '.button.primary'),
  s('kit-check', '/', out, '.button.primary', '.form-actions .primary'),
  s(
    'kit-wrong',
    '/',
    out,
    '.button.primary',
    '.form-actions .primary',
    '.kit-check .field:nth-child(1) input=0hrwb',
    '.kit-check .field:nth-child(2) input=GA5FX',
    '.form-actions .primary',
  ),
  s(
    'passphrase',
    '/',
    { ...out, prf: false },
    '.button.primary',
    '.form-actions .primary',
    '.kit-check .field:nth-child(1) input=0hrwb',
    '.kit-check .field:nth-child(2) input=GA5FQ',
    '.form-actions .primary',
  ),
  s(
    'recover-typo',
    '/',
    {
      ...out,
      fails: { recover: { code: 'kit_typo', message: 'Group 3 has a typing mistake. Compare it with your kit.' } },
    },
    '.welcome-more .link',
    'textarea=7KQ2M X9D4T 0HRWX VN3E8 J6PZC 4TYS1 GA5FQ M8W2K',
    '.form-actions .primary',
  ),
  s('locked', '/', { ...open, session: { state: 'locked', prf: true } }),
  s('app-closed', '/', { ...out, session: { state: 'signed-out', app: 'closed' } }),
  s('app-unlinked', '/', { ...out, session: { state: 'signed-out', app: 'unlinked' } }),
  s('app-link', '/', { ...out, session: { state: 'signed-out', app: 'unlinked' } }, '.button.primary'),
  s('app-locked', '/', { ...out, session: { state: 'locked', app: 'linked' } }),
  s(
    'unlock-passphrase',
    '/',
    {
      ...open,
      session: { state: 'locked', prf: false },
      fails: { unlock: { code: 'wrong_passphrase', message: 'That isn’t the passphrase. Try again.' } },
    },
    '.button.primary',
    'input=correct horse',
    '.form-actions .primary',
  ),
  s('new-chat', '/', open),
  s('new-chat-empty', '/', { ...open, chats: [], session: { ...open.session, kitConfirmed: false } }),
  s('history-loading', '/', { ...open, loading: 0.62 }),
  s('drawer', '/', open, '.head-side'),
  s('row-menu', '/', open, '.side-row:nth-child(2) .side-more'),
  s('rename', '/', open, '.side-row .side-more', '.menu-item:first-child'),
  s('delete-undo', '/', open, '.side-row .side-more', '.menu-item.danger'),
  s('model-menu', '/', open, '.model-button'),
  s(
    'checking-queued',
    '/',
    { ...open, trust: 'checking' },
    '.composer-text=Is the rash on my arm something to worry about?',
    '.send',
  ),
  s('verified-old', '/', { ...open, trust: 'verified-old' }),
  s('changed', '/', { ...open, trust: 'changed' }),
  s('unknown', '/', { ...open, trust: 'unknown' }),
  s('failed', '/chat/c2', { ...open, trust: 'failed', messages: letter }),
  s('consent', '/', { ...demo, trust: 'consent' }),
  s('demo', '/', demo),
  s('demo-chat', '/chat/c4', {
    ...demo,
    messages: [
      ask('Hello!'),
      reply(
        'Hello. I am only the built-in demo model, a few million numbers on this machine. Ask me what the buttons do, or for a short story.',
        { model: 'demo', receipt: receipt('demo') },
      ),
    ],
  }),
  s('chat', '/chat/c2', chatOf(...letter)),
  s('chat-reasoning', '/chat/c2', chatOf(...letter), '.reasoning summary'),
  s('chat-edit', '/chat/c2', chatOf(...letter), '#m-u2 .icon-button[title="Edit"]'),
  s('chat-code', '/chat/c4', chatOf(ask('Read the stream in records, in Go.'), reply(CODE))),
  s('chat-maths', '/chat/c4', chatOf(ask('Show me where the formula comes from.'), reply(MATHS))),
  s(
    'link',
    '/chat/c4',
    chatOf(
      ask(),
      reply(
        'The format is [RFC 9292](https://www.rfc-editor.org/rfc/rfc9292?from=somewhere&utm_source=tracking), and ![a map](https://tracker.example/pixel.png) shows the way.',
      ),
    ),
    '.md a',
  ),
  s('sending', '/chat/c4', chatOf(ask(), reply('', { status: 'sending', receipt: undefined }))),
  s(
    'thinking',
    '/chat/c4',
    chatOf(ask(), reply('', { status: 'streaming', receipt: undefined, reasoning: 'Records of one size, on a tick.' })),
  ),
  s(
    'streaming',
    '/chat/c4',
    { ...chatOf(ask(), reply('First answer.')), pace: 4 },
    '.composer-text=And how are they timed?',
    '.send',
    '@900',
  ),
  s(
    'reconnecting',
    '/chat/c4',
    chatOf(
      ask(),
      reply('Each record has the same size, so that someone who', { status: 'reconnecting', receipt: undefined }),
    ),
  ),
  s(
    'stopped',
    '/chat/c4',
    chatOf(ask(), reply('Each record has the same size, so that someone who', { status: 'stopped' })),
  ),
  s(
    'answer-failed',
    '/chat/c4',
    chatOf(
      ask(),
      reply('', {
        status: 'failed',
        error: 'The model server is not answering. Start it, then try again.',
        receipt: undefined,
      }),
    ),
  ),
  s(
    'send-failed',
    '/chat/c4',
    {
      ...chatOf(ask(), reply('Yes.')),
      fails: { send: { code: 'offline', message: 'The server can’t be reached. Your message was not sent.' } },
    },
    '.composer-text=And now?',
    '.send',
  ),
  s('scrolled-up', '/chat/c4', chatOf(...many), '^'),
  s('missing', '/chat/nothere', open),
  s(
    'temporary',
    '/',
    { ...open, answer: LETTER, pace: 0 },
    '.head-tools [aria-pressed]',
    '.composer-text=Something I would rather not keep.',
    '.send',
    '@600',
  ),
  s(
    'temporary-leave',
    '/',
    { ...open, answer: 'All right.', pace: 0 },
    '.head-tools [aria-pressed]',
    '.composer-text=Something I would rather not keep.',
    '.send',
    '@300',
    '.sidebar-actions .side-link',
  ),
  s('panel-verified', '/', open, '.trust'),
  s('panel-show-me', '/', open, '.trust', '.check summary'),
  s('panel-demo', '/', demo, '.trust'),
  s('panel-failed', '/', { ...open, trust: 'failed' }, '.trust'),
  s('panel-unknown', '/', { ...open, trust: 'unknown' }, '.trust'),
  ...Object.entries(HARDWARE).flatMap(([name, says]) => {
    const scene = { ...open, trust: says.state, says };
    return [
      s(`panel-${name}`, '/', scene, '.trust'),
      s(`panel-${name}-open`, '/', scene, '.trust', '.check summary'),
    ];
  }),
  s('receipt', '/chat/c2', chatOf(...letter), '#m-a2 .receipt'),
  s(
    'receipt-old',
    '/chat/c4',
    chatOf(ask(), reply('Yes.', { receipt: { ...receipt(), version: undefined, log_index: undefined, witnesses: undefined, checks: undefined } })),
    '#m-r .receipt',
  ),
  s(
    'release-changed',
    '/chat/c4',
    chatOf(
      ask(),
      reply('Each record has the same size.'),
      message('c4', 'r', 'user', 'And how are they timed?', { id: 'q2' }),
      message('c4', 'q2', 'assistant', 'One on each tick, whatever the model does.', {
        id: 'r2',
        receipt: { ...receipt(), release: 'sha256:00c1ffee4b1d', version: '1.4.3', log_index: 18231 },
      }),
    ),
  ),
  s('panel-logged', '/', { ...open, says: LOGGED }, '.trust'),
  s('panel-logged-open', '/', { ...open, says: LOGGED }, '.trust', '.check:nth-child(3) summary', '.check:nth-child(5) summary'),
  s('panel-update', '/', update, '.trust'),
  s('page-update', '/chat/c2', { ...update, messages: letter }),
  s('page-update-sheet', '/', update, '.notice .button'),
  s('page-updated', '/', page('updated', 'This page is now version 1.4.3, in the public log as entry 18231.', CHANGES)),
  s(
    'page-refused',
    '/',
    page('refused', 'The server sends another page, which is not in the public log. It was refused: you go on with version 1.4.3.'),
  ),
  s('page-changed', '/', {
    ...page('changed', PAGE_CHANGED.detail),
    trust: 'failed',
    says: PAGE_CHANGED,
  }),
  s('panel-page-changed', '/', { ...open, trust: 'failed', says: PAGE_CHANGED }, '.trust'),
  s('report', '/settings', { ...open, answers }, '[aria-labelledby=set-data] .set-row:nth-child(2) .button'),
  s('report-none', '/settings', open, '[aria-labelledby=set-data] .set-row:nth-child(2) .button'),
  s('plan-few', '/', plan({ left: 3 }), '@200'),
  s('plan-last', '/chat/c2', { ...plan({ left: 1 }), messages: letter }, '@200'),
  s('plan-used', '/chat/c2', { ...plan({ left: 0 }), messages: letter }, '.composer-text=Something I typed before I knew.', '@200'),
  s('plan-used-given', '/', plan({ left: 0, billing: false, price: '' }), '@200'),
  s('plan-fair', '/', plan({ ...MEMBER, again: NOW + 12 * 60_000 }), '@200'),
  s('plan-token', '/', plan({ error: { code: 'token_expired', message: 'x' } }), '@200'),
  s('chats-full', '/', plan({}, { chats: five }), '@200'),
  s('chats-full-choose', '/', plan({}, { chats: five }), '.composer-plan .button', '@200'),
  s('chats-sixth', '/chat/c6', six, '@200'),
  s('settings-free', '/settings', plan({}), '@200'),
  s('settings-member', '/settings', plan(MEMBER), '@200'),
  s('settings-given', '/settings', plan({ billing: false, price: '', account: '' }), '@200'),
  s('settings-uncounted', '/settings', plan({ tokens: false, plan: '' }), '@200'),
  s('settings-plan-waits', '/settings', plan({}, { planWaits: true }), '@200'),
  s(
    'settings-plan-failed',
    '/settings',
    plan({}, { fails: { plan: { code: 'offline', message: 'The server can’t be reached. Check your connection, then try again.' } } }),
    '@200',
  ),
  s(
    'settings-voucher-wrong',
    '/settings',
    plan({}, { fails: { voucher: { code: 'voucher_unknown', message: 'This code is not known, or was used. Compare it with what you were given.' } } }),
    '.plan-voucher input=ABCD-EFGH',
    '.plan-voucher button',
    '@200',
  ),
  s('panel-address-hidden', '/', plan({}), '.trust', '@100'),
  s('panel-address-visible', '/', plan({ relay: null }), '.trust', '@100'),
  s('panel-address-demo', '/', plan({ relay: { host: '127.0.0.1:8788', operator: '', local: true, error: null } }, { trust: 'demo' }), '.trust', '@100'),
  s('panel-address-failed', '/', plan({ relay: { ...FREE.relay!, error: noRelay } }, { trust: 'unknown' }), '.trust', '@100'),
  s('search', '/', chatOf(...letter), '@k'),
  s('search-hits', '/', chatOf(...letter), '@k', '.search-input=damp', '@200'),
  s('search-none', '/', chatOf(...letter), '@k', '.search-input=zebra', '@200'),
  s('help', '/', open, '@/'),
  s('settings', '/settings', open),
  s('settings-new-kit', '/settings', open, '[aria-labelledby=set-security] .button', 'dialog .primary'),
  s('settings-delete', '/settings', open, '[aria-labelledby=set-data] .button.danger', 'dialog input=delete'),
  s('terminal-link', '/link/abc', open),
  s('notices', '/', {
    ...open,
    session: { ...open.session, offline: true },
    notices: [
      {
        t: 'notice',
        kind: 'history',
        code: 'swapped',
        text: 'The server put a part of your history in a wrong place. What this device has is kept. Export it, and ask whoever runs the server.',
      },
    ],
  }),
  s('went-back', '/chat/c2', wentBack),
  s('went-back-ask', '/', wentBack, '.notice .button'),
  s(
    'went-back-offline',
    '/',
    {
      ...wentBack,
      fails: {
        rejoin: { code: 'offline', message: 'The server can’t be reached. Check your connection, then try again.' },
      },
    },
    '.notice .button',
    'dialog .primary',
    '@200',
  ),
  s('light-forced', '/chat/c4', { ...chatOf(ask(), reply(RICH)), settings: { ...SETTINGS, theme: 'light' } }),
  s('dark-forced', '/chat/c4', { ...chatOf(ask(), reply(RICH)), settings: { ...SETTINGS, theme: 'dark' } }),
  s('stream-5000', '/chat/c4', { ...chatOf(ask(), reply('Ready.')), pace: -1 }),
  s('many-chats', '/', {
    ...open,
    chats: Array.from({ length: 2000 }, (_, i) => chat(`x${i}`, `Chat number ${i + 1}`, i * 7_000_000)),
  }),
];
