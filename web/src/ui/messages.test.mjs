// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { announcement, sameWhereEqual } from './messages.ts';
import { en } from './strings.ts';

const m = (id, status, text = '') => ({ id, chat: 'c', parent: '', role: 'assistant', text, status, created: 1 });
const view = (...messages) => ({ chat: { id: 'c' }, messages, leaf: '' });

test('a start and an end are said, words on their way are not', () => {
  const start = view(m('a', 'sending'));
  assert.equal(announcement(view(), start), en.message.started);
  assert.equal(announcement(start, view(m('a', 'streaming', 'Hel'))), '');
  assert.equal(announcement(start, view(m('a', 'complete', 'Hello.'))), en.message.finished('Hello.'));
  assert.equal(announcement(start, view(m('a', 'stopped', 'Hel'))), en.message.stoppedSay);
  assert.ok(announcement(start, view({ ...m('a', 'failed'), error: 'Gone.' })).includes('Gone.'));
});

test('an old chat is not read out when it opens, nor what another device wrote', () => {
  assert.equal(announcement(null, view(m('a', 'complete', 'x'))), '');
  assert.equal(announcement(view(), view(m('a', 'complete', 'x'))), '');
});

test('messages that did not change stay the same objects', () => {
  const before = [m('a', 'complete', 'x'), m('b', 'streaming')];
  const now = sameWhereEqual(before, [m('a', 'complete', 'x'), m('b', 'complete', 'y')]);
  assert.equal(now[0], before[0]);
  assert.notEqual(now[1], before[1]);
});
