// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Photographs every state of the gallery and checks it:
//
//	node web/gallery/shoot.mjs BUILT-GALLERY SHOTS [-once] [NAME…]
//
// Each state is taken on a desk (1280×800) and on a phone (360×740), light and
// dark; with -once, in one of the four, in turn, and then only measured at the
// other width. It fails on anything that axe calls serious, on a breach of the
// content policy, on an error in the console and on a page wider than its window.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CHROMIUM, serve } from './serve.mjs';

const [built, shots, ...rest] = process.argv.slice(2);
const once = rest.includes('-once');
const names = rest.filter((x) => x !== '-once');
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const VIEWS = [
  { name: 'desk', width: 1280, height: 800, phone: false },
  { name: 'phone', width: 360, height: 740, phone: true },
];
const failures = [];

mkdirSync(shots, { recursive: true });
const site = await serve(built);
const browser = await chromium.launch(CHROMIUM);

const index = await browser.newPage();
await index.goto(`${site.url}/`);
const all = await index.$$eval('li a', (as) => as.map((a) => ({ name: a.textContent, href: a.getAttribute('href') })));
await index.close();
const states = names.length ? all.filter((s) => names.includes(s.name)) : all;

const ways = VIEWS.flatMap((view) => ['light', 'dark'].map((scheme) => ({ view, scheme })));
const work = states.flatMap((state, i) =>
  (once ? [ways[i % ways.length]] : ways).map((way) => ({ state, ...way })),
);
let next = 0;
await Promise.all(
  [0, 1].map(async () => {
    for (let w = work[next++]; w; w = work[next++])
      await shoot(w).catch((e) => failures.push(`${w.state.name} ${w.view.name} ${w.scheme}: ${e.message}`));
  }),
);
await browser.close();
site.close();

for (const f of failures) console.error(f);
console.log(`${work.length} photographs of ${states.length} states in ${shots}, ${failures.length} problems`);
process.exitCode = failures.length ? 1 : 0;

async function shoot({ view, scheme, state }) {
  const where = `${state.name} ${view.name} ${scheme}`;
  const context = await browser.newContext({
    viewport: { width: view.width, height: view.height },
    colorScheme: scheme,
    hasTouch: view.phone,
    isMobile: view.phone,
    deviceScaleFactor: 1,
    reducedMotion: 'reduce',
    locale: 'en-GB',
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on('pageerror', (e) => failures.push(`${where}: ${e.message}`));
  page.on('console', (m) => m.type() === 'error' && failures.push(`${where}: ${m.text()}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (e) =>
      console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`),
    );
  });
  await page.goto(site.url + state.href);
  await page.waitForSelector('html[data-ready]', { timeout: 60_000 });
  await page.waitForTimeout(250);
  await page.screenshot({ path: join(shots, `${state.name}.${view.name}.${scheme}.png`) });
  await measure(page, where);
  await inspect(page, where);
  if (once) {
    const other = VIEWS.find((v) => v !== view);
    await page.setViewportSize({ width: other.width, height: other.height });
    await page.waitForTimeout(50);
    await measure(page, `${where}, as wide as a ${other.name}`);
  }
  await context.close();
}

async function measure(page, where) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) failures.push(`${where}: ${wide} px wider than the window`);
}

async function inspect(page, where) {
  // page.evaluate is not bound by the page's policy, so axe can be put in.
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const r = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return r.violations.flatMap((v) =>
      v.nodes.map((n) => ({
        id: v.id,
        impact: v.impact,
        at: n.target.join(' '),
        why: n.failureSummary?.split('\n')[1],
      })),
    );
  });
  for (const v of found) {
    if (v.impact === 'serious' || v.impact === 'critical')
      failures.push(`${where}: axe ${v.impact} ${v.id} at ${v.at}: ${v.why}`);
  }
}
