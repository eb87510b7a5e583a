// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBelow, leafBelow, pathTo, tree, versions } from './branches.ts';

const m = (id, parent, role, created) => ({ id, chat: 'c', parent, role, text: id, status: 'complete', created });
const all = [
  m('u1', '', 'user', 1),
  m('a1', 'u1', 'assistant', 2),
  m('a2', 'u1', 'assistant', 3),
  m('u2', 'a1', 'user', 4),
  m('a3', 'u2', 'assistant', 5),
  m('u1b', '', 'user', 6),
  m('a4', 'u1b', 'assistant', 7),
];
const ids = (ms) => ms.map((x) => x.id).join(' ');

test('the path to a leaf', () => {
  assert.equal(ids(pathTo(all, 'a3')), 'u1 a1 u2 a3');
  assert.equal(ids(pathTo(all, 'a2')), 'u1 a2');
  assert.equal(ids(pathTo(all, 'unknown')), 'u1b a4', 'an unknown leaf gives the newest');
  assert.equal(ids(pathTo([], 'x')), '');
});

test('a message whose parent is missing or itself ends the path', () => {
  assert.equal(ids(pathTo([m('x', 'lost', 'user', 1)], 'x')), 'x');
  assert.equal(ids(pathTo([m('x', 'y', 'user', 1), m('y', 'x', 'user', 2)], 'x')), 'y x');
  const loop = tree([m('x', 'y', 'user', 1), m('y', 'x', 'user', 2)]);
  assert.ok(leafBelow(loop, 'x'));
});

test('versions stand beside each other, oldest first', () => {
  const t = tree(all);
  assert.equal(ids(versions(t, all[2])), 'a1 a2');
  assert.equal(ids(versions(t, all[0])), 'u1 u1b');
  assert.equal(leafBelow(t, 'u1'), 'a2');
  assert.equal(leafBelow(t, 'a1'), 'a3');
});

test('below', () => {
  assert.ok(isBelow(all, 'a3', 'a1'));
  assert.ok(!isBelow(all, 'a2', 'a1'));
  assert.ok(isBelow(all, 'a2', ''));
});
