// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actionOf, caps, describe, SHORTCUTS } from './shortcuts.ts';

const key = (k, more = {}) => ({ key: k, ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...more });

test('the command key is ⌘ on a Mac and Ctrl elsewhere', () => {
  assert.equal(actionOf(key('k', { metaKey: true }), true), 'search');
  assert.equal(actionOf(key('k', { ctrlKey: true }), false), 'search');
  assert.equal(actionOf(key('k', { ctrlKey: true }), true), undefined);
  assert.equal(actionOf(key('k', { metaKey: true }), false), undefined);
  assert.equal(actionOf(key('k'), false), undefined);
});

test('shift counts, except where the keyboard needs it for the character', () => {
  assert.equal(actionOf(key('O', { ctrlKey: true, shiftKey: true }), false), 'newChat');
  assert.equal(actionOf(key('o', { ctrlKey: true }), false), undefined);
  assert.equal(actionOf(key('/', { ctrlKey: true, shiftKey: true }), false), 'help');
});

test('nothing happens while a word is being composed, or with Alt', () => {
  assert.equal(actionOf(key('Escape', { isComposing: true }), false), undefined);
  assert.equal(actionOf(key('k', { ctrlKey: true, altKey: true }), false), undefined);
});

test('the help is made of the same table', () => {
  assert.equal(new Set(SHORTCUTS.map((s) => s.action)).size, SHORTCUTS.length);
  for (const s of SHORTCUTS) assert.ok(describe(s) && caps(s, true).length > 0);
  assert.deepEqual(caps(SHORTCUTS[1], true), ['⌘', '⇧', 'O']);
  assert.deepEqual(caps(SHORTCUTS[1], false), ['Ctrl', 'Shift', 'O']);
});
