// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// One table binds the keys and writes the help.

import { t } from './strings.ts';

export type Action = 'search' | 'newChat' | 'sidebar' | 'help' | 'editLast' | 'stop' | 'copyLast';

export interface Shortcut {
  action: Action;
  key: string;
  mod?: boolean;
  shift?: boolean;
  /** Handled by the message box itself, where it depends on what is typed. */
  inBox?: boolean;
}

export const SHORTCUTS: readonly Shortcut[] = [
  { action: 'search', key: 'k', mod: true },
  { action: 'newChat', key: 'o', mod: true, shift: true },
  { action: 'sidebar', key: '.', mod: true },
  { action: 'help', key: '/', mod: true },
  { action: 'editLast', key: 'ArrowUp', inBox: true },
  { action: 'stop', key: 'Escape' },
  { action: 'copyLast', key: 'c', mod: true, shift: true },
];

export interface KeyPress {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
  altKey: boolean;
  isComposing?: boolean;
}

/** What a key press asks for. ⌘ on a Mac, Ctrl elsewhere. */
export function actionOf(e: KeyPress, mac: boolean): Action | undefined {
  if (e.altKey || e.isComposing) return undefined;
  const mod = mac ? e.metaKey : e.ctrlKey;
  const other = mac ? e.ctrlKey : e.metaKey;
  if (other) return undefined;
  // Shift turns "/" into another character on many keyboards: it is not asked for there.
  return SHORTCUTS.find(
    (s) =>
      !s.inBox &&
      s.key.toLowerCase() === e.key.toLowerCase() &&
      !!s.mod === mod &&
      (!!s.shift === e.shiftKey || s.key === '/'),
  )?.action;
}

const CAPS: Record<string, string> = { ArrowUp: '↑', Escape: 'Esc' };

/** The keys to press, one string per cap. */
export function caps(s: Shortcut, mac: boolean): string[] {
  const out: string[] = [];
  if (s.mod) out.push(mac ? '⌘' : 'Ctrl');
  if (s.shift) out.push(mac ? '⇧' : 'Shift');
  out.push(CAPS[s.key] ?? s.key.toUpperCase());
  return out;
}

export function describe(s: Shortcut): string {
  return t.help[s.action];
}

export function isMac(): boolean {
  return typeof navigator !== 'undefined' && /mac|iphone|ipad/i.test(navigator.platform || navigator.userAgent);
}
