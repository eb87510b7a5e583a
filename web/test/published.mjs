// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// What a browser runs where the server changes the page: node published.mjs
// ORIGIN CHROMIUM. Run by published_test.go.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const PATIENCE = Number(process.env.PATIENCE ?? 60_000);
const [origin, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
});

/** What the server does from now on; without anything it is honest and serves page one. */
async function server(set = {}) {
  const r = await fetch(`${origin}/test/set`, { method: 'POST', body: JSON.stringify(set) });
  assert.equal(r.status, 200, await r.text());
}

/** A browser of its own. */
async function person() {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.said = [];
  page.on('console', (m) => page.said.push(m.text()));
  return page;
}
const last = (page, t) => page.evaluate((x) => globalThis.test?.last(x), t);
const state = (page, s) => page.waitForFunction((x) => test.last('trust')?.trust.state === x, s);
const news = (page, n) => page.waitForFunction((x) => test.last('page')?.page.news === x, n).then(() => last(page, 'page')).then((e) => e.page);
/** The row about the page, once it says what `pattern` does. */
const row = (page, pattern) =>
  page
    .waitForFunction((p) => test.last('trust')?.trust.verdicts[0]?.checks.find((c) => c.id === 'page' && new RegExp(p).test(c.detail)), pattern)
    .then((h) => h.jsonValue());
const notice = (page, pattern) =>
  page.waitForFunction((p) => test.events.find((e) => e.t === 'notice' && new RegExp(p).test(e.text)), pattern);
const kept = (page) => page.evaluate(async () => (await (await (await caches.open('sotto-page')).match('/-/kept'))?.json()) ?? null);

/** Visits for the first time, accepts the demo and waits until the page is kept. */
async function settle(page) {
  await page.goto(origin);
  await state(page, 'consent');
  await page.evaluate(() => test.core.acceptDemo());
  await state(page, 'demo');
  await row(page, 'from the next one on');
  await until(async () => (await kept(page))?.now, 'nothing is kept');
}

/** Waits until f answers something true. */
async function until(f, what) {
  for (const end = Date.now() + PATIENCE; !(await f()); ) {
    assert.ok(Date.now() < end, what);
    await new Promise((r) => setTimeout(r, 100));
  }
}

const steps = {};

for (const [path, what] of [['a/main-*.js', 'the page’s script'], ['a/frame-*.js', 'the frame’s script']]) {
  steps[`changed: ${what} doesn’t run`] = async () => {
    await server({ changed: [path] });
    const page = await person();
    await page.goto(origin);
    await page.waitForTimeout(500);
    assert.ok(page.said.some((s) => s.includes('integrity')), page.said.join('\n'));
    if (path.includes('main')) assert.equal(await page.evaluate(() => typeof globalThis.test), 'undefined');
    else assert.equal(page.workers().length, 0, 'no Worker was started');
  };
}
steps['changed: the style sheet isn’t used'] = async () => {
  await server({ changed: ['a/main-*.css'] });
  const page = await person();
  await page.goto(origin);
  await page.waitForFunction(() => globalThis.test);
  assert.ok(page.said.some((s) => s.includes('integrity')), page.said.join('\n'));
  assert.equal(await page.evaluate(() => [...document.styleSheets].reduce((n, s) => n + s.cssRules.length, 0)), 0);
};
steps['changed: the Worker isn’t started'] = async () => {
  await server({ changed: ['a/worker-*.js'] });
  const page = await person();
  await page.goto(origin);
  await notice(page, 'keeps your keys is not the one');
  assert.equal(page.workers().length, 0);
};
steps['changed: the core isn’t started'] = async () => {
  await server({ changed: ['a/core-*.wasm'] });
  const page = await person();
  await page.goto(origin);
  await notice(page, 'seals and opens your messages is not the one');
  assert.equal(await last(page, 'trust'), undefined, 'the core says nothing');
};
steps['changed: a part that loads later doesn’t run, and nor does one without a digest'] = async () => {
  await server({ changed: ['a/keeper-*.js'] });
  const page = await person();
  await page.goto(origin);
  await state(page, 'consent');
  for (let i = 0; !page.said.some((s) => s.includes('integrity')) && i < 100; i++) await page.waitForTimeout(50);
  assert.ok(page.said.some((s) => s.includes('integrity')), page.said.join('\n'));
  assert.equal(await last(page, 'page'), undefined);
  await server();
  const other = await page.evaluate(async () => {
    const path = Object.keys(await (await fetch('/files.json')).json()).find((p) => p.startsWith('a/keeper-'));
    return import(`/${path}`).then(() => 'ran', (e) => e.message);
  });
  assert.match(other, /Failed to fetch/, 'Integrity-Policy refuses what nobody named the digest of');
};

let page;
steps['a first visit says that it rests on the server, and keeps the page'] = async () => {
  await server();
  page = await person();
  await settle(page);
  const r = await row(page, 'rests on');
  assert.equal(r.status, 'warn');
  assert.match(r.detail, /version 1\.0\.0, entry 0 of this demo's own log/);
  const k = await kept(page);
  assert.equal(k.now.version, '1.0.0');
  assert.ok(k.now.files['index.html'] && k.now.files['sw.js']);
  // Nothing that tells this browser from another is kept with the bytes.
  const headers = await page.evaluate(async () => {
    const store = await caches.open('sotto-page');
    const all = await Promise.all((await store.keys()).map(async (q) => [...(await store.match(q)).headers.keys()]));
    return [...new Set(all.flat())];
  });
  assert.deepEqual(headers.filter((h) => h !== 'content-type'), []);
};
steps['from the second visit on it runs what it keeps'] = async () => {
  await page.reload();
  await row(page, 'This page is version 1\\.0\\.0, entry 0');
  assert.ok(await page.evaluate(() => navigator.serviceWorker.controller !== null));
  assert.equal((await last(page, 'page')).page.news, '');
  assert.equal((await page.evaluate(() => test.violations)).length, 0);
};
for (const path of ['index.html', 'a/main-*.js', 'a/frame-*.js', 'a/worker-*.js', 'a/core-*.wasm', 'core.html', 'a/keeper-*.js']) {
  steps[`changed at the server: ${path} isn’t even asked for`] = async () => {
    await server({ changed: [path] });
    await page.reload();
    await state(page, 'demo');
    await row(page, path === 'index.html' ? 'not in the public log' : 'This page is version 1\\.0\\.0');
    assert.equal(await page.evaluate(() => document.documentElement.outerHTML.includes('<!-- page one -->')), true);
  };
}
steps['an update that is in no log is refused, in words, and the old page goes on'] = async () => {
  await server({ page: 'evil' });
  await page.reload();
  const n = await news(page, 'refused');
  assert.match(n.text, /not in the public log\. It was refused: you go on with version 1\.0\.0/);
  assert.equal((await last(page, 'trust')).trust.state, 'demo', 'and sends');
  await page.reload();
  await page.waitForFunction(() => globalThis.test);
  assert.ok(await page.evaluate(() => document.documentElement.outerHTML.includes('<!-- page one -->')));
};
steps['an update in the log whose bytes are others is refused'] = async () => {
  await server({ page: 'two', publish: '1.1.0' });
  await server({ page: 'three', publish: '1.1.1' });
  // What an update shares with the page that runs isn't fetched again: so it is taken away.
  await page.evaluate(async () => {
    const store = await caches.open('sotto-page');
    const k = await (await store.match('/-/kept')).json();
    await store.delete(`/-/${k.now.files['icon.svg']}`);
  });
  await server({ page: 'three', changed: ['icon.svg'] });
  await page.reload();
  const n = await news(page, 'refused');
  assert.match(n.text, /icon\.svg is not what the public log says/);
  assert.equal((await kept(page)).next, null);
};
steps['an update in the log is shown, and begins with the next visit'] = async () => {
  await server({ page: 'three' });
  await page.reload();
  const n = await news(page, 'update');
  assert.equal(n.text, "New version 1.1.1, in this demo's own log as entry 2.");
  assert.equal(n.from, '1.0.0');
  assert.ok(n.changes.some((c) => /page itself changed/.test(c)), n.changes.join('\n'));
  assert.ok(await page.evaluate(() => document.documentElement.outerHTML.includes('<!-- page one -->')), 'not before');
  await page.reload();
  const u = await news(page, 'updated');
  assert.match(u.text, /^This page is now version 1\.1\.1/);
  assert.equal(u.from, '1.0.0');
  assert.ok(await page.evaluate(() => document.documentElement.outerHTML.includes('<!-- page three -->')));
  await page.evaluate(() => test.core.pageTold());
  await page.reload();
  await row(page, 'This page is version 1\\.1\\.1');
  await page.waitForFunction(() => test.last('page'));
  assert.equal((await last(page, 'page')).page.news, '', 'said once');
};
steps['an older page of the log isn’t gone back to'] = async () => {
  await server({ page: 'one' });
  await page.reload();
  await row(page, 'sends the older version 1\\.0\\.0\\. You go on with 1\\.1\\.1');
  await page.reload();
  await page.waitForFunction(() => globalThis.test);
  assert.ok(await page.evaluate(() => document.documentElement.outerHTML.includes('<!-- page three -->')));
};
steps['bytes that were changed on the keeper are not run'] = async () => {
  await server({ page: 'three' });
  await page.evaluate(async () => {
    const store = await caches.open('sotto-page');
    const k = await (await store.match('/-/kept')).json();
    for (const [path, sum] of Object.entries(k.now.files)) {
      if (/main-.*js$|wasm$/.test(path)) await store.put(`/-/${sum}`, new Response('globalThis.evil = 1'));
    }
  });
  await page.reload();
  await state(page, 'demo'); // they were fetched again
  assert.equal(await page.evaluate(() => globalThis.evil), undefined);
};
steps['it starts without a network'] = async () => {
  await server({ page: 'three', down: true });
  await page.reload();
  await page.waitForFunction(() => test.last('session') && test.last('session').session.state !== 'starting');
  await page.waitForFunction(() => test.last('trust') && test.last('trust').trust.state !== 'checking');
  await page.goto(`${origin}/settings`);
  await page.waitForFunction(() => globalThis.test);
};
steps['it serves its files under its own policy, whatever the server’s was'] = async () => {
  const headers = await page.evaluate(async () => Object.fromEntries((await fetch('/')).headers));
  assert.match(headers['content-security-policy'], /trusted-types 'none'/);
  assert.equal(headers['cross-origin-embedder-policy'], 'require-corp');
  assert.equal(headers['integrity-policy'], 'blocked-destinations=(script)');
  assert.equal((await page.evaluate(async () => (await fetch('/nothing-here.js')).status)), 404);
};
steps['another service worker that is in no log is said, and nothing is sent any more'] = async () => {
  await server({ page: 'three', keeper: 'evil' });
  await page.reload();
  const n = await news(page, 'changed');
  assert.match(n.text, /replaced the script that keeps this page/);
  await state(page, 'failed');
};
steps['forgetting this browser forgets the page, too'] = async () => {
  await server({ page: 'three' });
  await page.evaluate(() => test.core.forgetBrowser());
  assert.equal(await kept(page), null);
  assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
};
steps['a first page that is in no log sends nothing'] = async () => {
  await server({ page: 'evil' });
  const other = await person();
  await other.goto(origin);
  await state(other, 'consent');
  await other.evaluate(() => test.core.acceptDemo());
  const n = await news(other, 'changed');
  assert.match(n.text, /in no release of the public log/);
  await state(other, 'failed');
  assert.equal((await row(other, 'in no release')).failure, 'page_changed');
};

// FIGURES=1 measures instead of testing: from the navigation to the first word on the session and on machines.
if (process.env.FIGURES) {
  await server();
  const median = (l) => Math.round(l.sort((a, b) => a - b)[l.length >> 1]);
  for (const [name, serviceWorkers] of [['with the service worker', 'allow'], ['without', 'block']]) {
    const context = await browser.newContext({ serviceWorkers });
    const p = await context.newPage();
    p.setDefaultTimeout(PATIENCE);
    await p.goto(origin);
    await state(p, 'consent');
    await p.evaluate(() => test.core.acceptDemo());
    await state(p, 'demo');
    if (serviceWorkers === 'allow') await until(async () => (await kept(p))?.now, 'nothing is kept');
    const runs = { html: [], session: [], trust: [] };
    for (let i = 0; i < 5; i++) {
      await p.reload();
      await state(p, 'demo');
      const t = await p.evaluate(() => ({ html: performance.getEntriesByType('navigation')[0].responseEnd, times: test.times }));
      runs.html.push(t.html);
      runs.session.push(t.times['signed-out']);
      runs.trust.push(t.times['trust demo']);
    }
    console.log(`figures ${name}: page ${median(runs.html)} ms, session ${median(runs.session)} ms, machines checked ${median(runs.trust)} ms`);
    await context.close();
  }
  for (const name of Object.keys(steps)) delete steps[name];
}

let failed = 0;
const only = new RegExp(process.env.ONLY ?? '');
for (const [name, step] of Object.entries(steps)) {
  if (!only.test(name)) continue;
  try {
    await step();
    console.log(`ok   ${name}`);
  } catch (e) {
    failed++;
    const trust = page && (await last(page, 'trust').catch(() => null))?.trust;
    const found = { state: trust?.state, row: trust?.verdicts[0]?.checks[4], news: page && (await last(page, 'page').catch(() => null))?.page };
    console.log(`FAIL ${name}: ${e.stack}\n${JSON.stringify(found, null, 1)}\n${(page?.said ?? []).slice(-6).join('\n')}`);
    if (failed > 1) break;
  }
}
await browser.close();
process.exit(failed ? 1 : 0);
