// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ComponentChildren, VNode } from 'preact';

/** A group of rows under one heading. */
export function Group({ id, title, children }: { id: string; title: string; children: ComponentChildren }): VNode {
  return (
    <section class="set-group" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <div class="set-rows">{children}</div>
    </section>
  );
}

/** One setting: what it is at the start, what can be done at the end. */
export function Row({
  title,
  hint,
  children,
  block,
}: {
  title: string;
  hint?: ComponentChildren;
  children?: ComponentChildren;
  block?: boolean;
}): VNode {
  return (
    <div class={block ? 'set-row set-block' : 'set-row'}>
      <div class="set-words">
        <h3>{title}</h3>
        {hint && <p class="hint">{hint}</p>}
      </div>
      <div class="set-do">{children}</div>
    </div>
  );
}
