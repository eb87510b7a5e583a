// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Markdown to tokens, with bounds so that no text can make it slow or deep. The
// lexer itself loads with the first text: nobody needs it on the way in.

import { signal } from '@preact/signals';
import type { Marked, Token } from 'marked';
import { lazy } from '../core/lazy.ts';
import { MAX_BLOCK } from './blocks.ts';

/** A token of ours beside marked's: `math`, `footref`, `footdef`. */
export interface MathToken {
  type: 'math';
  raw: string;
  tex: string;
  display: boolean;
}
export interface FootRef {
  type: 'footref';
  raw: string;
  id: string;
}
export interface FootDef {
  type: 'footdef';
  raw: string;
  id: string;
  tokens: Token[];
}

/** Deepest nesting of quotes and lists on one line; more is folded into this. */
const MAX_NEST = 12;
const MAX_INDENT = 40;

const grammar = signal<Marked | null>(null);
let asked: Promise<void> | null = null;

/** Loads the lexer. Texts drawn before are drawn again when it is here. */
export function ready(): Promise<void> {
  asked ??= lazy('lazy:grammar', () => import('./grammar.ts')).then(
    (m) => void (grammar.value = m.marked),
    () => void (asked = null), // offline: the text stays plain until the next one asks again
  );
  return asked;
}

/** Tokens of one block; never throws, and gives up on structure rather than on time. */
export function lex(text: string): Token[] {
  const marked = grammar.value;
  if (!marked) void ready();
  if (!marked || text.length > 2 * MAX_BLOCK || isNoise(text)) return plain(text);
  try {
    return marked.lexer(tame(text));
  } catch {
    // The lexer recurses: a text made to exhaust the stack is shown as it is.
    return plain(text);
  }
}

/** Long text that is mostly marks: no one writes it, and the lexer's work on it is quadratic. */
function isNoise(text: string): boolean {
  if (text.length < 1_000) return false;
  let marks = 0;
  let brackets = 0;
  for (let i = 0; i < text.length; i++) {
    if (MARKS.includes(text[i]!)) marks++;
    if (text[i] === '[') brackets++;
  }
  return marks > text.length * 0.4 || brackets > 300;
}

const MARKS = '[]*_<$`~\\!';

function plain(text: string): Token[] {
  return [{ type: 'paragraph', raw: text, text, tokens: [{ type: 'escape', raw: text, text }] }];
}

const MARKER = '[ \\t]*(?:>|[-*+](?=[ \\t])|\\d{1,9}[.)](?=[ \\t]))';
const NESTED = new RegExp(`^((?:${MARKER}){${MAX_NEST}})(?:${MARKER})+`, 'gm');
const INDENTED = new RegExp(`^ {${MAX_INDENT},}`, 'gm');

/** Folds nesting deeper than anyone writes by hand. */
function tame(text: string): string {
  return text.replace(NESTED, '$1').replace(INDENTED, ' '.repeat(MAX_INDENT));
}

const NAMED: Record<string, string> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
  copy: '©',
  reg: '®',
  trade: '™',
  hellip: '…',
  mdash: '—',
  ndash: '–',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
  laquo: '«',
  raquo: '»',
  times: '×',
  middot: '·',
  bull: '•',
  deg: '°',
  plusmn: '±',
  le: '≤',
  ge: '≥',
  ne: '≠',
  rarr: '→',
  larr: '←',
  euro: '€',
};

/** Character references in Markdown text: the lexer leaves them to the renderer. */
export function unescape(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]{2,6}));/g, (all, dec, hex, name) => {
    if (name) return NAMED[name] ?? all;
    const code = dec ? parseInt(dec, 10) : parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : '\ufffd';
  });
}

/** A link that may be opened, in its normal form, or '' for one that stays text. */
export function safeURL(href: string): string {
  const text = unescape(href).trim();
  if (text.length > 2048) return '';
  try {
    const url = new URL(text);
    return url.protocol === 'https:' || url.protocol === 'http:' || url.protocol === 'mailto:' ? url.href : '';
  } catch {
    return '';
  }
}
