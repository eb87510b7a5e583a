// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, path } from './routes.ts';
import { en, plural } from './strings.ts';

test('plurals follow the language', () => {
  const forms = { one: '# chat', other: '# chats' };
  assert.equal(plural(1, forms), '1 chat');
  assert.equal(plural(0, forms), '0 chats');
  assert.equal(plural(12_345, forms), '12,345 chats');
});

/** Every string of the catalogue, functions called with samples. */
function words(x) {
  if (typeof x === 'string') return [x];
  if (typeof x === 'function') return words(x.length === 4 ? x('a', 'b', 'c', 2) : x.length === 3 ? x(['A'], 'b', 'c') : x(2, 3));
  return Object.values(x).flatMap(words);
}

test('the words on the screens are the plain ones', () => {
  const all = words(en);
  assert.ok(all.length > 200);
  for (const w of all) {
    assert.doesNotMatch(w, /enclave|attestation|\bquote|HPKE|measurement|\bTEE\b|undefined|\[object/i);
    assert.doesNotMatch(w, /oops|sorry|please wait|successfully/i);
  }
});

test('routes', () => {
  for (const p of ['/', '/settings', '/chat/abc-_1', '/link/x']) assert.equal(path(parse(p)), p);
  for (const p of [
    '/chat',
    '/chat/',
    '/chat/a/b',
    '/chat/%2e%2e',
    '/nope',
    '//x',
    '/settings/more',
    `/chat/${'a'.repeat(200)}`,
  ]) {
    assert.equal(parse(p).at, 'new', p);
  }
});
