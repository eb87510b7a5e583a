// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The page from one's own program: a person with an account on the site starts
// `sotto app`, lets it in from the browser where they are signed in, finds their
// chats there, writes, and the site has it too. Whoever doesn't have the printed
// address gets nothing.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { acceptDemo, audit, demo, device, root, scratch, shot, signUp, waitFor } from './sotto.mjs';
import { upstream } from './upstream.mjs';

let model, server, site, app, own;

/** Runs `sotto app` on a free port: { address, url, log(), stop() }. */
async function sottoApp() {
  const home = scratch('app');
  mkdirSync(join(home, 'config'));
  const child = spawn(join(root, 'bin', 'sotto'), ['app', '-server', server.url, '-listen', '127.0.0.1:0', '-name', 'app under test'], {
    env: { PATH: process.env.PATH, HOME: home, SOTTO_CONFIG_DIR: join(home, 'config') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '', log = '';
  child.stdout.on('data', (c) => (out += c));
  child.stderr.on('data', (c) => (log += c));
  const ended = new Promise((resolve) => child.on('exit', resolve));
  await waitFor(() => out.includes('\n') || child.exitCode !== null, 'the address of the app');
  const address = out.trim();
  assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/#app=[\w-]{43}$/, log);
  return {
    address,
    url: address.split('/#')[0],
    log: () => log,
    stop: async () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

before(async () => {
  model = await upstream();
  server = await demo(['-engine', model.url]);
  site = await device();
  own = await device();
});

after(async () => {
  await site?.close();
  await own?.close();
  await app?.stop();
  await server?.stop();
  await model?.close();
});

const test = (name, f) => nodeTest(name, async () => {
  try {
    await f();
  } catch (e) {
    await shot(site.page, `failed-app-${name.slice(0, 30)}-site`).catch(() => {});
    await shot(own.page, `failed-app-${name.slice(0, 30)}-app`).catch(() => {});
    throw e;
  }
});

async function ask(p, text) {
  await p.getByRole('textbox', { name: 'Message' }).fill(text);
  await p.getByRole('button', { name: 'Send', exact: true }).click();
  await waitFor(async () => (await p.locator('article.answer').last().innerText()).includes(`You said: ${text}`), 'the answer');
}

test('an account on the site, with a chat', async () => {
  await site.page.goto(server.url);
  await signUp(site.page);
  await acceptDemo(site.page);
  await ask(site.page, 'Before the app');
});

test('without the whole address the app is closed', async () => {
  app = await sottoApp();
  const closed = await own.context.newPage();
  await closed.goto(app.url);
  await closed.getByRole('heading', { name: 'Open the whole address' }).waitFor();
  assert.equal(await closed.getByRole('button').count(), 0);
  await closed.close();
  for (const path of ['/api/v1/session', '/api/v1/feed', '/api/v1/app/open']) {
    const r = await fetch(app.url + path, path.endsWith('open') ? { method: 'POST', body: '{}' } : {});
    assert.equal(r.status, 401, path);
  }
});

test('the app is linked from the site, and opens', async () => {
  await own.page.goto(app.address);
  await own.page.getByRole('button', { name: 'Link this app' }).click();
  const code = await own.page.locator('.link-code').innerText();
  const link = await own.page.getByRole('link', { name: 'Open the site and approve' }).getAttribute('href');
  assert.ok(link.startsWith(`${server.url}/link/`), link);
  assert.ok(!own.page.url().includes('#'), 'the key stays in no address');
  await shot(own.page, '30-app-link');
  await audit(own.page, 'app link');

  await site.page.goto(link);
  await site.page.getByRole('button', { name: 'Open with passkey' }).click(); // a page that is loaded anew is locked
  await site.page.getByText('app under test').waitFor();
  assert.equal(await site.page.locator('.link-code').innerText(), code);
  await site.page.getByRole('button', { name: /let it in/i }).click();
  await site.page.getByText('is linked').waitFor();
  await site.page.getByRole('button', { name: 'Go to your chats' }).click();

  await acceptDemo(own.page);
  const nav = own.page.getByRole('navigation', { name: 'Chats' });
  await waitFor(async () => (await nav.locator('a.side-chat').count()) === 1, 'the chat of the site');
  await nav.locator('a.side-chat').first().click();
  await own.page.getByText('You said: Before the app').waitFor();
  await shot(own.page, '31-app-chats');
});

test('what is written in the app is sealed, answered and on the site', async () => {
  await ask(own.page, 'From the app');
  await site.page.getByRole('navigation', { name: 'Chats' }).locator('a.side-chat').first().click();
  await site.page.getByText('You said: From the app').waitFor();
  assert.deepEqual(own.problems, []);
});

test('the app stays linked and opens again by a button', async () => {
  await own.page.reload();
  await own.page.getByRole('button', { name: 'Open my history' }).click();
  await own.page.getByText('You said: From the app').first().waitFor();
  // No cookie: browsers would send it to every port of 127.0.0.1.
  assert.deepEqual(await own.context.cookies(app.url), []);
});

test('ending the session on the site ends the link', async () => {
  await site.page.goto(`${server.url}/settings`);
  await site.page.getByRole('button', { name: 'Open with passkey' }).click();
  const row = site.page.getByRole('listitem').filter({ hasText: 'app under test' });
  await row.getByRole('button').first().click();
  const sure = site.page.getByRole('dialog').getByRole('button', { name: /sign out|end|remove/i });
  if (await sure.count()) await sure.first().click();
  await own.page.getByRole('button', { name: 'Link this app' }).waitFor();
  await shot(own.page, '32-app-ended');
  assert.deepEqual(site.problems, []);
});
