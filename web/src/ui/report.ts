// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The report as a table that a spreadsheet opens.

import type { Answered } from '../core/protocol.ts';

const COLUMNS = ['time', 'title', 'model', 'machine', 'platform', 'state', 'version', 'release', 'entry', 'witnesses'] as const;

/** RFC 4180. A title is the person's own text: one that a spreadsheet would take for a formula begins with an apostrophe. */
export function csv(rows: readonly Answered[]): string {
  const cell = (v: unknown): string => {
    let s = v === undefined || v === null ? '' : String(v);
    if (/^[=+\-@\t\r]/.test(s)) s = `'${s}`;
    return /[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s;
  };
  const lines = rows.map((r) =>
    COLUMNS.map((c) => cell(c === 'time' ? new Date(r.time * 1000).toISOString() : r[c])).join(','),
  );
  return [COLUMNS.join(','), ...lines, ''].join('\r\n');
}
