// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// A free account's day: twenty messages, through the relay and each with a token,
// then the composer says when new ones come and keeps what was typed, until a plan is
// granted.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { acceptDemo, demo, device, root, shot, signUp, waitFor } from './sotto.mjs';
import { upstream } from './upstream.mjs';

let model, server, one, page;

before(async () => {
  model = await upstream();
  server = await demo(['-engine', model.url]);
  one = await device();
  page = one.page;
});

after(async () => {
  await one?.close();
  await server?.stop();
  await model?.close();
});

const box = () => page.getByRole('textbox', { name: 'Message' });
const answers = () => page.locator('article.answer');

async function ask(text) {
  await box().fill(text);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await waitFor(async () => (await answers().last().innerText()).includes(`You said: ${text}`), `the answer to ${text}`);
  await waitFor(async () => !(await page.getByRole('button', { name: 'Stop', exact: true }).isVisible()), 'the end of the answer');
}

test('twenty messages a day, and then none', async () => {
  const relayed = new Set(), straight = new Set();
  page.on('request', (r) => (r.url().includes('/relay') ? relayed : straight).add(new URL(r.url()).pathname));
  await page.goto(server.url);
  await signUp(page);
  await acceptDemo(page);
  for (let n = 1; n <= 20; n++) {
    await ask(`message ${n}.`);
    if (n === 17) await page.getByText('3 messages left today').waitFor();
  }
  const spent = page.getByText(/You have used today’s messages\. New ones come at .*, your time\./);
  await spent.waitFor();
  await box().fill('what I was about to say');
  assert.equal(await box().inputValue(), 'what I was about to say', 'it stays');
  assert.equal(model.requests.length, 20, 'and no more was asked');
  await shot(page, 'plan-used');
  assert.deepEqual([...straight].filter((p) => p.startsWith('/sotto/')), [], 'nothing goes around the relay');
});

test('a plan that is granted goes on, with what was typed still there to type', async () => {
  const account = await page.evaluate(async () => (await (await fetch('/api/v1/plan')).json()).account);
  execFileSync(join(root, 'bin', 'sottod'), ['account', 'grant', '-data', server.data, '-account', account, '-days', '1']);
  await page.reload();
  await page.getByRole('button', { name: 'Open with passkey' }).click();
  await box().waitFor();
  await page.getByText(/You have used today’s messages/).waitFor({ state: 'detached' });
  await ask('and another.');
  assert.equal(model.requests.filter((r) => r.body.messages.at(-1).content === 'and another.').length, 1);
});
