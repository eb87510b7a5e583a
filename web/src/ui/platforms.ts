// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// How a verdict's parts are told to a person: whose proof each is about, and how
// a row stands. The page words what the core found; it judges nothing.

import type { Check } from '../core/protocol.ts';
import { t } from './strings.ts';

/** How a row, a part or a kind of hardware stands. `unknown`: it failed for want of something to judge by. */
export type Standing = 'ok' | 'warn' | 'fail' | 'unknown' | 'none';

/** The failures of spec/verdict.md that mean "could not be checked". */
const COULD_NOT = [
  'key_not_yet_valid',
  'key_expired',
  'platform_unknown',
  'collateral_missing',
  'collateral_expired',
  'policy_malformed',
];

export function standing(c: Check | undefined): Standing {
  if (!c) return 'none';
  return c.status === 'fail' && COULD_NOT.includes(c.failure ?? '') ? 'unknown' : c.status;
}

const WORST: readonly Standing[] = ['fail', 'unknown', 'warn', 'ok', 'none'];

/** Parts as they are shown: what is wrong first, the rest in the order in which it was checked. */
export function worstFirst(parts: readonly Check[]): Check[] {
  return [...parts].sort((a, b) => WORST.indexOf(standing(a)) - WORST.indexOf(standing(b)));
}

/** One kind of hardware in a row, with its parts. */
export interface Kind {
  platform: string;
  name: string;
  standing: Standing;
  parts: Check[];
  /** Parts that failed. */
  bad: number;
}

/** The parts of a row by kind of hardware, in the verdict's order; what the app itself looked at comes last. */
export function kinds(check: Check | undefined, platforms: readonly string[]): Kind[] {
  const by = new Map<string, Check[]>(platforms.map((p) => [p, []]));
  const own: Check[] = [];
  for (const c of check?.parts ?? []) {
    if (!c.platform) own.push(c);
    else by.set(c.platform, [...(by.get(c.platform) ?? []), c]);
  }
  by.set('', own);
  return [...by].flatMap(([platform, parts]) => {
    const [worst] = worstFirst(parts);
    if (!worst) return [];
    const bad = parts.filter((c) => c.status === 'fail').length;
    return [{ platform, name: platformName(platform), standing: standing(worst), parts, bad }];
  });
}

/** What people call a kind of hardware; of one this page doesn't know, its own name. */
export function platformName(platform: string): string {
  return platform === '' ? t.trust.ownChecks : (t.trust.platforms[platform]?.name ?? platform);
}

/** The names in a receipt's "tdx+nvidia". */
export function platformNames(joined: string): string {
  return list(joined.split('+').filter(Boolean).map(platformName));
}

/** "a", "a and b", "a, b and c". */
export function list(words: readonly string[], locale = 'en'): string {
  return new Intl.ListFormat(locale).format(words);
}

/** The row's sentence. Where all is well it sums up; else it is that of the part that isn't. */
export function sentenceOf(row: string, check: Check, all: readonly Kind[]): string {
  const proofs = all.filter((k) => k.platform !== '');
  if (check.status !== 'ok' || proofs.length === 0) return check.detail;
  const makers = list(proofs.map((k) => t.trust.platforms[k.platform]?.maker ?? k.name));
  return t.trust.proved[row]?.(makers) ?? check.detail;
}

/** Whether a value means something to a person who doesn't know the hardware: short, and no digest. */
export function plain(value: string | undefined): boolean {
  return !!value && value.length <= 64 && !/[0-9a-f]{12}/i.test(value);
}
