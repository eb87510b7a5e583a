// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockStream, MAX_BLOCK, split } from './blocks.ts';

const kinds = (text) => split(text).map((b) => [b.kind, b.text.trim()]);

test('paragraphs, headings, code and formulas are blocks of their own', () => {
  assert.deepEqual(kinds('One\ntwo\n\n# Head\nafter\n```go\nx\n\ny\n```\nend\n$$\na\n\nb\n$$\ntail'), [
    ['md', 'One\ntwo'],
    ['md', '# Head'],
    ['md', 'after'],
    ['code', 'x\n\ny'],
    ['md', 'end'],
    ['math', 'a\n\nb'],
    ['md', 'tail'],
  ]);
});

test('a list stays whole over blank lines, indented text and code inside it', () => {
  assert.equal(split('- a\n\n- b\n\n  more of b\n\n  ```js\n  x\n\n  y\n  ```\n- c\n').length, 1);
  assert.equal(split('1. a\n\n1. b\n\npara').length, 2);
  assert.equal(split('- a\n\n1. b').length, 2, 'another kind of list is another block');
  assert.equal(split('- a\n- b\n```\ncode\n```\n').length, 2, 'a fence at the margin ends the list');
});

test('a fence closes only with its own mark, and its language is its first word', () => {
  const [b] = split('````Go title="x"\n```\nin\n```\n````');
  assert.deepEqual([b.kind, b.lang, b.text], ['code', 'go', '```\nin\n```']);
  assert.deepEqual(kinds('~~~\na\n```\n~~~'), [['code', 'a\n```']]);
  assert.equal(split('  ```\n  a\n   b\n  ```')[0].text, 'a\n b', 'the fence’s indent is taken off');
});

test('formulas: on one line, in brackets, unclosed, and money', () => {
  assert.deepEqual(kinds('$$x^2$$'), [['math', 'x^2']]);
  assert.deepEqual(kinds('\\[ x \\]\nafter'), [
    ['math', 'x'],
    ['md', 'after'],
  ]);
  assert.deepEqual(kinds('$$x$$ and text')[0][0], 'md');
  assert.deepEqual(
    kinds('$$\nnever closed\n\nmore').map((k) => k[0]),
    ['md'],
  );
  const swallowed = split('$$\n' + 'words and words\n\n'.repeat(600));
  assert.ok(swallowed.length > 500, 'what a stray mark swallowed comes back as text');
});

test('the pieces an answer arrives in never change its blocks', () => {
  const text =
    '# T\n\nPara one\ngoes on.\n\n- a\n- b\n\n  in b\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx = 1\n\ny = 2\n```\n\n$$\nx\n$$\n\n> q\n> r\n\nend $x$ [^1]\n\n[^1]: note\n';
  const whole = split(text);
  for (const size of [1, 2, 3, 7, 50]) {
    const s = new BlockStream();
    for (let i = 0; i < text.length; i += size) s.append(text.slice(i, i + size));
    assert.deepEqual(s.blocks(true), whole, `in pieces of ${size}`);
  }
});

test('a finished block keeps its identity while more comes', () => {
  const s = new BlockStream();
  s.append('One.\n\nTwo');
  const first = s.blocks()[0];
  s.append(' goes on.\n\nThree');
  assert.equal(s.blocks()[0], first);
  assert.equal(s.blocks().at(-1).open, true);
  assert.equal(s.blocks(true).at(-1).open, false);
});

test('no block outgrows its bound, nothing is lost, no character is cut in two', () => {
  const line = '𝒳'.repeat(600_000);
  const blocks = split(line);
  assert.ok(blocks.every((b) => b.text.length <= MAX_BLOCK));
  assert.ok(blocks.every((b) => b.text.isWellFormed?.() ?? true));
  assert.equal(blocks.map((b) => b.text).join(''), line);
});

test('a long table is cut with its head repeated', () => {
  const head = '| name | value |\n|---|---|\n';
  const blocks = split(head + '| some name | some value |\n'.repeat(3000));
  assert.ok(blocks.length > 2);
  assert.ok(blocks.every((b) => b.text.startsWith(head)));
  assert.equal(
    blocks.reduce((n, b) => n + b.text.match(/some name/g).length, 0),
    3000,
  );
});

test('hostile texts take linear time', () => {
  const n = 200_000;
  for (const text of [
    '\\[\n'.repeat(n),
    '$$ a\n\n'.repeat(n / 2),
    '- '.repeat(n),
    '```\n~~~\n'.repeat(n / 4),
    '> '.repeat(n),
    '\n'.repeat(n),
    '| a |\n|-|\n'.repeat(n / 4),
    '#'.repeat(n),
    ' '.repeat(n) + 'x',
    '- a\n\n'.repeat(n / 4),
  ]) {
    const start = performance.now();
    split(text);
    // A quadratic cutter needs minutes for these; the bound is loose on purpose.
    assert.ok(performance.now() - start < 5_000, JSON.stringify(text.slice(0, 8)));
  }
});
