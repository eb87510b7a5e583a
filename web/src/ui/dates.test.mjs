// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { daysBefore, sections } from './dates.ts';

const NOW = new Date(2026, 2, 29, 9, 0).getTime(); // the day after a clock change in much of Europe
const chat = (id, date, more = {}) => ({
  id,
  title: id,
  pinned: false,
  archived: false,
  folder: '',
  temporary: false,
  model: '',
  created: 0,
  updated: date.getTime(),
  busy: false,
  ...more,
});

test('chats are grouped by the calendar, not by hours', () => {
  const got = sections(
    [
      chat('late', new Date(2026, 2, 28, 23, 59)),
      chat('now', new Date(2026, 2, 29, 8)),
      chat('week', new Date(2026, 2, 22, 12)),
      chat('month', new Date(2026, 2, 21, 12)),
      chat('february', new Date(2026, 1, 3)),
      chat('last year', new Date(2025, 11, 24)),
      chat('pin', new Date(2024, 1, 1), { pinned: true }),
      chat('gone', new Date(2026, 2, 29), { archived: true }),
    ],
    NOW,
    Infinity,
    'en',
  );
  assert.deepEqual(
    got.map((s) => [s.title, s.chats.map((c) => c.id)]),
    [
      ['Pinned', ['pin']],
      ['Today', ['now']],
      ['Yesterday', ['late']],
      ['Previous 7 days', ['week']],
      ['Previous 30 days', ['month']],
      ['February', ['february']],
      ['December 2025', ['last year']],
    ],
  );
});

test('a limit leaves the pinned ones', () => {
  const day = (n, more) => chat(`d${n}`, new Date(2026, 2, n), more);
  const got = sections([day(1, { pinned: true }), day(26), day(27), day(28)], NOW, 2);
  assert.deepEqual(
    got.flatMap((s) => s.chats.map((c) => c.id)),
    ['d1', 'd28', 'd27'],
  );
});

test('a clock ahead of ours counts as today', () => {
  assert.equal(sections([chat('a', new Date(2026, 2, 30))], NOW)[0].key, 'today');
});

test('a day is a day when the clocks change', () => {
  assert.equal(daysBefore(new Date(2026, 2, 28, 0, 30).getTime(), new Date(2026, 2, 30, 0, 10).getTime()), 2);
});
