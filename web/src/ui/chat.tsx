// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { TrustState } from '../core/protocol.ts';
import { Composer } from './composer.tsx';
import { Icon } from './icons.tsx';
import { Log } from './log.tsx';
import { Menu } from './menu.tsx';
import { ModelPicker } from './models.tsx';
import { rowItems, SidebarButton, TitleInput, useFocusAfter } from './sidebar.tsx';
import { useStore } from './store.ts';
import { t } from './strings.ts';

/** One chat, or the place where a new one starts. */
export function Chat(): VNode {
  const store = useStore();
  const view = store.view.value;
  const empty = !view || view.messages.length === 0;
  const opening = store.route.value.at === 'chat' && !view && !store.missing.value;
  return (
    <>
      <Header />
      {store.missing.value ? (
        <Missing />
      ) : opening ? (
        <Opening />
      ) : empty ? (
        <main class="fresh">
          <Fresh />
          <Composer />
          <Starters />
        </main>
      ) : (
        <main class="chat">
          <Log />
          <Composer />
        </main>
      )}
    </>
  );
}

/** Title, model and the temporary switch. */
function Header(): VNode {
  const store = useStore();
  const [naming, setNaming] = useState(false);
  const title = useRef<HTMLDivElement>(null);
  const ended = useFocusAfter(naming, () => title.current?.querySelector('button'));
  const chat = store.view.value?.chat;
  useEffect(() => setNaming(false), [chat?.id]);
  const listed = chat && !chat.temporary ? (store.chats.value.find((c) => c.id === chat.id) ?? chat) : undefined;
  const temporary = chat ? chat.temporary : store.temporary.value;
  const empty = !chat || store.view.value!.messages.length === 0;
  return (
    <header class="head">
      <SidebarButton />
      <div class="head-title" ref={title}>
        {naming && listed ? (
          <TitleInput
            key={listed.id}
            chat={listed}
            class="head-rename"
            onDone={(byKey) => {
              ended(byKey);
              setNaming(false);
            }}
          />
        ) : (
          <h1 class={empty && !temporary && !store.missing.value ? 'visually-hidden' : listed ? '' : 'faint'}>
            <bdi>{temporary ? t.chat.temporary : listed?.title || t.chat.newTitle}</bdi>
          </h1>
        )}
        {listed && !naming && !empty && (
          <Menu
            label={t.sidebar.actions(listed.title || t.sidebar.untitled)}
            title={t.menu}
            align="start"
            class="icon-button small"
            items={rowItems(store, listed, () => setNaming(true))}
          >
            <Icon name="down" />
          </Menu>
        )}
      </div>
      <div class="head-tools">
        <ModelPicker />
        {(empty || temporary) && (
          <button
            type="button"
            class="icon-button"
            aria-pressed={temporary}
            aria-label={t.chat.temporary}
            title={temporary ? t.chat.temporaryOn : t.chat.temporary}
            onClick={() => {
              if (!empty) store.newChat();
              else if (chat) store.newChat();
              else store.temporary.value = !temporary;
            }}
          >
            <Icon name="temporary" />
          </button>
        )}
        {!empty && (
          <button
            type="button"
            class="icon-button"
            aria-label={t.sidebar.newChat}
            title={t.sidebar.newChat}
            onClick={() => store.newChat()}
          >
            <Icon name="compose" />
          </button>
        )}
      </div>
    </header>
  );
}

/** What may be claimed above an empty chat, for each state of the machine. */
const LEAD = {
  checking: 'waiting',
  verified: 'private',
  'verified-old': 'private',
  changed: 'private',
  unknown: 'stopped',
  failed: 'stopped',
  consent: 'demo',
  demo: 'demo',
} as const satisfies Record<TrustState, keyof typeof t.chat.emptyLead>;

function Fresh(): VNode {
  const store = useStore();
  const temporary = store.temporary.value || store.view.value?.chat.temporary;
  return (
    <div class="fresh-words">
      <h2>{temporary ? t.chat.temporary : t.chat.emptyTitle}</h2>
      {temporary && <p class="lead">{t.chat.temporaryBanner}</p>}
      <p class="lead">{t.chat.emptyLead[LEAD[store.trust.value.state]]}</p>
    </div>
  );
}

function Starters(): VNode | null {
  const store = useStore();
  if (store.queued.value) return null;
  return (
    <ul class="starters">
      {t.chat.starters.map((s) => (
        <li key={s}>
          <button type="button" class="starter" onClick={() => store.submit(s)}>
            {s}
          </button>
        </li>
      ))}
    </ul>
  );
}

function Missing(): VNode {
  const store = useStore();
  return (
    <main class="fresh">
      <div class="fresh-words">
        <h2>{t.chat.missingTitle}</h2>
        <p class="lead">{t.chat.missing}</p>
        <button type="button" class="button" onClick={() => store.newChat()}>
          {t.chat.startNew}
        </button>
      </div>
    </main>
  );
}

function Opening(): VNode {
  return (
    <main class="chat" aria-busy="true">
      <p class="visually-hidden" role="status">
        {t.loading}
      </p>
      <div class="log-in opening" aria-hidden="true">
        <span class="skeleton bubble" />
        <span class="skeleton w84" />
        <span class="skeleton w84" />
        <span class="skeleton w52" />
      </div>
    </main>
  );
}
