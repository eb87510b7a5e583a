// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Tokens to elements. No HTML string is ever made: raw HTML in an answer is
// shown as the text it is, images are named and never fetched, and a link asks
// before it leaves.

import type { Token, Tokens } from 'marked';
import type { ComponentChildren, VNode } from 'preact';
import { memo } from '../ui/memo.ts';
import { t } from '../ui/strings.ts';
import type { Block } from './blocks.ts';
import { CodeBlock } from './code.tsx';
import { lex, safeURL, unescape, type FootDef, type FootRef, type MathToken } from './lex.ts';
import { ExternalLink } from './link.tsx';
import { Formula } from './formula.tsx';
import { Table } from './table.tsx';

/** Elements nest no deeper than this; what is below becomes text. */
const MAX_DEPTH = 40;

/** Markdown, block by block. Finished blocks keep their identity, so only the last one is drawn again. */
export function Blocks({ blocks }: { blocks: Block[] }): VNode {
  return (
    <>
      {blocks.map((b) => (
        <BlockView key={b.id} block={b} />
      ))}
    </>
  );
}

const BlockView = memo(
  function BlockView({ block }: { block: Block }): VNode {
    switch (block.kind) {
      case 'code':
        return <CodeBlock text={block.text} lang={block.lang} open={block.open} />;
      case 'math':
        return <Formula tex={block.text} display open={block.open} />;
      default:
        return <>{render(lex(block.text), 0)}</>;
    }
  },
  (a, b) =>
    a.block === b.block ||
    (a.block.text === b.block.text && a.block.kind === b.block.kind && a.block.open === b.block.open),
);

type Any = Token | MathToken | FootRef | FootDef;

function render(tokens: Any[] | undefined, depth: number): ComponentChildren[] {
  return (tokens ?? []).map((token) => one(token, depth + 1));
}

function one(token: Any, depth: number): ComponentChildren {
  if (depth > MAX_DEPTH) return token.raw;
  const inner = (): ComponentChildren[] => render((token as Tokens.Generic).tokens, depth);
  switch (token.type) {
    case 'space':
    case 'def':
      return null;
    case 'paragraph':
      return <p>{inner()}</p>;
    case 'heading': {
      // The page has the first two levels.
      const H = `h${Math.min(6, (token as Tokens.Heading).depth + 2)}` as 'h3';
      return <H>{inner()}</H>;
    }
    case 'list':
      return list(token as Tokens.List, depth);
    case 'blockquote':
      return <blockquote>{inner()}</blockquote>;
    case 'code': {
      const { text, lang } = token as Tokens.Code;
      return (
        <CodeBlock
          text={text}
          lang={(lang ?? '')
            .split(/[\s`{,:]/)[0]!
            .toLowerCase()
            .slice(0, 32)}
          open={false}
        />
      );
    }
    case 'table': {
      const { header, rows, align } = token as Tokens.Table;
      const cell = (c: Tokens.TableCell): ComponentChildren[] => render(c.tokens, depth);
      return <Table head={header} rows={rows} align={align} cell={cell} />;
    }
    case 'hr':
      return <hr />;
    case 'strong':
      return <strong>{inner()}</strong>;
    case 'em':
      return <em>{inner()}</em>;
    case 'del':
      return <del>{inner()}</del>;
    case 'codespan':
      return <code>{(token as Tokens.Codespan).text}</code>;
    case 'br':
      return <br />;
    case 'link': {
      const link = token as Tokens.Link;
      const url = safeURL(link.href);
      return url ? <ExternalLink url={url}>{inner()}</ExternalLink> : <>{inner()}</>;
    }
    case 'image': {
      const image = token as Tokens.Image;
      const url = safeURL(image.href);
      const name = t.markdown.image(unescape(image.text));
      return url ? <ExternalLink url={url}>{name}</ExternalLink> : name;
    }
    case 'math': {
      const math = token as MathToken;
      return <Formula tex={math.tex} display={math.display} open={false} />;
    }
    case 'footref':
      return <FootMark id={(token as FootRef).id} />;
    case 'footdef':
      return (
        <p class="md-foot" data-foot={(token as FootDef).id} tabIndex={-1}>
          <span class="md-foot-id">{(token as FootDef).id}</span> {inner()}
        </p>
      );
    case 'html':
      return /^<br\s*\/?>\s*$/i.test(token.raw) ? <br /> : token.raw;
    case 'checkbox':
      return null; // drawn with its item
    case 'escape':
      return (token as Tokens.Escape).text;
    case 'text': {
      const text = token as Tokens.Text;
      return text.tokens ? render(text.tokens, depth) : unescape(text.text);
    }
    default:
      return token.raw;
  }
}

function list(token: Tokens.List, depth: number): VNode {
  const items = token.items.map((item) => {
    const inner = render(item.tokens, depth + 1);
    if (!item.task) return <li>{inner}</li>;
    return (
      <li class="md-task">
        <input
          type="checkbox"
          checked={item.checked}
          disabled
          aria-label={item.checked ? t.markdown.done : t.markdown.notDone}
        />
        <div>{inner}</div>
      </li>
    );
  });
  if (!token.ordered) return <ul>{items}</ul>;
  return <ol start={typeof token.start === 'number' ? token.start : 1}>{items}</ol>;
}

/** A footnote's mark: goes to the note inside the same answer. */
function FootMark({ id }: { id: string }): VNode {
  const go = (e: MouseEvent): void => {
    const notes = (e.currentTarget as HTMLElement).closest('.md')?.querySelectorAll<HTMLElement>('[data-foot]');
    const note = [...(notes ?? [])].find((n) => n.dataset.foot === id);
    note?.focus();
    note?.scrollIntoView({ block: 'nearest' });
  };
  return (
    <sup>
      <button type="button" class="md-footref" onClick={go} aria-label={t.markdown.footnote(id)}>
        {id}
      </button>
    </sup>
  );
}
