// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Streams an answer of 5,000 pieces into the chat and reports how long the main
// thread was blocked, on a processor slowed down four times:
//
//	node web/gallery/stream.mjs BUILT-GALLERY [PIECES] [SLOWDOWN]
//
// It reports both the time on the clock, which other programs lengthen, and the
// processor's time in the page's own thread, which they don't. It asserts only
// that the whole text arrived.

import { chromium } from 'playwright-core';
import { CHROMIUM, serve } from './serve.mjs';

const [built, pieces = '5000', slowdown = '4'] = process.argv.slice(2);
const PART = `## A part of the answer

The dough rises when the yeast has sugar, water and time; *cold* slows it down, and **salt** does too. A kitchen at 18 °C needs twice as long.

- feel it, don’t time it
- it should wobble
  - and hold its shape
- then bake it

| hour | what happens |
|---|---|
| 1 | nothing to see |
| 4 | bubbles |

\`\`\`go
func rise(t time.Duration) bool {
	return t > 4*time.Hour // at 18 degrees
}
\`\`\`

So $t = t_0 \\cdot 2^{(25 - T)/10}$, roughly, and a [book](https://example.org/bread) says the same.

1. Mix.
2. Wait.
3. Fold, and wait again.

`;
const text = PART.repeat(Math.ceil((Number(pieces) * 4) / PART.length)).slice(0, Number(pieces) * 4);

const site = await serve(built);
const browser = await chromium.launch(CHROMIUM);
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
const errors = [];
page.on('pageerror', (e) => errors.push(e.message));
page.on('console', (m) => m.type() === 'error' && errors.push(m.text()));
await page.goto(`${site.url}/chat/c4?state=stream-5000`);
await page.waitForSelector('html[data-ready]');
const cdp = await page.context().newCDPSession(page);
await cdp.send('Emulation.setCPUThrottlingRate', { rate: Number(slowdown) });

await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-lighthouse'] });
const result = await page.evaluate(
  async ({ text, pieces }) => {
    const core = globalThis.core;
    const { assistant } = await core.send('c4', 'r', 'Tell me about bread, at length.', 'granite');
    await new Promise((r) => setTimeout(r, 1500));
    const long = [];
    const watch = new PerformanceObserver((l) => long.push(...l.getEntries().map((e) => e.duration)));
    watch.observe({ type: 'longtask' });
    let frames = 0;
    let worst = 0;
    let last = performance.now();
    let going = true;
    const tick = (now) => {
      frames++;
      worst = Math.max(worst, now - last);
      last = now;
      if (going) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    const started = performance.now();
    const size = Math.ceil(text.length / pieces);
    const channel = new MessageChannel();
    await new Promise((done) => {
      let i = 0;
      // As from a Worker: one message for each piece, a few for each frame.
      channel.port1.onmessage = () => {
        core.emit({ t: 'delta', chat: 'c4', message: assistant, text: text.slice(i * size, (i + 1) * size) });
        i++;
        if (i >= pieces) done();
        else if (i % 4) channel.port2.postMessage(0);
        else setTimeout(() => channel.port2.postMessage(0), 12);
      };
      channel.port2.postMessage(0);
    });
    await new Promise((r) => setTimeout(r, 1500));
    going = false;
    watch.disconnect();
    long.sort((a, b) => b - a);
    return {
      seconds: (performance.now() - started) / 1000,
      frames,
      worst,
      long: long.length,
      longest: long.slice(0, 5).map(Math.round),
      over100: long.filter((d) => d > 100).length,
      drawn: document.querySelector(`#m-${assistant} .md`).textContent.length,
      elements: document.querySelectorAll(`#m-${assistant} .md *`).length,
      atEnd: (() => {
        const l = document.querySelector('.log');
        return l.scrollHeight - l.scrollTop - l.clientHeight < 60;
      })(),
    };
  },
  { text, pieces: Number(pieces) },
);
const own = cpuTasks(JSON.parse((await browser.stopTracing()).toString()).traceEvents);
await browser.close();
site.close();
console.log(`${pieces} pieces, ${text.length} characters, processor slowed ${slowdown} times`);
console.log(
  `${result.seconds.toFixed(1)} s, ${result.frames} frames (slowest ${result.worst.toFixed(0)} ms), ${result.elements} elements, at the end: ${result.atEnd}`,
);
console.log(
  `tasks over 50 ms on the clock: ${result.long} (longest ${result.longest.join(', ') || 'none'} ms), over 100 ms: ${result.over100}`,
);
console.log(
  `tasks over 50 ms of processor time: ${own.filter((d) => d > 50).length} of ${own.length} (longest ${own.slice(0, 8).map(Math.round).join(', ')} ms)`,
);
if (errors.length) console.log(errors.slice(0, 5).join('\n'));
process.exitCode = result.drawn > text.length / 2 && errors.length === 0 ? 0 : 1;

/** Processor milliseconds of each task of the busiest page thread, longest first. */
function cpuTasks(events) {
  const mains = new Set(
    events.filter((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain').map((e) => `${e.pid} ${e.tid}`),
  );
  const threads = new Map();
  for (const e of events) {
    const thread = `${e.pid} ${e.tid}`;
    if (e.ph !== 'X' || !mains.has(thread) || !/RunTask/.test(e.name) || e.tdur === undefined) continue;
    const list = threads.get(thread) ?? [];
    list.push(e.tdur / 1000);
    threads.set(thread, list);
  }
  const sum = (l) => l.reduce((a, b) => a + b, 0);
  const [busiest = []] = [...threads.values()].sort((a, b) => sum(b) - sum(a));
  return busiest.sort((a, b) => b - a);
}
