// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { ChatSummary } from '../core/protocol.ts';
import { saveFile } from './copy.tsx';
import { sections, type Section } from './dates.ts';
import { Icon, Mark } from './icons.tsx';
import { Menu, type Item } from './menu.tsx';
import { useStore, type Store } from './store.ts';
import { t } from './strings.ts';

/** Chats listed before asking for older ones. */
const PAGE = 150;

/** History by date, and the ways to everything else. */
export function Sidebar(): VNode {
  const store = useStore();
  const gone = store.leaving.value;
  // The list stands still while a title is written: a row that moves would take the field away.
  const listed = useRef(store.chats.value);
  const now = store.chats.value;
  if (store.naming.value === '') listed.current = now;
  const all = listed.current.filter((c) => !gone.has(c.id) && !c.temporary);
  const archived = all.filter((c) => c.archived);
  const progress = store.progress.value;
  const [limit, setLimit] = useState(PAGE);
  return (
    <nav class="sidebar" aria-label={t.sidebar.label} id="sidebar">
      <div class="sidebar-top">
        <p class="wordmark">
          <Mark />
          {t.name}
        </p>
        <button
          type="button"
          class="icon-button"
          aria-label={t.sidebar.close}
          title={t.sidebar.close}
          onClick={() => closeSidebar(store)}
        >
          <Icon name="sidebar" />
        </button>
      </div>
      <div class="sidebar-actions">
        <a
          class="side-link"
          href="/"
          onClick={(e) => {
            e.preventDefault();
            store.newChat();
          }}
        >
          <Icon name="compose" />
          {t.sidebar.newChat}
        </a>
        <button type="button" class="side-link" onClick={() => (store.overlay.value = { is: 'search' })}>
          <Icon name="search" />
          {t.sidebar.search}
        </button>
      </div>
      <div class="sidebar-list">
        {progress < 1 && (
          <p class="sidebar-note" role="status">
            {t.sidebar.loading(Math.round(progress * 100))}
          </p>
        )}
        {!store.chatsKnown.value && progress >= 1 && <Skeleton />}
        {store.chatsKnown.value && all.length === 0 && <p class="sidebar-note">{t.sidebar.empty}</p>}
        {sections(all, Date.now(), limit).map((s) => (
          <Group key={s.key} section={s} />
        ))}
        {all.length - archived.length > limit && (
          <button type="button" class="side-link side-more-chats" onClick={() => setLimit(limit * 2)}>
            {t.sidebar.older}
          </button>
        )}
        {archived.length > 0 && (
          <details class="side-archive">
            <summary class="side-title">
              <Icon name="right" />
              {t.sidebar.archived}
            </summary>
            <ul>
              {archived.map((c) => (
                <Row key={c.id} chat={c} />
              ))}
            </ul>
          </details>
        )}
      </div>
      <div class="sidebar-foot">
        <a
          class="side-link"
          href="/settings"
          aria-current={store.route.value.at === 'settings' ? 'page' : undefined}
          onClick={(e) => {
            e.preventDefault();
            store.go({ at: 'settings' });
          }}
        >
          <Icon name="settings" />
          {t.sidebar.settings}
        </a>
        {!matchMedia('(pointer: coarse)').matches && (
          <button
            type="button"
            class="icon-button"
            aria-label={t.sidebar.help}
            title={t.sidebar.help}
            onClick={() => (store.overlay.value = { is: 'help' })}
          >
            <Icon name="keyboard" />
          </button>
        )}
        <button
          type="button"
          class="icon-button"
          aria-label={t.sidebar.lock}
          title={t.sidebar.lock}
          onClick={() => store.do(store.core!.lock())}
        >
          <Icon name="trust-verified" />
        </button>
      </div>
    </nav>
  );
}

/** Shows the sidebar where it is hidden. */
export function SidebarButton(): VNode {
  const store = useStore();
  const open = (): void => {
    if (matchMedia('(max-width: 760px)').matches) store.drawer.value = true;
    else store.sidebar.value = true;
  };
  return (
    <button
      type="button"
      class={store.sidebar.value ? 'icon-button head-side phone-only' : 'icon-button head-side'}
      aria-label={t.sidebar.open}
      title={t.sidebar.open}
      aria-controls="sidebar"
      onClick={open}
    >
      <Icon name="sidebar" />
    </button>
  );
}

/** Hides the sidebar, or closes the drawer it is on a phone. */
export function closeSidebar(store: Store): void {
  if (store.drawer.value) store.drawer.value = false;
  else store.sidebar.value = false;
}

function Group({ section }: { section: Section }): VNode {
  return (
    <section aria-labelledby={`side-${section.key}`}>
      <h2 class="side-title" id={`side-${section.key}`}>
        {section.title}
      </h2>
      <ul>
        {section.chats.map((c) => (
          <Row key={c.id} chat={c} />
        ))}
      </ul>
    </section>
  );
}

function Row({ chat }: { chat: ChatSummary }): VNode {
  const store = useStore();
  const naming = store.naming.value === chat.id;
  const link = useRef<HTMLAnchorElement>(null);
  const ended = useFocusAfter(naming, () => link.current);
  const title = chat.title || t.sidebar.untitled;
  const route = store.route.value;
  const here = route.at === 'chat' && route.id === chat.id;
  if (naming) {
    return (
      <li class="side-row">
        <TitleInput
          chat={chat}
          class="side-rename"
          onDone={(byKey) => {
            ended(byKey);
            store.naming.value = '';
          }}
        />
      </li>
    );
  }
  return (
    <li class={here ? 'side-row here' : 'side-row'}>
      <a
        ref={link}
        class="side-chat"
        href={`/chat/${chat.id}`}
        title={title}
        aria-current={here ? 'page' : undefined}
        onClick={(e) => {
          if (e.metaKey || e.ctrlKey || e.shiftKey) return;
          e.preventDefault();
          store.go({ at: 'chat', id: chat.id });
        }}
        onDblClick={() => (store.naming.value = chat.id)}
      >
        <bdi>{title}</bdi>
        {chat.busy && <span class="busy-dot" role="img" aria-label={t.sidebar.busy} />}
      </a>
      <Menu
        label={t.sidebar.actions(title)}
        title={t.menu}
        items={rowItems(store, chat, () => (store.naming.value = chat.id))}
        class="icon-button small side-more"
      >
        <Icon name="more" />
      </Menu>
    </li>
  );
}

/** What can be done with a chat; the header offers the same. */
export function rowItems(store: Store, chat: ChatSummary, rename: () => void): Item[] {
  const core = store.core!;
  const name =
    (chat.title || t.sidebar.untitled)
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .trim()
      .slice(0, 60) || 'chat';
  const exportAs = (as: 'md' | 'json'): void =>
    void (store.overlay.value = {
      is: 'confirm',
      title: t.settings.exportTitle,
      text: t.settings.exportText,
      go: t.settings.exportGo,
      danger: false,
      run: async () =>
        saveFile(
          `${name}.${as}`,
          await core.exportChat(chat.id, as),
          as === 'md' ? 'text/markdown' : 'application/json',
        ),
    });
  return [
    { label: t.sidebar.rename, icon: 'edit', run: rename },
    {
      label: chat.pinned ? t.sidebar.unpin : t.sidebar.pin,
      icon: 'pin',
      run: () => store.do(core.pin(chat.id, !chat.pinned)),
    },
    {
      label: chat.archived ? t.sidebar.unarchive : t.sidebar.archive,
      icon: 'archive',
      run: () => {
        const on = !chat.archived;
        store.do(core.archive(chat.id, on));
        if (on)
          store.toast(t.sidebar.archivedToast(chat.title || t.sidebar.untitled), {
            label: t.sidebar.undo,
            run: () => store.do(core.archive(chat.id, false)),
          });
      },
    },
    { label: t.sidebar.exportMd, icon: 'download', run: () => exportAs('md') },
    { label: t.sidebar.exportJson, icon: 'download', run: () => exportAs('json') },
    { label: t.sidebar.remove, icon: 'trash', danger: true, run: () => store.remove(chat) },
  ];
}

/** Gives the focus to what stands where a field was, if a key ended the writing there. */
export function useFocusAfter(writing: boolean, what: () => HTMLElement | null | undefined): (byKey: boolean) => void {
  const back = useRef(false);
  useLayoutEffect(() => {
    if (!writing && back.current) what()?.focus();
    back.current = false;
  }, [writing]);
  return (byKey) => void (back.current = byKey);
}

/** Renames in place: Enter keeps, Escape leaves it as it was. Says whether a key ended it. */
export function TitleInput({
  chat,
  onDone,
  class: cls,
}: {
  chat: ChatSummary;
  onDone: (byKey: boolean) => void;
  class: string;
}): VNode {
  const store = useStore();
  const ref = useRef<HTMLInputElement>(null);
  const over = useRef(false);
  // At once: a person types on after a double click.
  useLayoutEffect(() => {
    ref.current!.focus({ preventScroll: true });
    ref.current!.select();
  }, []);
  const end = (keep: boolean, byKey: boolean): void => {
    if (over.current) return;
    over.current = true;
    const title = ref.current!.value.trim();
    if (keep && title !== '' && title !== chat.title) store.do(store.core!.rename(chat.id, title));
    onDone(byKey);
  };
  return (
    <input
      ref={ref}
      class={`input ${cls}`}
      defaultValue={chat.title}
      autocomplete="off"
      maxLength={200}
      aria-label={t.sidebar.titleLabel}
      onBlur={() => end(true, false)}
      onKeyDown={(e) => {
        if (e.isComposing) return;
        if (e.key === 'Enter') end(true, true);
        if (e.key === 'Escape') {
          e.stopPropagation();
          end(false, true);
        }
      }}
    />
  );
}

function Skeleton(): VNode {
  return (
    <div class="skeleton-list" aria-hidden="true">
      {[70, 52, 84, 60, 44].map((w) => (
        <span key={w} class={`skeleton w${w}`} />
      ))}
    </div>
  );
}
