// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_BLOCK, split } from './blocks.ts';
import { lex, ready, safeURL, unescape } from './lex.ts';

await ready();

const flat = (tokens) => tokens.flatMap((t) => [t, ...flat(t.tokens ?? []), ...flat(t.items ?? [])]);
const types = (text) => flat(lex(text)).map((t) => t.type);

test('mathematics is found, money and escapes are not', () => {
  const math = (text) =>
    flat(lex(text))
      .filter((t) => t.type === 'math')
      .map((t) => t.tex);
  assert.deepEqual(math('so $a^2$ and \\(b\\) and $$c$$'), ['a^2', 'b', 'c']);
  assert.deepEqual(math('it costs $5 and $10, or $5-$10'), []);
  assert.deepEqual(math('`$a$` and \\$b\\$'), []);
});

test('footnotes', () => {
  assert.ok(types('word[^1] more').includes('footref'));
  assert.ok(types('[^1]: the *note*').includes('footdef'));
});

test('only http, https and mailto are links', () => {
  assert.equal(safeURL('https://a.example/x y'), 'https://a.example/x%20y');
  assert.equal(safeURL('mailto:a@b.example'), 'mailto:a@b.example');
  for (const bad of [
    'javascript:alert(1)',
    'JaVaScRiPt:alert(1)',
    'java&#115;cript:alert(1)',
    '&#x6A;avascript:alert(1)',
    ' javascript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'file:///etc/passwd',
    'blob:https://x/y',
    '//a.example',
    '/settings',
    'chat',
    '',
    'https://',
    'x'.repeat(5000),
  ]) {
    assert.equal(safeURL(bad), '', bad.slice(0, 40));
  }
});

test('character references', () => {
  assert.equal(unescape('a &amp; b &lt;c&gt; &#65;&#x42; &nope; &#0; &#xD800;'), 'a & b <c> AB &nope; \ufffd \ufffd');
  assert.equal(unescape('&constructor; &toString;'), '&constructor; &toString;');
});

test('deep nesting is folded, not followed', () => {
  const depth = (tokens) =>
    Math.max(0, ...tokens.map((t) => 1 + Math.max(depth(t.tokens ?? []), depth(t.items ?? []))));
  for (const text of [
    '>'.repeat(1000) + ' x',
    '> '.repeat(1000) + 'x',
    '- '.repeat(1000) + 'x',
    '1. '.repeat(1000) + 'x',
    '> - '.repeat(500) + 'x',
  ]) {
    assert.ok(depth(lex(text)) < 40, text.slice(0, 12));
  }
});

test('no text makes the lexer slow', () => {
  const unit = [
    '*',
    '_',
    '**a',
    '*a_b',
    '[',
    '![',
    '](',
    '[a](',
    '[[a]',
    '<',
    '<a',
    '</',
    '&#',
    '$',
    '$a',
    '\\(',
    '\\',
    '`',
    '``a`',
    '~',
    '~~a',
    '|',
    '|a',
    'a\n',
    '    a\n',
    '\t',
    '> a\n',
    '- a\n',
    '  - a\n',
    '1. a\n',
    'http://',
    'www.',
    'a@b.',
    '[^a]',
    '[^a]: b\n',
    '[a]: <b\n',
    '<!--',
    '<![CDATA[',
    '*a **b ',
    '_a __b ',
    '![a](b "',
    'a  \n',
    '| - ',
    '|-|\n',
    ':-',
    '=\n',
    '-\n',
  ];
  let slowest = ['', 0];
  for (const u of unit) {
    const text = u.repeat(Math.ceil((2 * MAX_BLOCK) / u.length)).slice(0, MAX_BLOCK);
    for (const b of split(text)) {
      if (b.kind !== 'md') continue;
      const start = performance.now();
      lex(b.text);
      const ms = performance.now() - start;
      if (ms > slowest[1]) slowest = [u, ms];
    }
  }
  // The worst is tens of milliseconds; exponential or cubic work would be minutes.
  assert.ok(slowest[1] < 3_000, `${JSON.stringify(slowest[0])} took ${slowest[1]} ms`);
  console.log(`slowest: ${JSON.stringify(slowest[0])} ${slowest[1].toFixed(1)} ms`);
});
