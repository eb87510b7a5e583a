// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Drives the core in Chromium: node smoke.mjs ORIGIN CHROMIUM. Run by smoke_test.go.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

/** How long anything may take; nothing that passes waits for it. */
const PATIENCE = 60_000;

const [origin, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
});
const context = await browser.newContext();
const problems = [];

/** Opens a page with an authenticator that has PRF, or takes over one's credentials. */
async function open(path = '/', { prf = true } = {}) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('pageerror', (e) => problems.push(`page error: ${e.message}`));
  page.on('console', (m) => m.type() === 'error' && problems.push(`console: ${m.text()}`));
  const cdp = await context.newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'internal', hasResidentKey: true,
      hasUserVerification: true, isUserVerified: true, hasPrf: prf, automaticPresenceSimulation: true,
    },
  });
  page.authenticator = { cdp, authenticatorId };
  await page.goto(origin + path);
  return page;
}

const call = (page, name, ...args) => page.evaluate(([n, a]) => test.core[n](...a), [name, args]);
const fails = (page, name, ...args) =>
  page.evaluate(([n, a]) => test.core[n](...a).then(() => null, (e) => ({ code: e.code, message: e.message })), [name, args]);
const session = (page, state) => page.waitForFunction((s) => test.last('session')?.session.state === s, state);
const last = (page, t) => page.evaluate((x) => test.last(x), t);
const seen = async () => (await fetch(`${origin}/test/seen`)).json();
const server = async (what) => assert.equal((await fetch(`${origin}/test/${what}`, { method: 'POST' })).status, 200);
const set = (what, down) => fetch(`${origin}/test/${what}?down=${down ? 1 : 0}`, { method: 'POST' });

/** Waits until f answers true. */
async function until(f, what) {
  for (const end = Date.now() + PATIENCE; !(await f()); ) {
    assert.ok(Date.now() < end, what);
    await new Promise((r) => setTimeout(r, 100));
  }
}

/** Waits until a message of a chat is as `ok` says, and returns it. */
async function message(page, chat, id, ok, ms = PATIENCE) {
  for (const end = Date.now() + ms; ; ) {
    const found = await page.evaluate(
      ([c, m]) => test.events.findLast((x) => x.t === 'chat' && x.view.chat.id === c)?.view.messages.find((x) => x.id === m),
      [chat, id],
    );
    if (found && ok(found)) return found;
    assert.ok(Date.now() < end, `the message stays ${JSON.stringify(found)}`);
    await new Promise((r) => setTimeout(r, 20));
  }
}

/** Waits until words of an answer have come: then the engine has been asked. */
const begun = (page, id) => page.waitForFunction((m) => test.events.some((e) => e.t === 'delta' && e.message === m), id);
const done = (m) => m.status === 'complete';
const words = (n) => Array.from({ length: n }, (_, i) => `word${i + 1} `).join('');

/** Everything in IndexedDB as text, bytes as Latin-1. */
const dump = (page) =>
  page.evaluate(async () => {
    const db = await new Promise((r) => { const q = indexedDB.open('sotto'); q.onsuccess = () => r(q.result); });
    const out = {};
    for (const name of db.objectStoreNames) {
      const all = await new Promise((r) => { const q = db.transaction(name).objectStore(name).getAll(); q.onsuccess = () => r(q.result); });
      out[name] = all.map((v) => JSON.stringify(v, (_, x) => (x instanceof Uint8Array ? Array.from(x, (c) => String.fromCharCode(c)).join('') : x)));
    }
    db.close();
    return out;
  });

const steps = {};
let page, chat, first, prfOutput;

steps['signed out, and no WASM is needed to see it'] = async () => {
  page = await open();
  await session(page, 'signed-out');
};

steps['sign up with a passkey that has PRF, confirm the kit'] = async () => {
  // Keep what the passkey gives, to look for it in what is sent.
  await page.evaluate(() => {
    const create = navigator.credentials.create.bind(navigator.credentials);
    navigator.credentials.create = async (o) => {
      const c = await create(o);
      const r = c.getClientExtensionResults().prf?.results?.first;
      if (r) globalThis.prfOutput = Array.from(new Uint8Array(r));
      const results = c.getClientExtensionResults();
      c.getClientExtensionResults = () => results;
      return c;
    };
  });
  const up = await call(page, 'signUp');
  assert.equal(up.prf, true);
  assert.equal(up.kit.groups.length, 8);
  prfOutput = await page.evaluate(() => globalThis.prfOutput);
  assert.equal(prfOutput.length, 32);
  const [a, b] = up.kit.confirm;
  const wrong = await fails(page, 'signUpFinish', ['00000', up.kit.groups[b]]);
  assert.equal(wrong?.code, 'kit_mismatch');
  await call(page, 'signUpFinish', [up.kit.groups[a].toLowerCase(), up.kit.groups[b]]);
  await session(page, 'open');
  page.kit = up.kit.groups;
  const { session: s } = await last(page, 'session');
  assert.equal(s.kitConfirmed, true);
  assert.equal(s.prf, true);
};

steps['demo hardware waits for consent'] = async () => {
  await page.waitForFunction(() => test.last('trust')?.trust.state === 'consent', null);
  const { id } = await call(page, 'newChat', { temporary: false });
  const e = await fails(page, 'send', id, '', 'hello', 'words');
  assert.equal(e?.code, 'consent');
  await call(page, 'acceptDemo');
  await page.waitForFunction(() => test.last('trust')?.trust.state === 'demo' && test.last('models')?.models.length, null);
  assert.deepEqual((await last(page, 'models')).models, [{ id: 'words', name: 'Words (demo)', demo: true, context: 4096, engine: 'built-in' }]);
};

steps['ask, stream, title'] = async () => {
  ({ id: chat } = await call(page, 'newChat', { temporary: false }));
  await call(page, 'openChat', chat);
  first = await call(page, 'send', chat, '', '20 words about zanzibarium', 'words');
  const m = await message(page, chat, first.assistant, done);
  assert.equal(m.text, words(20));
  assert.equal(m.receipt.state, 'demo');
  const streamed = await page.evaluate((id) => test.events.filter((e) => e.t === 'delta' && e.message === id).length, first.assistant);
  assert.ok(streamed > 3, `${streamed} deltas`);
  await page.waitForFunction((c) => test.last('chats')?.chats.find((x) => x.id === c)?.title === 'Counting words', chat);
};

steps['stop at the engine, keep what came'] = async () => {
  const before = (await seen()).stopped;
  const s = await call(page, 'send', chat, first.assistant, '400 words, held', 'words');
  await message(page, chat, s.assistant, (m) => m.status === 'streaming');
  await begun(page, s.assistant);
  await call(page, 'stop', chat);
  const m = await message(page, chat, s.assistant, (x) => x.status === 'stopped');
  assert.ok(m.text.startsWith('word1 ') && m.text.length < words(400).length);
  await until(async () => (await seen()).stopped !== before, 'the engine goes on');
};

steps['a dropped connection is a pause'] = async () => {
  const asked = await call(page, 'send', chat, first.assistant, '20 words, held', 'words');
  await begun(page, asked.assistant);
  await server('release');
  await message(page, chat, asked.assistant, done);
  const s = await call(page, 'regenerate', chat, asked.assistant, 'words');
  await begun(page, s.assistant);
  await set('network', true);
  await message(page, chat, s.assistant, (m) => m.status === 'reconnecting');
  await new Promise((r) => setTimeout(r, 300));
  await set('network', false);
  await server('release');
  const m = await message(page, chat, s.assistant, done);
  assert.equal(m.text, words(20));
};

steps['reload in mid-answer, open with one gesture, and the answer goes on'] = async () => {
  const s = await call(page, 'send', chat, first.assistant, '80 words, held', 'words');
  await message(page, chat, s.assistant, (m) => m.status === 'streaming');
  await page.waitForFunction((id) => test.events.filter((e) => e.t === 'delta' && e.message === id).length > 5, s.assistant);
  await page.reload();
  await session(page, 'locked');
  assert.equal((await last(page, 'chats')) ?? null, null, 'a locked page knows no chats');
  const t = Date.now();
  await call(page, 'signIn');
  await session(page, 'open');
  steps.unlock = Date.now() - t;
  // The machines are checked first, so it takes a moment. The model holds the rest until it is released.
  let there = false;
  for (let n = 0; n < 400 && !there; n++) {
    if (n > 0) await new Promise((r) => setTimeout(r, 50));
    const view = await call(page, 'openChat', chat);
    there = view.messages.some((m) => m.id === s.assistant && m.text.startsWith('word1 '));
  }
  assert.ok(there, 'the answer is on the screen while it is taken up');
  await server('release');
  const m = await message(page, chat, s.assistant, done);
  assert.equal(m.text, words(80));
  const { asked } = await seen();
  assert.equal(asked.filter((q) => q === '80 words, held').length, 1, 'the engine was asked once');
};

steps['offline: what is written is kept and sent once'] = async () => {
  await set('account', true);
  const s = await call(page, 'send', chat, first.assistant, '3 words', 'words');
  await message(page, chat, s.assistant, done);
  await page.waitForFunction(() => test.last('session')?.session.offline === true, null);
  await message(page, chat, s.user, (m) => m.unsaved === true);
  await page.reload();
  await session(page, 'locked');
  await call(page, 'signIn');
  await session(page, 'open');
  assert.ok((await call(page, 'openChat', chat)).messages.some((m) => m.id === s.assistant && m.text === 'word1 word2 word3 '));
  await set('account', false);
  await call(page, 'openChat', chat);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await page.waitForFunction(() => !test.last('session')?.session.offline, null);
  await message(page, chat, s.user, (m) => !m.unsaved);
  await until(async () => (await dump(page)).queue.length === 0, 'the queue stays full');
};

steps['a server that went back: said, nothing lost, and the person goes on with its copy'] = async () => {
  await server('backup');
  const s = await call(page, 'send', chat, first.assistant, '2 words after the backup', 'words');
  await message(page, chat, s.assistant, (m) => done(m) && !m.unsaved);
  await until(async () => (await dump(page)).queue.length === 0, 'the queue stays full');
  await server('restore');
  const late = await call(page, 'send', chat, first.assistant, '2 words while it was back', 'words');
  await message(page, chat, late.assistant, done);
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await page.waitForFunction(() => test.events.some((e) => e.t === 'notice' && e.code === 'rolled_back' && e.rejoin));
  // Nothing is stored or lost by itself: the same is found after a reload.
  await page.reload();
  await session(page, 'locked');
  await call(page, 'signIn');
  await session(page, 'open');
  await page.waitForFunction(() => test.events.some((e) => e.t === 'notice' && e.rejoin));
  const mine = (view) => [s.user, s.assistant, late.user, late.assistant].every((id) => view.messages.some((m) => m.id === id));
  assert.ok(mine(await call(page, 'openChat', chat)), 'this device has everything');
  await call(page, 'rejoin');
  await until(async () => (await dump(page)).queue.length === 0, 'the queue stays full');
  assert.ok(mine(await call(page, 'openChat', chat)), 'and after going on');
  const elsewhere = await browser.newContext();
  const other = await elsewhere.newPage();
  other.setDefaultTimeout(PATIENCE);
  await other.goto(origin);
  await session(other, 'signed-out');
  await call(other, 'recover', page.kit.join(' '));
  await session(other, 'open');
  assert.ok(mine(await call(other, 'openChat', chat)), 'the server has it all again');
  assert.deepEqual(await other.evaluate(() => test.events.filter((e) => e.t === 'notice')), [], 'and nothing is wrong with it');
  await elsewhere.close();
  // What is kept here now opens again.
  await page.reload();
  await session(page, 'locked');
  await call(page, 'signIn');
  await session(page, 'open');
  assert.ok(mine(await call(page, 'openChat', chat)));
  assert.deepEqual(await page.evaluate(() => test.events.filter((e) => e.t === 'notice')), []);
};

steps['a second device gets in with the kit, and each hears of the other'] = async () => {
  const elsewhere = await browser.newContext();
  const other = await elsewhere.newPage();
  other.setDefaultTimeout(PATIENCE);
  other.on('pageerror', (e) => problems.push(`page error: ${e.message}`));
  await other.goto(origin);
  await session(other, 'signed-out');
  await call(other, 'recover', page.kit.join(' ').toLowerCase());
  await session(other, 'open');
  const there = await call(other, 'openChat', chat);
  assert.ok(there.messages.some((m) => m.id === first.assistant && m.text === words(20)));
  await call(other, 'rename', chat, 'Another name');
  await page.waitForFunction((c) => test.last('chats')?.chats.find((x) => x.id === c)?.title === 'Another name', chat);
  const typo = page.kit.with(2, page.kit[2].replace(/.$/, (c) => (c === '7' ? '8' : '7')));
  assert.equal((await fails(other, 'recover', typo.join(' ')))?.code, 'kit_typo');
  await elsewhere.close();
};

steps['two tabs: one answer, taken over when its tab goes'] = async () => {
  const tab = await open();
  await session(tab, 'locked');
  await call(tab, 'recover', page.kit.join(' '));
  await session(tab, 'open');
  await call(tab, 'openChat', chat);
  const s = await call(tab, 'send', chat, first.assistant, '60 words, held', 'words');
  await begun(tab, s.assistant);
  // This tab starts again while the other one has the answer: it waits its turn.
  await page.reload();
  await session(page, 'locked');
  await call(page, 'signIn');
  await session(page, 'open');
  await call(page, 'openChat', chat);
  await new Promise((r) => setTimeout(r, 500));
  const view = await call(page, 'openChat', chat);
  assert.ok(!view.messages.some((m) => m.id === s.assistant), 'both tabs have taken the answer up');
  await tab.close();
  await server('release');
  const m = await message(page, chat, s.assistant, done);
  assert.equal(m.text, words(60));
};

steps['a terminal is linked'] = async () => {
  const { path } = await (await fetch(`${origin}/test/link`, { method: 'POST' })).json();
  const tab = await open(path.replace(/.$/, (c) => (c === 'A' ? 'E' : 'A')));
  const id = path.match(/\/link\/(\w+)/)[1];
  await session(tab, 'locked');
  await call(tab, 'recover', page.kit.join(' '));
  await session(tab, 'open');
  assert.equal((await fails(tab, 'link', id))?.code, 'bad_link', 'a link that was changed');
  await tab.evaluate((h) => (location.hash = h), path.slice(path.indexOf('#')));
  const link = await call(tab, 'link', id);
  assert.equal(link.name, 'my terminal');
  assert.match(link.code, /^[0-9A-Z]{4}-[0-9A-Z]{4}$/);
  assert.ok(link.expires > Date.now());
  await call(tab, 'approveLink', id);
  assert.equal(await (await fetch(`${origin}/test/linked`, { method: 'POST' })).text(), 'opened');
  const sessions = await call(tab, 'sessions');
  assert.ok(sessions.some((s) => s.kind === 'terminal' && s.label === 'my terminal'), JSON.stringify(sessions));
  await tab.close();
};

steps['a temporary chat leaves no trace'] = async () => {
  const before = JSON.stringify(await dump(page));
  const account = (await seen()).account;
  const { id } = await call(page, 'newChat', { temporary: true });
  await call(page, 'openChat', id);
  const s = await call(page, 'send', id, '', '6 words in passing', 'words');
  await message(page, id, s.assistant, done);
  assert.equal(JSON.stringify(await dump(page)), before);
  assert.equal((await seen()).account, account);
};

steps['search, export, settings'] = async () => {
  const hits = await call(page, 'search', 'zanzibarium');
  assert.equal(hits.length, 1);
  assert.equal(hits[0].message, first.user);
  const [from, to] = hits[0].marks[0];
  assert.equal(hits[0].snippet.slice(from, to), 'zanzibarium');
  const md = await page.evaluate(async (c) => new TextDecoder().decode(await test.core.exportChat(c, 'md')), chat);
  assert.ok(md.startsWith('# Another name') && md.includes('zanzibarium'));
  assert.equal(await page.evaluate(async () => new TextDecoder().decode((await test.core.exportAll()).slice(0, 2))), 'PK');
  await call(page, 'setSettings', { instructions: 'Be brief.', theme: 'dark' });
  const { settings } = await last(page, 'settings');
  assert.equal(settings.instructions, 'Be brief.');
  assert.equal(settings.theme, 'dark');
  const proof = JSON.parse(await page.evaluate(async () => new TextDecoder().decode(await test.core.exportProof())));
  assert.equal(proof.verdicts[0].state, 'demo');
  assert.ok(proof.nodes.nodes.length > 0);
};

steps['lists of passkeys and sessions have names'] = async () => {
  const [passkey] = await call(page, 'passkeys');
  assert.equal(passkey.label, 'Chrome on Linux');
  assert.ok(passkey.prf && passkey.current);
  const sessions = await call(page, 'sessions');
  assert.ok(sessions.some((s) => s.current && s.label === 'Chrome on Linux'), JSON.stringify(sessions));
  assert.match((await fails(page, 'removePasskey', passkey.id))?.code ?? '', /last_way_in/);
};

steps['at rest: ciphertext only; on the wire: never the passkey’s key'] = async () => {
  const kept = JSON.stringify(await dump(page));
  assert.ok(kept.length > 5_000);
  const { account } = await seen();
  assert.ok(account.length > 5_000);
  const b = Buffer.from(prfOutput);
  const secrets = ['zanzibarium', 'word1', 'word2', 'Another name', 'Counting', 'Be brief', ...page.kit, page.kit.join(''),
    b.toString('base64').replace(/=+$/, ''), b.toString('base64url'), b.toString('hex'), b.toString('latin1')];
  for (const s of secrets) {
    for (const [where, text] of [['IndexedDB', kept], ['the account server’s requests', account]]) {
      assert.ok(!text.includes(s), `${JSON.stringify(s)} is in ${where}`);
      const coded = Buffer.from(s).toString('base64').slice(0, -4);
      assert.ok(coded.length < 8 || !text.includes(coded), `${JSON.stringify(s)} is in ${where}, in base64`);
    }
  }
};

steps['delete a chat: its data goes from this device'] = async () => {
  const data = async () => (await dump(page)).feed.map((e) => JSON.parse(e)).filter((e) => e.collection === 'msg' && e.data).length;
  assert.ok((await data()) > 5);
  await call(page, 'deleteChat', chat);
  await until(async () => (await data()) === 0, 'messages stay');
  assert.equal((await last(page, 'chats')).chats.length, 0);
  await page.reload();
  await session(page, 'locked');
  await call(page, 'signIn');
  await session(page, 'open');
  assert.deepEqual((await page.evaluate(() => test.events.filter((e) => e.t === 'notice'))), []);
};

steps['a new kit takes the old one’s place'] = async () => {
  const kit = await call(page, 'newKit');
  await call(page, 'confirmKit', [kit.groups[kit.confirm[0]], kit.groups[kit.confirm[1]]]);
  assert.equal((await fails(page, 'recover', page.kit.join('-')))?.code, 'recovery_refused');
  page.kit = kit.groups;
};

steps['lock, sign out, sign in'] = async () => {
  await call(page, 'lock');
  await session(page, 'locked');
  await call(page, 'signIn');
  await session(page, 'open');
  await call(page, 'signOut');
  await session(page, 'signed-out');
  await call(page, 'signIn');
  await session(page, 'open');
};

steps['a core that breaks is started again, locked'] = async () => {
  const [worker] = page.workers();
  await worker.evaluate(() => {
    sottoHost.emit = () => {
      throw new Error('broken on purpose');
    };
  });
  await page.evaluate(() => void test.core.checkAgain().catch(() => {}));
  await page.waitForFunction(() => test.events.some((e) => e.t === 'notice' && e.code === 'core_restarted'), null);
  await session(page, 'locked');
  await call(page, 'signIn');
  await session(page, 'open');
  problems.length = 0; // the panic is on the console, as it should be
};

steps['a core that goes without a word is noticed, and started again'] = async () => {
  const tab = await context.newPage();
  tab.setDefaultTimeout(PATIENCE);
  await tab.clock.install();
  await tab.goto(origin);
  await session(tab, 'locked');
  for (let i = 0; i < 8; i++) {
    await tab.clock.runFor(15_000);
    // The clock runs ahead of the Worker: what was asked is answered before it runs on.
    await tab.evaluate(() => test.core.search('x').catch(() => {}));
  }
  assert.deepEqual(await tab.evaluate(() => test.events.filter((e) => e.t === 'notice')), [], 'one that is there is left alone');
  const [worker] = tab.workers();
  await worker.evaluate(() => close()).catch(() => {});
  const noticed = () => tab.evaluate(() => test.events.some((e) => e.t === 'notice' && e.code === 'core_restarted'));
  for (let i = 0; !(await noticed()); i++) {
    assert.ok(i < 10, 'nobody notices');
    await tab.clock.runFor(15_000);
  }
  await session(tab, 'locked');
  await tab.close();
};

steps['delete the account'] = async () => {
  assert.equal((await fails(page, 'deleteAccount', 'yes'))?.code, 'not_confirmed');
  await call(page, 'deleteAccount', 'delete');
  await session(page, 'signed-out');
  assert.deepEqual(Object.values(await dump(page).catch(() => ({}))).flat(), []);
};

steps['a passkey without PRF: a passphrase'] = async () => {
  const plain = await open('/', { prf: false });
  await session(plain, 'signed-out');
  const up = await call(plain, 'signUp');
  assert.equal(up.prf, false);
  const typed = up.kit.confirm.map((i) => up.kit.groups[i]);
  assert.equal((await fails(plain, 'signUpFinish', typed))?.code, 'passphrase_needed');
  await call(plain, 'signUpFinish', typed, 'correct horse battery staple');
  await session(plain, 'open');
  assert.equal((await last(plain, 'session')).session.prf, false);
  await plain.reload();
  await session(plain, 'locked');
  assert.equal((await fails(plain, 'signIn'))?.code, 'passphrase_needed');
  assert.equal((await fails(plain, 'unlockWithPassphrase', 'correct horse battery stable'))?.code, 'wrong_passphrase');
  const t = Date.now();
  await call(plain, 'unlockWithPassphrase', 'correct horse battery staple');
  steps.argon = Date.now() - t;
  await session(plain, 'open');
  await plain.close();
};

let failed = false;
const times = {};
for (const [name, run] of Object.entries(steps)) {
  try {
    await run();
    console.log(`ok   ${name}`);
    Object.assign(times, await page.evaluate(() => test.times).catch(() => ({})));
  } catch (e) {
    failed = true;
    console.log(`FAIL ${name}\n${e.stack}`);
    console.log(JSON.stringify(await page?.evaluate(() => test.events.filter((x) => x.t !== 'delta').slice(-6)).catch(() => null))?.slice(0, 3000));
    break;
  }
  const violations = await page.evaluate(() => test.violations).catch(() => []);
  if (violations.length > 0) {
    failed = true;
    console.log(`FAIL policy violations: ${violations.join('; ')}`);
  }
}
for (const p of problems) {
  console.log(`note ${p}`);
  failed ||= p.startsWith('page error');
}
console.log(`times of the last page, ms: ${JSON.stringify(times)}; unlock ${steps.unlock}, passphrase ${steps.argon}`);
await browser.close();
process.exit(failed ? 1 : 0);
