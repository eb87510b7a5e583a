// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Icon, type IconName } from './icons.tsx';

export interface Item {
  label: string;
  icon?: IconName;
  note?: ComponentChildren;
  checked?: boolean;
  danger?: boolean;
  run: () => void;
}

interface Props {
  label: string;
  items: Item[];
  children: ComponentChildren;
  class?: string;
  /** Name of the menu where the button's label isn't it. */
  title?: string;
  align?: 'start' | 'end';
  disabled?: boolean;
}

const GAP = 4;

/** A button with a menu: arrow keys move, Escape and a click elsewhere close. */
export function Menu({ label, items, children, class: cls, title, align = 'end', disabled }: Props): VNode {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const wasOpen = useRef(false);
  const id = useId();

  useEffect(() => {
    const box = list.current;
    if (!open || !box || !button.current) return;
    box.showPopover();
    place(box, button.current, align);
    (
      box.querySelector<HTMLElement>('[aria-checked="true"]') ?? box.querySelector<HTMLElement>('[role^="menuitem"]')
    )?.focus();
    const close = (e: Event): void => {
      if ((e as ToggleEvent).newState === 'closed') setOpen(false);
    };
    const away = (): void => setOpen(false);
    box.addEventListener('toggle', close);
    addEventListener('resize', away);
    return () => {
      box.removeEventListener('toggle', close);
      removeEventListener('resize', away);
    };
  }, [open]);

  const done = (run?: () => void): void => {
    setOpen(false);
    button.current?.focus();
    run?.();
  };
  const onKey = (e: KeyboardEvent): void => {
    const all = [...list.current!.querySelectorAll<HTMLElement>('[role^="menuitem"]')];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[e.key];
    if (to !== undefined) {
      e.preventDefault();
      all[(to + all.length) % all.length]?.focus();
    } else if (e.key === 'Escape') {
      e.preventDefault();
      e.stopPropagation();
      done();
    } else if (e.key === 'Tab') setOpen(false);
  };

  return (
    <>
      <button
        ref={button}
        type="button"
        class={cls ?? 'icon-button'}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={label}
        title={title ?? label}
        disabled={disabled}
        onPointerDown={() => {
          // The same press closes an open popover before the click comes.
          wasOpen.current = open;
        }}
        onClick={(e) => {
          e.preventDefault();
          e.stopPropagation();
          setOpen(e.detail === 0 ? !open : !wasOpen.current);
        }}
      >
        {children}
      </button>
      {open && (
        <div ref={list} id={id} class="menu" role="menu" aria-label={label} popover="auto" onKeyDown={onKey}>
          {items.map((i) => (
            <button
              type="button"
              key={i.label}
              class={i.danger ? 'menu-item danger' : 'menu-item'}
              role={i.checked === undefined ? 'menuitem' : 'menuitemradio'}
              aria-checked={i.checked}
              tabIndex={-1}
              onClick={(e) => {
                e.stopPropagation();
                done(i.run);
              }}
            >
              {i.checked !== undefined ? (
                <span class="menu-tick">{i.checked && <Icon name="check" />}</span>
              ) : (
                i.icon && <Icon name={i.icon} />
              )}
              <span class="menu-text">
                {i.label}
                {i.note && <span class="menu-note">{i.note}</span>}
              </span>
            </button>
          ))}
        </div>
      )}
    </>
  );
}

/** Puts a popover beside its button, inside the window. */
function place(box: HTMLElement, by: HTMLElement, align: 'start' | 'end'): void {
  const b = by.getBoundingClientRect();
  const w = box.offsetWidth;
  const h = box.offsetHeight;
  const rtl = getComputedStyle(by).direction === 'rtl';
  const left = (align === 'start') !== rtl ? b.left : b.right - w;
  const below = b.bottom + GAP + h <= innerHeight || b.top < h + GAP;
  box.style.left = `${Math.max(8, Math.min(left, innerWidth - w - 8))}px`;
  box.style.top = `${Math.max(8, below ? Math.min(b.bottom + GAP, innerHeight - h - 8) : b.top - GAP - h)}px`;
}
