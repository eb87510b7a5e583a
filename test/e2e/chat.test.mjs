// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// One person's days with Sotto: a passkey and a kit, questions and answers, a
// dropped connection, a reload in the middle of an answer, a second device, a
// lost passkey, the end of the account. A real server, a real Chromium, and a
// model server whose words the test decides.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { acceptDemo, audit, demo, device, escape, grab, newChat, openMenu, root, search, shot, signUp, trustLine, waitFor } from './sotto.mjs';
import { dropper } from './dropper.mjs';
import { upstream, words } from './upstream.mjs';

let model, net, server, one, two, page, kit;

before(async () => {
  model = await upstream();
  net = await dropper();
  server = await demo(['-engine', model.url, '-origin', `http://localhost:${net.port}`]);
  net.to(server.port);
  server.url = `http://localhost:${net.port}`;
  one = await device();
  page = one.page;
});

after(async () => {
  await one?.close();
  await two?.close();
  await server?.stop();
  await net?.close();
  await model?.close();
});

/** A test whose failure leaves a picture of the screens it failed on. */
const test = (name, f) => nodeTest(name, async () => {
  try {
    await f();
    for (const d of [one, two]) {
      assert.equal(await d?.page.getByText('locked itself').count() ?? 0, 0, 'the core broke and was started again');
    }
  } catch (e) {
    await shot(page, `failed-${name.slice(0, 30)}-one`).catch(() => {});
    if (two) await shot(two.page, `failed-${name.slice(0, 30)}-two`).catch(() => {});
    throw e;
  }
});

const answers = (p) => p.locator('article.answer');
const questions = (p) => p.locator('article.message.user');
const sidebar = (p) => p.getByRole('navigation', { name: 'Chats' });
const lastAnswer = (p) => answers(p).last();

async function ask(p, text) {
  await p.getByRole('textbox', { name: 'Message' }).fill(text);
  await p.getByRole('button', { name: 'Send', exact: true }).click();
}

async function answered(p, text) {
  await waitFor(async () => (await lastAnswer(p).innerText()).includes(text), `an answer with ${JSON.stringify(text.slice(0, 40))}`);
  await waitFor(async () => !(await p.getByRole('button', { name: 'Stop', exact: true }).isVisible()), 'the end of the answer');
}

test('a stranger sees what Sotto is', async () => {
  await page.goto(server.url);
  await page.getByRole('button', { name: 'Create a passkey' }).waitFor();
  await shot(page, '01-welcome');
  await audit(page, 'welcome');
});

test('signs up with a passkey and keeps the kit', async () => {
  kit = await signUp(page, { shots: true });
  assert.equal(kit.length, 8);
});

test('accepts demo hardware once, and sees the words beside the send button', async () => {
  await page.getByRole('button', { name: 'Use the demo machine' }).waitFor();
  await shot(page, '04-consent');
  await acceptDemo(page);
  await waitFor(async () => (await trustLine(page)).includes('Demo hardware — not private'), 'the demo words');
  await shot(page, '05-empty');
  await audit(page, 'empty chat');
});

test('asks, and the answer streams', async () => {
  await ask(page, 'Hello, [markdown] please');
  await answered(page, 'not yet');
  assert.equal(await lastAnswer(page).locator('table').count(), 1);
  assert.equal(await lastAnswer(page).locator('pre').count(), 1);
  await waitFor(async () => (await lastAnswer(page).locator('math').count()) === 2, 'two formulas');
  assert.equal(await lastAnswer(page).locator('img').count(), 0, 'an image tag in an answer is text');
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await shot(page, '06-answer');
  await audit(page, 'answer');
});

test('the chat gets a title of its first words, since asking for one would cost a message', async () => {
  await waitFor(async () => (await sidebar(page).innerText()).includes('Hello, [markdown] please'), 'the title');
});

test('stops an answer at the engine and keeps what came', async () => {
  await ask(page, 'Count [held]');
  await waitFor(async () => (await lastAnswer(page).innerText()).includes('word5'), 'some words');
  await shot(page, '07-streaming');
  await page.getByRole('button', { name: 'Stop', exact: true }).click();
  await waitFor(() => model.requests.some((r) => r.aborted), 'the engine’s stop');
  await waitFor(async () => (await lastAnswer(page).innerText()).includes('You stopped this answer'), 'the stopped mark');
  const text = await lastAnswer(page).innerText();
  assert.ok(text.includes('word5') && !text.includes('word199'));
  await shot(page, '08-stopped');
});

test('regenerates beside the old answer', async () => {
  await newChat(page);
  await ask(page, 'Say one');
  await answered(page, 'You said: Say one');
  await lastAnswer(page).hover();
  await lastAnswer(page).getByRole('button', { name: 'Try again', exact: true }).click();
  await waitFor(async () => (await lastAnswer(page).innerText()).includes('2/2'), 'the branch arrows');
  await answered(page, 'You said: Say one');
});

test('edits a message into a branch and goes back', async () => {
  const user = questions(page).first();
  await user.hover();
  await user.getByRole('button', { name: 'Edit', exact: true }).click();
  const box = page.getByRole('textbox', { name: 'Edit' });
  await box.fill('Say two');
  await box.press('ControlOrMeta+Enter');
  await answered(page, 'You said: Say two');
  await waitFor(async () => (await questions(page).first().innerText()).includes('2/2'), 'the branch arrows');
  await shot(page, '09-branch');
  await questions(page).first().hover();
  await page.getByRole('button', { name: 'Earlier version' }).first().click();
  await waitFor(async () => (await lastAnswer(page).innerText()).includes('You said: Say one'), 'the first branch');
});

test('a dropped connection is a pause, not an error', async () => {
  await newChat(page);
  await ask(page, 'Count on [held]');
  await waitFor(async () => (await lastAnswer(page).innerText()).includes('word10'), 'some words');
  net.down(true);
  await waitFor(async () => (await lastAnswer(page).innerText()).includes('The connection dropped — still answering'), 'the pause');
  await shot(page, '10-reconnecting');
  net.down(false);
  model.release();
  await answered(page, 'word199');
  assert.ok((await lastAnswer(page).innerText()).includes(words(200)), 'no word is missing, doubled or moved');
});

test('a reload in the middle of an answer loses nothing', async () => {
  await newChat(page);
  await ask(page, 'Count through a reload [held]');
  await waitFor(async () => (await lastAnswer(page).innerText()).includes('word20'), 'some words');
  await page.reload();
  await page.getByRole('button', { name: 'Open with passkey' }).waitFor();
  await shot(page, '11-locked');
  await audit(page, 'locked');
  await page.getByRole('button', { name: 'Open with passkey' }).click();
  await waitFor(async () => (await lastAnswer(page).innerText()).includes('word20'), 'what had come before');
  model.release();
  await answered(page, 'word199');
  assert.ok((await lastAnswer(page).innerText()).includes(words(200)));
});

test('the engine’s failure is one plain sentence', async () => {
  await newChat(page);
  await ask(page, 'Are you [down]?');
  await waitFor(async () => /model|engine|server/i.test(await lastAnswer(page).innerText()), 'a sentence');
  await lastAnswer(page).getByRole('button', { name: 'Try again' }).first().waitFor();
  await shot(page, '12-failed');
});

test('renames, pins, searches, deletes with undo', async () => {
  const nav = sidebar(page);
  await openMenu(page, 'Hello, [markdown] please');
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await sidebar(page).getByRole('textbox', { name: 'Title' }).fill('My own title');
  await page.keyboard.press('Enter');
  await waitFor(async () => (await nav.innerText()).includes('My own title'), 'the new title');

  await openMenu(page, 'My own title');
  await page.getByRole('menuitem', { name: 'Pin', exact: true }).click();
  await waitFor(async () => (await nav.innerText()).includes('Pinned'), 'the pinned group');

  await search(page, 'Jupiter', 'a hit in the content');
  await shot(page, '13-search');
  await escape(page);

  await openMenu(page, 'My own title');
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.getByRole('button', { name: 'Undo' }).click();
  await waitFor(async () => (await nav.innerText()).includes('My own title'), 'the chat again');
});

test('a temporary chat leaves nothing', async () => {
  await newChat(page);
  await page.getByRole('button', { name: 'Temporary chat' }).click();
  await ask(page, 'Only for now');
  await answered(page, 'You said: Only for now');
  await shot(page, '14-temporary');
  await page.reload();
  await page.getByRole('button', { name: 'Open with passkey' }).click();
  await page.getByRole('textbox', { name: 'Message' }).waitFor();
  await waitFor(async () => (await sidebar(page).innerText()).includes('My own title'), 'the history');
  assert.ok(!(await sidebar(page).innerText()).includes('Only for now'));
});

test('the panel shows each check with its reason', async () => {
  await page.getByRole('button', { name: /Show how this is checked/ }).click();
  const panel = page.getByRole('complementary').or(page.getByRole('dialog')).filter({ hasText: 'How this is checked' });
  for (const row of ['The chip is real', 'It runs exactly this software', 'That release is public', 'Only that machine has the key', 'This page is the published page']) {
    await panel.getByText(row).first().waitFor();
  }
  await shot(page, '15-panel');
  await audit(page, 'panel');
  await escape(page);
});

test('exports everything as a zip', async () => {
  await sidebar(page).getByRole('link', { name: 'Settings' }).click();
  await page.getByText('Signed-in devices').first().waitFor();
  await shot(page, '16-settings');
  await audit(page, 'settings');
  const bytes = await grab(page, async () => {
    await page.getByRole('button', { name: 'Export', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Export', exact: true }).click();
  });
  assert.equal(bytes.subarray(0, 2).toString(), 'PK');
  assert.ok(bytes.length > 1000);
});

test('a second device opens everything with the kit, and both see each other’s words', async () => {
  // Two devices of a free account share its messages, and the first has had most of them.
  const account = await page.evaluate(async () => (await (await fetch('/api/v1/plan')).json()).account);
  execFileSync(join(root, 'bin', 'sottod'), ['account', 'grant', '-data', server.data, '-account', account, '-days', '1']);
  two = await device({ width: 360, height: 740 });
  await two.page.goto(server.url);
  await two.page.getByRole('button', { name: 'Use recovery kit' }).click();
  await two.page.getByRole('textbox', { name: 'Recovery kit' }).fill(kit.join(' ').toLowerCase());
  await two.page.getByRole('button', { name: 'Open my history' }).click();
  await acceptDemo(two.page);
  await two.page.getByRole('textbox', { name: 'Message' }).waitFor();
  await shot(two.page, '17-phone');
  await newChat(page);

  await ask(two.page, 'Written on the phone');
  await answered(two.page, 'You said: Written on the phone');
  await shot(two.page, '18-phone-answer');
  await audit(two.page, 'phone');
  await two.page.getByRole('button', { name: 'Show the sidebar' }).click();
  await shot(two.page, '19-phone-drawer');
  await search(page, 'Written on the phone', 'the phone’s words on the laptop');
  await escape(page);
});

test('a lost passkey is not the end: the kit opens everything and adds a new one', async () => {
  await one.losePasskeys();
  await page.reload();
  await page.getByRole('button', { name: 'Open with passkey' }).waitFor();
  await page.getByRole('button', { name: 'Use recovery kit' }).click();
  const box = page.getByRole('textbox', { name: 'Recovery kit' });
  const wrong = [...kit];
  wrong[2] = wrong[2].replace(/^./, (c) => (c === '7' ? '8' : '7'));
  await box.fill(wrong.join(' '));
  await page.getByRole('button', { name: 'Open my history' }).click();
  await page.getByText(/group 3/i).first().waitFor();
  await shot(page, '20-recover-typo');
  await box.fill(kit.join('-'));
  await page.getByRole('button', { name: 'Open my history' }).click();
  await page.getByRole('textbox', { name: 'Message' }).waitFor();
  await waitFor(async () => (await sidebar(page).innerText()).includes('My own title'), 'the history');
  await sidebar(page).getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await waitFor(async () => (await page.getByRole('button', { name: 'Remove' }).count()) === 2, 'the new passkey in the list');
  await page.reload();
  await page.getByRole('button', { name: 'Open with passkey' }).click();
  await waitFor(async () => (await sidebar(page).innerText()).includes('My own title'), 'the history, by the new passkey');
});

test('a browser whose passkeys give no key uses a passphrase', async () => {
  const three = await device({ prf: false });
  try {
    await three.page.goto(server.url);
    await signUp(three.page, { passphrase: 'correct horse battery staple' });
    await acceptDemo(three.page);
    await ask(three.page, 'Without a key from the passkey');
    await answered(three.page, 'You said: Without a key');
    await three.page.reload();
    await three.page.getByRole('button', { name: /passphrase|Open with passkey/i }).first().click();
    await three.page.locator('input[autocomplete="current-password"]').fill('correct horse battery staple');
    await three.page.getByRole('button', { name: 'Open', exact: true }).click();
    await three.page.getByRole('textbox', { name: 'Message' }).waitFor();
    await waitFor(async () => /key from/.test(await sidebar(three.page).innerText()), 'the chat');
    assert.deepEqual(three.problems, []);
  } finally {
    await three.close();
  }
});

test('dark, and narrow', async () => {
  const dark = await device({ dark: true });
  try {
    await dark.page.goto(server.url);
    await dark.page.getByRole('button', { name: 'Create a passkey' }).waitFor();
    await shot(dark.page, '21-welcome-dark');
    await dark.page.setViewportSize({ width: 360, height: 740 });
    await shot(dark.page, '22-welcome-phone-dark');
  } finally {
    await dark.close();
  }
});

test('deletes the account, and everything is gone at once', async () => {
  await two.page.keyboard.press('Escape');
  if ((await page.getByText('Signed-in devices').count()) === 0) await sidebar(page).getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Delete account' }).click();
  await shot(page, '23-delete');
  await page.getByRole('dialog').getByRole('textbox').fill('delete');
  await page.getByRole('button', { name: 'Delete everything' }).click();
  await page.getByRole('button', { name: 'Create a passkey' }).waitFor();
  await two.page.getByRole('button', { name: 'Create a passkey' }).or(two.page.getByRole('button', { name: 'Sign in', exact: true })).first().waitFor();
  for (const p of [page, two.page]) {
    const left = await p.evaluate(async () => (await indexedDB.databases()).map((d) => d.name));
    assert.deepEqual(left.filter((name) => /account|vault|feed/.test(name)), []);
  }
});

test('each chat has a cache salt of its own', () => {
  const saltsOf = new Map();
  for (const { body } of model.requests) {
    assert.match(body.cache_salt ?? '', /^[A-Za-z0-9_-]{20,}$/);
    const first = body.messages.find((m) => m.role === 'user').content;
    if (/^Title/.test(first)) continue;
    saltsOf.set(first, (saltsOf.get(first) ?? new Set()).add(body.cache_salt));
  }
  assert.ok(saltsOf.size >= 5);
  const all = [...saltsOf.values()].map((s) => [...s][0]);
  assert.ok([...saltsOf.values()].every((s) => s.size === 1), 'one salt for all requests of a chat');
  // An edited first question stays in its chat, so two first questions may share a salt; more may not.
  assert.ok(new Set(all).size >= all.length - 1, 'no two chats share a salt');
});

test('no console error and no policy violation in the whole run', () => {
  assert.deepEqual(one.problems, []);
  assert.deepEqual(two.problems, []);
});
