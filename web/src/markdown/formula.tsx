// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { lazy } from '../core/lazy.ts';

/** TeX longer than this is shown as it was written. */
const MAX_TEX = 4_000;

/** A formula: its TeX until the drawing code is here, and for good where it can't be drawn. */
export function Formula({ tex, display, open }: { tex: string; display: boolean; open: boolean }): VNode {
  const box = useRef<HTMLSpanElement>(null);
  const [drawn, setDrawn] = useState('');
  const source = tex.trim();

  useEffect(() => {
    if (open || source.length > MAX_TEX) return;
    let gone = false;
    lazy('lazy:math', () => import('./math.ts'))
      .then(({ drawMath }) => {
        if (!gone && box.current) setDrawn(drawMath(source, display, box.current) ? source : '');
      })
      .catch(() => {}); // offline: the TeX stays
    return () => {
      gone = true;
    };
  }, [source, display, open]);

  const shown = drawn === source && drawn !== '';
  const body = (
    <>
      <span ref={box} hidden={!shown} />
      {!shown && <code class="md-tex">{source}</code>}
    </>
  );
  if (!display) return <span class="md-math">{body}</span>;
  return (
    <span class="md-math md-math-block" tabIndex={shown ? 0 : undefined} role={shown ? 'group' : undefined}>
      {body}
    </span>
  );
}
