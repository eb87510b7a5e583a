// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// marked's lexer with mathematics and footnotes added.

import { Marked, type Tokens } from 'marked';
import type { FootRef, MathToken } from './lex.ts';

// The rules of Pandoc: no space inside the dollars, and no digit after them, so
// that "$5 and $10" stays money.
const DOLLARS = /^\$(?!\s|\$)((?:\\.|[^\\$\n]){1,600}?)(?<!\s)\$(?!\d)/;
const DOUBLE = /^\$\$((?:\\.|[^\\$]){1,2000}?)\$\$/;
const PARENS = /^\\\(((?:(?!\\\))[\s\S]){1,600}?)\\\)/;
const BRACKETS = /^\\\[((?:(?!\\\])[\s\S]){1,2000}?)\\\]/;
const FOOT_REF = /^\[\^([^\]\s^]{1,32})\](?!:)/;
const FOOT_DEF = /^\[\^([^\]\s^]{1,32})\]:[ \t]+([^\n]+(?:\n(?!\[\^)[^\n]+)*)(?:\n|$)/;

export const marked = new Marked({
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
