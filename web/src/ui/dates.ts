// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ChatSummary } from '../core/protocol.ts';
import { t } from './strings.ts';

/** Some chats under one heading. */
export interface Section {
  key: string;
  title: string;
  chats: ChatSummary[];
}

const DAY = 86_400_000;

/**
 * Chats under Pinned, Today, Yesterday, … and by month, newest first; empty sections and archived chats left out.
 * At most `limit` chats that aren't pinned.
 */
export function sections(chats: readonly ChatSummary[], now: number, limit = Infinity, locale?: string): Section[] {
  const out = new Map<string, Section>();
  const put = (key: string, title: string, c: ChatSummary): void => {
    const s = out.get(key);
    if (s) s.chats.push(c);
    else out.set(key, { key, title, chats: [c] });
  };
  const sorted = chats.filter((c) => !c.archived).sort((a, b) => b.updated - a.updated || (a.id < b.id ? -1 : 1));
  for (const c of sorted) if (c.pinned) put('pinned', t.sidebar.pinned, c);
  for (const c of sorted.filter((x) => !x.pinned).slice(0, limit)) {
    const days = daysBefore(c.updated, now);
    if (days <= 0) put('today', t.sidebar.today, c);
    else if (days === 1) put('yesterday', t.sidebar.yesterday, c);
    else if (days <= 7) put('week', t.sidebar.week, c);
    else if (days <= 30) put('month', t.sidebar.month, c);
    else {
      const d = new Date(c.updated);
      const sameYear = d.getFullYear() === new Date(now).getFullYear();
      const title = d.toLocaleDateString(locale, sameYear ? { month: 'long' } : { month: 'long', year: 'numeric' });
      put(`${d.getFullYear()}-${d.getMonth()}`, title, c);
    }
  }
  return [...out.values()];
}

/** Midnights between `then` and `now`, in local time. */
export function daysBefore(then: number, now: number): number {
  return Math.round((midnight(now) - midnight(then)) / DAY);
}

function midnight(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

/** "14:02" today, "23 Nov, 14:02" before. */
export function shortTime(ms: number, now = Date.now(), locale?: string): string {
  const time: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
  const d = new Date(ms);
  if (daysBefore(ms, now) === 0) return d.toLocaleTimeString(locale, time);
  return d.toLocaleString(locale, { day: 'numeric', month: 'short', ...time });
}

/** "23 November 2026 at 14:02". */
export function longTime(ms: number, locale?: string): string {
  return new Date(ms).toLocaleString(locale, { dateStyle: 'long', timeStyle: 'short' });
}

/** "today", "yesterday", "23 Nov". */
export function shortDay(ms: number, now = Date.now(), locale?: string): string {
  const days = daysBefore(ms, now);
  if (days <= 1) return new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(-Math.max(0, days), 'day');
  const sameYear = new Date(ms).getFullYear() === new Date(now).getFullYear();
  return new Date(ms).toLocaleDateString(locale, {
    day: 'numeric',
    month: 'short',
    ...(sameYear ? {} : { year: 'numeric' }),
  });
}
