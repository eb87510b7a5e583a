// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ComponentChildren, VNode } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { Icon } from './icons.tsx';
import { t } from './strings.ts';

interface Props {
  title: string;
  /** `card` in the middle, `sheet` at the side, `top` near the top. */
  shape?: 'card' | 'sheet' | 'top';
  /** The title is said, not shown. */
  bare?: boolean;
  onClose: () => void;
  children: ComponentChildren;
  class?: string;
}

/** A modal dialog: the browser keeps the focus inside and gives it back after. */
export function Dialog({ title, shape = 'card', bare, onClose, children, class: cls }: Props): VNode {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const d = ref.current!;
    d.showModal();
    // The browser would take the first button, which is the one that closes.
    if (!d.querySelector('[autofocus]')) d.querySelector<HTMLElement>('.dialog-title')!.focus();
    return () => d.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class={`dialog dialog-${shape}${cls ? ` ${cls}` : ''}`}
      aria-labelledby={id}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onMouseDown={(e) => {
        if (e.target === ref.current) onClose();
      }}
    >
      <div class="dialog-in">
        <header class={bare ? 'visually-hidden' : 'dialog-head'}>
          <h2 id={id} class="dialog-title" tabIndex={-1}>
            {title}
          </h2>
          {!bare && (
            <button type="button" class="icon-button" aria-label={t.close} title={t.close} onClick={onClose}>
              <Icon name="close" />
            </button>
          )}
        </header>
        {children}
      </div>
    </dialog>
  );
}
