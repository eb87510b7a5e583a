// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ComponentChildren, VNode } from 'preact';
import { lazy } from '../core/lazy.ts';
import { memo } from '../ui/memo.ts';
import { useEffect, useRef, useState } from 'preact/hooks';
import { CopyButton } from '../ui/copy.tsx';
import { Icon } from '../ui/icons.tsx';
import { t } from '../ui/strings.ts';
import type { Run } from './highlight.ts';

/** Longer code stays plain: colouring is one task that can't be cut. */
const MAX_COLOURED = 40_000;
/** Lines are grouped, so that a line added to long code lays out one group only. */
const GROUP = 40;

/** A code block with its language, a copy button and a wrap switch; coloured once it is whole. */
export function CodeBlock({ text, lang, open }: { text: string; lang: string; open: boolean }): VNode {
  const [wrap, setWrap] = useState(false);
  const [runs, setRuns] = useState<Run[] | null>(null);

  useEffect(() => {
    if (open || !lang || text.length > MAX_COLOURED) return;
    let gone = false;
    whenIdle(async () => {
      const { highlight } = await lazy('lazy:highlight', () => import('./highlight.ts'));
      if (!gone) setRuns(highlight(text, lang));
    });
    return () => {
      gone = true;
    };
  }, [text, lang, open]);

  return (
    <figure class={wrap ? 'code code-wrap' : 'code'}>
      <figcaption class="code-bar">
        <span class="code-lang">{lang || t.markdown.code}</span>
        <button
          type="button"
          class="icon-button small"
          aria-pressed={wrap}
          title={t.markdown.wrap}
          aria-label={t.markdown.wrap}
          onClick={() => setWrap(!wrap)}
        >
          <Icon name="wrap" />
        </button>
        <CopyButton text={() => text} label={t.markdown.copyCode} small />
      </figcaption>
      <pre tabIndex={0} aria-label={t.markdown.codeIn(lang)}>
        <code>{runs ? runs.map(([s, cls]) => (cls ? <span class={cls}>{s}</span> : s)) : <Plain text={text} />}</code>
      </pre>
    </figure>
  );
}

/** Uncoloured code in groups of lines; earlier groups never change while text is added. */
function Plain({ text }: { text: string }): VNode {
  const cut = useRef({ text: '', ends: [0], from: 0, lines: 0 });
  const c = cut.current;
  if (!text.startsWith(c.text)) cut.current = { text: '', ends: [0], from: 0, lines: 0 };
  const now = cut.current;
  for (let at = text.indexOf('\n', now.from); at >= 0; at = text.indexOf('\n', at + 1)) {
    now.from = at + 1;
    if (++now.lines % GROUP === 0) now.ends.push(at + 1);
  }
  now.text = text;
  const groups: ComponentChildren[] = now.ends.map((start, i) => {
    const end = now.ends[i + 1];
    return <Group key={start} text={end === undefined ? text.slice(start) : text.slice(start, end - 1)} />;
  });
  return <>{groups}</>;
}

const Group = memo(({ text }: { text: string }): VNode => <span class="code-group">{text}</span>);

function whenIdle(f: () => void): void {
  if ('requestIdleCallback' in window) requestIdleCallback(f, { timeout: 500 });
  else setTimeout(f, 50);
}
