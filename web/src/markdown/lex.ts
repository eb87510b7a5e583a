// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Markdown to tokens: marked's lexer with mathematics and footnotes added, and
// bounds so that no text can make it slow or deep.

import { Marked, type Token, type Tokens } from 'marked';
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

// The rules of Pandoc: no space inside the dollars, and no digit after them, so
// that "$5 and $10" stays money.
const DOLLARS = /^\$(?!\s|\$)((?:\\.|[^\\$\n]){1,600}?)(?<!\s)\$(?!\d)/;
const DOUBLE = /^\$\$((?:\\.|[^\\$]){1,2000}?)\$\$/;
const PARENS = /^\\\(((?:(?!\\\))[\s\S]){1,600}?)\\\)/;
const BRACKETS = /^\\\[((?:(?!\\\])[\s\S]){1,2000}?)\\\]/;
const FOOT_REF = /^\[\^([^\]\s^]{1,32})\](?!:)/;
const FOOT_DEF = /^\[\^([^\]\s^]{1,32})\]:[ \t]+([^\n]+(?:\n(?!\[\^)[^\n]+)*)(?:\n|$)/;

const marked = new Marked({
  gfm: true,
  breaks: true,
  extensions: [
    {
      name: 'math',
      level: 'inline',
      start: (src) => {
        const i = src.search(/\$|\\[([]/);
        return i < 0 ? undefined : i;
      },
      tokenizer(src): MathToken | undefined {
        const m = DOUBLE.exec(src) ?? BRACKETS.exec(src);
        if (m) return { type: 'math', raw: m[0], tex: m[1]!, display: true };
        const n = DOLLARS.exec(src) ?? PARENS.exec(src);
        return n ? { type: 'math', raw: n[0], tex: n[1]!, display: false } : undefined;
      },
    },
    {
      name: 'footref',
      level: 'inline',
      start: (src) => {
        const i = src.indexOf('[^');
        return i < 0 ? undefined : i;
      },
      tokenizer(src): FootRef | undefined {
        const m = FOOT_REF.exec(src);
        return m ? { type: 'footref', raw: m[0], id: m[1]! } : undefined;
      },
    },
    {
      name: 'footdef',
      level: 'block',
      tokenizer(src): Tokens.Generic | undefined {
        const m = FOOT_DEF.exec(src);
        return m ? { type: 'footdef', raw: m[0], id: m[1]!, tokens: this.lexer.inlineTokens(m[2]!) } : undefined;
      },
    },
  ],
});

/** Tokens of one block; never throws, and gives up on structure rather than on time. */
export function lex(text: string): Token[] {
  if (text.length > 2 * MAX_BLOCK) return plain(text);
  try {
    return marked.lexer(tame(text));
  } catch {
    // The lexer recurses: a text made to exhaust the stack is shown as it is.
    return plain(text);
  }
}

function plain(text: string): Token[] {
  return [{ type: 'paragraph', raw: text, text, tokens: [{ type: 'escape', raw: text, text }] }];
}

const NESTED = new RegExp(`^((?:[ \\t]*(?:>|[-*+](?=[ \\t])|\\d{1,9}[.)](?=[ \\t]))){${MAX_NEST}})[ \\t>*+\\-]+`, 'gm');
const INDENTED = new RegExp(`^ {${MAX_INDENT},}`, 'gm');

/** Folds nesting deeper than anyone writes by hand. */
function tame(text: string): string {
  return text.replace(NESTED, '$1 ').replace(INDENTED, ' '.repeat(MAX_INDENT));
}

const NAMED: Record<string, string> = {
  amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '©', reg: '®', trade: '™', hellip: '…',
  mdash: '—', ndash: '–', lsquo: '‘', rsquo: '’', ldquo: '“', rdquo: '”', laquo: '«', raquo: '»', times: '×',
  middot: '·', bull: '•', deg: '°', plusmn: '±', le: '≤', ge: '≥', ne: '≠', rarr: '→', larr: '←', euro: '€',
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
