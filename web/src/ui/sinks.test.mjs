// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The page makes elements and nothing else: no HTML strings, no inline styles,
// no evaluation. The policy in the header would stop them; this stops them
// before they are shipped.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const SRC = process.env.SOTTO_WEB_SRC ?? 'web/src';
const SINKS =
  /innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|srcdoc|createContextualFragment|DOMParser|\beval\s*\(|new Function\b|setTimeout\(\s*['"`]|[`'"]javascript:|\bstyle="|\bstyle='|\bstyle=\{`|setAttribute\(\s*['"](?:style|on)|<img\b|<iframe\b|\bfetch\(/;

test('no source of the page has a sink', () => {
  let seen = 0;
  for (const dir of ['ui', 'markdown', '.']) {
    for (const f of readdirSync(join(SRC, dir))) {
      if (!/\.tsx?$/.test(f)) continue;
      seen++;
      const text = readFileSync(join(SRC, dir, f), 'utf8');
      assert.doesNotMatch(text, SINKS, `${dir}/${f}`);
    }
  }
  assert.ok(seen > 30, `${seen} files`);
});

test('the test would notice', () => {
  for (const bad of ['x.innerHTML = y', '<p style="color:red">', '<img src={u}>', 'eval (x)']) assert.match(bad, SINKS);
});
