// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Cuts growing Markdown into top-level blocks.
//
// An answer arrives in thousands of small pieces. Parsing it all again for each
// would freeze a phone, so the text is cut at places where Markdown can't join
// again (blank lines, headings, fences), and each finished block is parsed and
// drawn once. Only the last, open block changes. The cutter looks at each line
// once, so its work is linear in the text, whatever the text is.

/** One top-level piece of an answer. A finished block never changes again. */
export interface Block {
  /** Stable for the life of the stream: the block's place in it. */
  readonly id: number;
  readonly kind: 'md' | 'code' | 'math';
  /** Markdown source for `md`; the bare code or TeX for the others. */
  readonly text: string;
  /** The first word after a code fence, lower case. */
  readonly lang: string;
  /** More text may come. */
  readonly open: boolean;
}

/** Longest Markdown block, in UTF-16 units: bounds what one parse can cost. */
export const MAX_BLOCK = 6_000;
/** Longest table before it is cut and its head repeated. */
const MAX_TABLE = 10_000;
/** A formula that hasn't closed after this much wasn't one. */
const MAX_MATH = 4_000;
/** A list longer than this is cut at its next item, so that a long list stays cheap while it grows. */
const LONG_LIST = 1_500;

const FENCE = /^( *)(`{3,}|~{3,})(.*)$/;
const HEADING = /^ {0,3}#{1,6}(?:[ \t]|$)/;
const ITEM = /^ {0,3}(?:([-*+])|\d{1,9}([.)]))(?:[ \t]|$)/;
const TABLE_RULE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

type Mode =
  | { in: 'text' }
  | { in: 'code'; mark: string; lang: string; indent: number; from: number }
  | { in: 'math'; close: string; from: number };

const TEXT: Mode = { in: 'text' };

/** Takes text piece by piece and keeps the list of blocks. */
export class BlockStream {
  /** All text so far. */
  text = '';
  private finished: Block[] = [];
  private start = 0; // of the open block
  private line = 0; // of the first line not looked at yet
  private mode: Mode = TEXT;
  private listMark = ''; // the open block is a list with this marker
  private listFence = ''; // inside a fence that belongs to a list item
  private indented = false; // the open block is indented code
  private blank = false; // the open list was followed by a blank line
  private lines = 0; // whole lines in the open block
  private tableHead = ''; // both head lines, when the open block is a table
  private prefix = ''; // repeated head of a cut table
  private first = '';
  private noMath = 0; // formulas may open only from here on

  /** Adds text and looks at the lines that it completes. */
  append(piece: string): void {
    this.text += piece;
    for (;;) {
      const end = this.text.indexOf('\n', this.line);
      if (this.mode.in === 'math' && (end < 0 ? this.text.length : end) - this.mode.from > MAX_MATH) {
        // Not a formula after all: read what it swallowed again, as text.
        this.noMath = end < 0 ? this.text.length : end;
        this.line = this.start;
        this.next(this.start);
        continue;
      }
      if (end < 0) break;
      const at = this.line;
      this.line = end + 1;
      this.take(at, this.text.slice(at, end));
    }
    this.bound();
  }

  /** The blocks so far. `done`: no more text will come, so the last block is closed too. */
  blocks(done = false): Block[] {
    if (!done) {
      const last = this.rest(true);
      return last ? [...this.finished, last] : this.finished.slice();
    }
    // The last line has no end yet: give it one, in a copy, for more may come after all.
    const tail = new BlockStream();
    tail.append(this.prefix + this.text.slice(this.start) + '\n');
    const last = tail.rest(false);
    const more = last ? [...tail.finished, last] : tail.finished;
    const end = more.at(-1);
    if (end?.kind === 'md' && !this.text.endsWith('\n'))
      more[more.length - 1] = { ...end, text: end.text.replace(/\n$/, '') };
    return [...this.finished, ...more.map((b) => ({ ...b, id: b.id + this.finished.length }))];
  }

  private take(at: number, line: string): void {
    const mode = this.mode;
    if (mode.in === 'code') {
      const m = FENCE.exec(line);
      if (m && m[2]!.startsWith(mode.mark) && m[3]!.trim() === '') {
        this.push('code', dedent(this.text.slice(mode.from, at), mode.indent).replace(/\n$/, ''), mode.lang);
        this.next(this.line);
      }
      return;
    }
    if (mode.in === 'math') {
      const end = line.indexOf(mode.close);
      if (end >= 0) {
        this.push('math', this.text.slice(mode.from, at + end));
        this.next(at + end + mode.close.length);
        // What follows the closing mark on its line starts the next block.
        if (this.text.slice(this.start, this.line).trim() === '') this.start = this.line;
      }
      return;
    }

    const inList = this.listMark !== '' && this.start < at;
    if (inList && this.listFence) {
      if (line.trim().startsWith(this.listFence)) this.listFence = '';
      this.lines++;
      return;
    }
    if (line.trim() === '') {
      if (this.start >= at) this.next(this.line);
      else if (inList || this.indented) this.blank = true;
      else this.cut(this.line);
      return;
    }
    const indent = width(line);
    if (this.blank && this.start < at) {
      // After a blank line a list goes on with an indented line or its own marker.
      const goesOn = this.indented ? indent >= 4 : indent >= 2 || marker(line) === this.listMark;
      if (!goesOn) this.cut(at);
    }
    this.blank = false;
    const listGoesOn = this.listMark !== '' && this.start < at;

    const fence = FENCE.exec(line);
    if (fence && !(fence[2]!.startsWith('`') && fence[3]!.includes('`'))) {
      if (listGoesOn && indent >= 2) {
        this.listFence = fence[2]!;
        this.lines++;
        return;
      }
      if (indent < 4) {
        if (this.start < at) this.cut(at);
        const lang = /^[ \t]*([^\s`{,:]*)/.exec(fence[3]!)![1]!.toLowerCase().slice(0, 32);
        this.mode = { in: 'code', mark: fence[2]!, lang, indent: fence[1]!.length, from: this.line };
        return;
      }
    }
    if (at >= this.noMath && (indent < 2 || !listGoesOn)) {
      const open = /^ {0,3}(\$\$|\\\[)/.exec(line);
      if (open && indent < 4) {
        if (this.start < at) this.cut(at);
        this.mode = { in: 'math', close: open[1] === '$$' ? '$$' : '\\]', from: at + open[0].length };
        const rest = line.slice(open[0].length);
        const end = rest.indexOf(this.mode.close);
        if (end >= 0) {
          if (rest.slice(end + 2).trim() === '') {
            this.push('math', rest.slice(0, end));
            this.next(this.line);
          } else this.mode = TEXT; // "$$x$$ and more": inline mathematics in a paragraph
        }
        if (this.mode.in === 'math') return;
        if (this.start >= this.line) return;
      }
    }
    if (HEADING.test(line) && !(listGoesOn && indent >= 2)) {
      if (this.start < at) this.cut(at);
      this.cut(this.line);
      return;
    }
    const mark = marker(line);
    if (this.start >= at) {
      this.listMark = mark;
      this.indented = indent >= 4;
      this.first = line;
    } else if (listGoesOn && mark !== '' && indent < 2 && (mark !== this.listMark || at - this.start > LONG_LIST)) {
      this.cut(at);
      this.listMark = mark;
      this.first = line;
    }
    this.lines++;
    if (this.lines === 2 && this.first.includes('|') && TABLE_RULE.test(line)) {
      this.tableHead = this.first + '\n' + line + '\n';
    }
  }

  /** Cuts an open block that has grown past its bound. */
  private bound(): void {
    if (this.mode.in !== 'text') return;
    for (;;) {
      const max = this.tableHead ? MAX_TABLE : MAX_BLOCK;
      if (this.text.length - this.start <= max) return;
      const head = this.tableHead;
      let at = this.text.lastIndexOf('\n', this.start + max) + 1;
      if (at <= this.start) at = this.text.lastIndexOf(' ', this.start + max) + 1;
      if (at <= this.start + max / 2) at = this.start + max;
      if (isLow(this.text.charCodeAt(at))) at--;
      const { listMark, lines } = this;
      this.cut(at);
      this.listMark = listMark;
      if (head && this.text[at - 1] === '\n') {
        this.prefix = this.tableHead = head;
        this.lines = lines;
      }
      if (this.line < at) this.line = at;
    }
  }

  /** Finishes the open block before `at`. */
  private cut(at: number): void {
    const text = this.text.slice(this.start, at);
    if (text.trim() !== '') this.push('md', this.prefix + text);
    this.next(at);
  }

  private next(start: number): void {
    this.start = start;
    this.mode = TEXT;
    this.listMark = this.listFence = this.tableHead = this.prefix = this.first = '';
    this.indented = this.blank = false;
    this.lines = 0;
  }

  private push(kind: Block['kind'], text: string, lang = ''): void {
    this.finished.push({ id: this.finished.length, kind, text, lang, open: false });
  }

  /** The open block, if it holds anything. */
  private rest(open: boolean): Block | null {
    const id = this.finished.length;
    const mode = this.mode;
    if (mode.in === 'code') {
      // What may be the closing fence, still without its line end, isn't code.
      const text = this.text.slice(mode.from).replace(/(?:^|\n) {0,3}(?:`+|~+)?$/, '');
      return { id, kind: 'code', text: dedent(text, mode.indent), lang: mode.lang, open };
    }
    if (mode.in === 'math') {
      let text = this.text.slice(mode.from);
      const end = text.indexOf(mode.close);
      const closed = end >= 0 && text.slice(end + 2).trim() === '';
      if (closed) text = text.slice(0, end);
      // Mathematics that never closes is shown as it was written.
      if (!open && !closed) return { id, kind: 'md', text: this.text.slice(this.start), lang: '', open };
      return { id, kind: 'math', text, lang: '', open: open && !closed };
    }
    const text = this.text.slice(this.start);
    if (text.trim() === '') return null;
    // A fence or formula whose first line is still being written.
    const fence = /^ {0,3}(?:`{3,}|~{3,})([^\s`]*)$/.exec(text);
    if (fence && open) return { id, kind: 'code', text: '', lang: fence[1]!.toLowerCase().slice(0, 32), open };
    const line = /^ {0,3}(?:\$\$([^\n]+?)\$\$|\\\[([^\n]+?)\\\])\s*$/.exec(text.length < 4000 ? text : '');
    if (line) return { id, kind: 'math', text: line[1] ?? line[2]!, lang: '', open: false };
    return { id, kind: 'md', text: this.prefix + text, lang: '', open };
  }
}

/** Cuts a whole text at once. */
export function split(text: string): Block[] {
  const s = new BlockStream();
  s.append(text);
  return s.blocks(true);
}

function marker(line: string): string {
  const m = ITEM.exec(line);
  return m ? (m[1] ?? m[2]!) : '';
}

function width(line: string): number {
  let n = 0;
  for (let i = 0; i < line.length; i++) {
    if (line[i] === ' ') n++;
    else if (line[i] === '\t') n += 4;
    else break;
  }
  return n;
}

function dedent(code: string, by: number): string {
  return by === 0 ? code : code.replace(new RegExp(`^ {1,${by}}`, 'gm'), '');
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
