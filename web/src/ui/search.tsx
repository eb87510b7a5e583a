// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Hit } from '../core/protocol.ts';
import { shortDay } from './dates.ts';
import { Dialog } from './dialog.tsx';
import { Icon } from './icons.tsx';
import { sentence } from './errors.ts';
import { useStore } from './store.ts';
import { t } from './strings.ts';

/** Pause in typing before a search starts, in milliseconds. */
const PAUSE = 80;

/** Searches titles and content on this device. Arrow keys move, Enter opens. */
export function Search({ onClose }: { onClose: () => void }): VNode {
  const store = useStore();
  const [query, setQuery] = useState('');
  const [hits, setHits] = useState<Hit[] | null>(null);
  const [error, setError] = useState('');
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const asked = useRef(0);
  const found = useRef('');
  const chats = store.chats.value;

  // Asked again when chats have come in: the words may be in one of them.
  useEffect(() => {
    const q = query.trim();
    const turn = ++asked.current;
    if (q === '') {
      setHits(null);
      return;
    }
    const timer = setTimeout(() => {
      store.core!.search(q).then(
        (h) => {
          if (turn !== asked.current) return;
          setHits(h);
          const same = q === found.current;
          setAt((i) => (same ? Math.min(i, Math.max(0, h.length - 1)) : 0));
          found.current = q;
          setError('');
        },
        (e) => turn === asked.current && setError(sentence(e)),
      );
    }, PAUSE);
    return () => clearTimeout(timer);
  }, [query, chats]);

  const recent: Hit[] = chats
    .filter((c) => !store.leaving.value.has(c.id))
    .slice(0, 6)
    .map((c) => ({
      chat: c.id,
      message: '',
      title: c.title,
      role: 'title',
      snippet: '',
      marks: [],
      created: c.updated,
    }));
  const rows = hits ?? recent;
  const open = (h: Hit | undefined): void => {
    if (!h) return;
    onClose();
    if (h.message) store.goToMessage(h.chat, h.message);
    else store.go({ at: 'chat', id: h.chat });
  };
  const move = (by: number): void => {
    if (rows.length === 0) return;
    const to = (at + by + rows.length) % rows.length;
    setAt(to);
    list.current?.children[to]?.scrollIntoView({ block: 'nearest' });
  };

  return (
    <Dialog title={t.search.title} shape="top" bare onClose={onClose} class="search">
      <div class="search-box">
        <Icon name="search" />
        <input
          class="search-input"
          type="text"
          value={query}
          enterkeyhint="search"
          placeholder={t.search.placeholder}
          aria-label={t.search.label}
          role="combobox"
          aria-expanded={rows.length > 0}
          aria-controls="search-list"
          aria-activedescendant={rows.length > 0 ? `hit-${at}` : undefined}
          autocomplete="off"
          spellcheck={false}
          autofocus
          onInput={(e) => setQuery(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.isComposing) return;
            if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
              e.preventDefault();
              move(e.key === 'ArrowDown' ? 1 : -1);
            } else if (e.key === 'Enter') {
              e.preventDefault();
              open(rows[at]);
            }
          }}
        />
        <button type="button" class="icon-button" aria-label={t.close} title={t.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <div class="search-results">
        {hits === null && recent.length > 0 && <p class="side-title">{t.search.recent}</p>}
        <ul id="search-list" ref={list} role="listbox" aria-label={t.search.title}>
          {rows.map((h, i) => (
            <li
              key={`${h.chat} ${h.message} ${i}`}
              id={`hit-${i}`}
              role="option"
              aria-selected={i === at}
              class={i === at ? 'hit here' : 'hit'}
              onMouseMove={() => setAt(i)}
              onClick={() => open(h)}
            >
              <span class="hit-title">
                <bdi>
                  {h.role === 'title' && h.snippet === h.title ? marked(h.title, h.marks) : h.title || t.sidebar.untitled}
                </bdi>
                <span class="hit-date">{shortDay(h.created)}</span>
              </span>
              {h.role !== 'title' && h.snippet && (
                <span class="hit-text">
                  <span class="hit-role">{h.role === 'user' ? t.search.you : t.search.answer}</span>
                  <bdi>{marked(h.snippet, h.marks)}</bdi>
                </span>
              )}
            </li>
          ))}
        </ul>
        {hits?.length === 0 && !error && <p class="search-none">{t.search.none(query.trim())}</p>}
        {error && <p class="problem">{error}</p>}
      </div>
      <p class="search-foot">
        {t.search.hint}
        <span role="status" class="visually-hidden">
          {hits ? t.search.count(hits.length) : ''}
        </span>
      </p>
    </Dialog>
  );
}

/** `text` with its ranges marked; ranges out of order or out of the text are left out. */
export function marked(text: string, marks: readonly (readonly [number, number])[]): ComponentChildren[] {
  const out: ComponentChildren[] = [];
  let from = 0;
  for (const [start, end] of marks) {
    if (start < from || end <= start || end > text.length) continue;
    out.push(text.slice(from, start), <mark>{text.slice(start, end)}</mark>);
    from = end;
  }
  out.push(text.slice(from));
  return out;
}
