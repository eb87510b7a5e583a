// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Draws Markdown that a hostile model could write, in a real browser:
//
//	node web/gallery/hostile.mjs BUILT-GALLERY
//
// Nothing may hang, no element or attribute outside the lists may appear, no
// link may lead to anything but http, https or mailto, and nothing may be fetched.

import { chromium } from 'playwright-core';
import { CHROMIUM, serve } from './serve.mjs';

const HTML = new Set(
  'A BLOCKQUOTE BR BUTTON CODE DD DEL DIV DL DT EM FIGCAPTION FIGURE H3 H4 H5 H6 HR INPUT LI OL P PRE SPAN STRONG SUP svg path circle TABLE TBODY TD TH THEAD TR UL'.split(
    ' ',
  ),
);
const MATHML = new Set(
  'math semantics annotation mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle mpadded mphantom menclose mlabeledtr merror mglyph none mprescripts mmultiscripts'.split(
    ' ',
  ),
);
const ATTRIBUTES =
  /^(class|href|rel|target|type|checked|disabled|start|scope|role|title|tabindex|hidden|dir|d|cx|cy|r|viewbox|focusable|aria-[a-z]+|data-foot)$/i;
const MATH_ATTRIBUTES =
  /^(xmlns|encoding|display|stretchy|fence|separator|lspace|rspace|minsize|maxsize|mathvariant|scriptlevel|displaystyle|columnalign|columnspacing|rowspacing|accent|accentunder|width|height|depth|voffset|linethickness|mathcolor|mathbackground|mathsize|symmetric|largeop|movablelimits|form|notation|columnlines|rowlines|frame|linebreak|style|class|side|intent|arg)$/i;

const CASES = {
  html: '<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n<div onclick="x" style="position:fixed">a</div>\n\n<iframe src="https://evil.example"></iframe>\n\ntext <b>bold</b> <svg onload=alert(1)> <br> end\n\n<style>*{display:none}</style>\n\n<base href="https://evil.example">\n\n<form action="https://evil.example"><input name=a></form>',
  links:
    '[a](javascript:alert(1)) [b](JAVASCRIPT:alert(1)) [c](java\nscript:alert(1)) [d](&#106;avascript:alert(1)) [e](data:text/html,x) <javascript:alert(1)> [f](vbscript:x) [g](https://ok.example "t\\" onclick=x") [h](//evil.example) [i](/settings) [r]\n\n[r]: javascript:alert(1)\n\nhttps://auto.example/x?y=<z> www.auto.example',
  images:
    '![x](https://evil.example/p.png) ![y](data:image/png;base64,AAAA) ![z](blob:https://x/y) [![in](https://evil.example/a.png)](https://evil.example)',
  nestedQuotes: '> '.repeat(1000) + 'deep\n\n' + '>'.repeat(1000) + 'deep',
  nestedLists:
    Array.from({ length: 1000 }, (_, i) => ' '.repeat(i * 2) + '- x').join('\n') +
    '\n\n' +
    '- '.repeat(1000) +
    'x\n\n' +
    '1. '.repeat(1000) +
    'x',
  nestedEmphasis: '*'.repeat(3000) + 'a' + '*'.repeat(3000) + '\n\n' + '*a **b '.repeat(2000),
  longLine: 'a'.repeat(1_000_000),
  longWords: 'word '.repeat(200_000),
  marks:
    '['.repeat(100_000) + '\n\n' + '![]('.repeat(50_000) + '\n\n' + '`'.repeat(100_000) + '\n\n' + '<'.repeat(100_000),
  hugeTable: '| a | b | c |\n|---|---|---|\n' + '| one | two | three |\n'.repeat(4000),
  wideTable: '|' + ' h |'.repeat(500) + '\n|' + '---|'.repeat(500) + '\n|' + ' c |'.repeat(500),
  hugeCode: '```js\n' + 'const a = 1; // x\n'.repeat(20_000) + '```',
  codeLanguage: '```"><script>alert(1)</script>\nx\n```\n\n```constructor\ny\n```\n\n```__proto__\nz\n```',
  rtl: 'שלום עולם \u202eevil\u202c abc\n\n- א\n- ב\n\n| א | b |\n|---|---|\n| ג | d |',
  maths:
    '$\\href{javascript:alert(1)}{x}$ $\\url{https://evil.example}$ $\\includegraphics{https://evil.example/x.png}$ $\\htmlStyle{color:red}{x}$ $\\htmlData{a=b}{x}$ $$\\def\\a{\\a\\a}\\a$$ $$\\rule{99999em}{99999em}$$ $\\color{red}x$ $$' +
    '{'.repeat(500) +
    'x' +
    '}'.repeat(500) +
    '$$ $$\\frac{1}{'.repeat(300),
  footnotes: '[^"><script>]: x\n\n[^a]: b\n\n[^a][^"]\n\n[^__proto__] [^__proto__]: c',
  references: '[x]: https://a.example\n'.repeat(3000) + '\n[x]',
  unicode: '\u0000\ufffe\ud800 lone \udc00 \u2028 \u2029 ' + '\u0301'.repeat(5000) + '𝒳'.repeat(10_000),
  mixed: '> - 1. > ```js\n> - 1. > x\n> - 1. > ```\n$$\n\\frac{\n$$ ~~~\n| a\n|-\n***\n'.repeat(400),
};

const site = await serve(process.argv[2]);
const browser = await chromium.launch(CHROMIUM);
let bad = 0;
for (const [name, text] of Object.entries(CASES)) {
  const page = await browser.newPage();
  const away = [];
  page.on('request', (r) => !r.url().startsWith(site.url) && !r.url().startsWith('data:') && away.push(r.url()));
  page.on('pageerror', (e) => away.push(`error: ${e.message}`));
  page.on('console', (m) => m.type() === 'error' && away.push(`console: ${m.text()}`));
  page.on('dialog', (d) => (away.push('a dialog'), d.dismiss()));
  await page.goto(`${site.url}/markdown`);
  await page.waitForSelector('html[data-ready]');
  const started = performance.now();
  const found = await Promise.race([
    page.evaluate(async (t) => {
      const from = performance.now();
      const box = await globalThis.draw(t);
      const took = performance.now() - from;
      await new Promise((r) => setTimeout(r, 400));
      const all = [...box.querySelectorAll('*')];
      return {
        took,
        elements: [...new Set(all.map((e) => e.tagName))],
        attributes: [
          ...new Set(
            all.flatMap((e) => [...e.attributes].map((a) => [e.namespaceURI.endsWith('MathML'), a.name].join(' '))),
          ),
        ],
        links: [...new Set(all.filter((e) => e.hasAttribute('href')).map((e) => e.protocol))],
        depth: Math.max(
          0,
          ...all.slice(0, 20_000).map((e) => {
            let d = 0;
            for (let x = e; x !== box; x = x.parentElement) d++;
            return d;
          }),
        ),
        text: box.textContent.length,
      };
    }, text),
    new Promise((r) => setTimeout(() => r(null), 120_000)),
  ]);
  const wrong = [...away];
  if (!found) wrong.push('hung for two minutes');
  else {
    for (const e of found.elements) if (!HTML.has(e) && !MATHML.has(e)) wrong.push(`element ${e}`);
    for (const a of found.attributes) {
      const [math, attr] = a.split(' ');
      if (!ATTRIBUTES.test(attr) && !(math === 'true' && MATH_ATTRIBUTES.test(attr))) wrong.push(`attribute ${a}`);
    }
    for (const l of found.links) if (!/^(https?|mailto):$/.test(l)) wrong.push(`link ${l}`);
    if (found.depth > 200) wrong.push(`${found.depth} elements deep`);
    if (text.trim() && found.text === 0) wrong.push('nothing was drawn');
  }
  bad += wrong.length ? 1 : 0;
  console.log(
    `${wrong.length ? 'FAIL' : 'ok  '} ${name}: ${(text.length / 1000).toFixed(0)} KB, ${found ? `${found.took.toFixed(0)} ms, ${found.depth} deep` : ''} ${wrong.join('; ')}`.trim(),
    `(${((performance.now() - started) / 1000).toFixed(1)} s in all)`,
  );
  await page.close();
}
await browser.close();
site.close();
process.exitCode = bad ? 1 : 0;
