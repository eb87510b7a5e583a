// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Icon } from './icons.tsx';
import { limited } from './limits.ts';
import { PlanLine } from './part.tsx';
import { useStore } from './store.ts';
import { t } from './strings.ts';
import { TrustLine } from './trust.tsx';

/** The message box, with the machine's state beside the button that sends. */
export function Composer(): VNode {
  const store = useStore();
  const [text, setText] = useState(store.draft());
  const [stopping, setStopping] = useState(false);
  const box = useRef<HTMLTextAreaElement>(null);
  const busy = store.busy.value;
  const queued = store.queued.value;
  const key = store.draftKey;
  // A phone's keyboard has no Shift+Enter: there, Enter is always a new line.
  const enterSends = store.settings.value.enterSends && !matchMedia('(pointer: coarse)').matches;

  const write = (s: string): void => {
    setText(s);
    store.keepDraft(s);
  };

  // Another chat, another draft; and a message that could not be sent comes back.
  useEffect(() => setText(store.draft()), [store.view.value?.chat.id, store.problem.value]);
  useLayoutEffect(() => {
    const b = box.current!;
    b.style.height = 'auto';
    b.style.height = `${b.scrollHeight}px`;
  }, [text, key]);
  const take = (): void => {
    if (!matchMedia('(pointer: coarse)').matches) box.current?.focus({ preventScroll: true });
  };
  // A chat that opens is written to next, unless the person is writing elsewhere: a double click on a
  // title goes to the chat and renames it, and taking the focus would end the renaming.
  useEffect(() => {
    if (!document.activeElement?.matches('input, textarea')) take();
  }, [store.route.value, store.view.value?.chat.id]);
  // What had the focus may be gone with a dialog or an edited message: then it isn't left to nothing.
  useEffect(() => {
    const at = document.activeElement;
    if (!store.overlay.value && store.editing.value === '' && (!at || at === document.body)) take();
  }, [store.overlay.value, store.editing.value]);
  useEffect(() => {
    if (!busy) setStopping(false);
  }, [busy]);

  const send = (): void => {
    const body = text.trim();
    if (body === '' || busy || queued) return;
    if (store.submit(body)) write('');
  };
  const onKey = (e: KeyboardEvent): void => {
    if (e.isComposing) return;
    const mod = e.metaKey || e.ctrlKey;
    if (e.key === 'Enter' && (mod || (enterSends && !e.shiftKey))) {
      e.preventDefault();
      send();
    }
    if (e.key === 'ArrowUp' && text === '' && !busy) {
      const mine = store.path.value.findLast((m) => m.role === 'user');
      if (mine) {
        e.preventDefault();
        store.editing.value = mine.id;
      }
    }
  };

  return (
    <form
      class="composer"
      onSubmit={(e) => {
        e.preventDefault();
        send();
      }}
    >
      <Problems />
      {limited(store.plan.value) && <PlanLine />}
      {queued && (
        <div class="composer-queued" role="status">
          <p>
            <span class="composer-queued-text">{queued.text}</span>
            <span class="hint">{t.composer.queued}</span>
          </p>
          <button type="button" class="button quiet" onClick={() => write(store.unqueue())}>
            {t.composer.unqueue}
          </button>
        </div>
      )}
      <div class="composer-box">
        <textarea
          ref={box}
          id="composer"
          class="composer-text"
          rows={1}
          // Without it browsers write what is typed to their session files, in clear.
          autocomplete="off"
          value={text}
          dir="auto"
          placeholder={t.composer.placeholder}
          aria-label={t.composer.label}
          enterkeyhint={enterSends ? 'send' : 'enter'}
          maxLength={400_000}
          onInput={(e) => write(e.currentTarget.value)}
          onKeyDown={onKey}
        />
        <div class="composer-foot">
          <TrustLine />
          {busy ? (
            <button
              type="button"
              class="send"
              aria-label={stopping ? t.composer.stopping : t.composer.stop}
              title={t.composer.stop}
              disabled={stopping}
              onClick={() => {
                setStopping(true);
                store.stop();
              }}
            >
              <span class="stop-square" />
            </button>
          ) : (
            <button
              type="submit"
              class="send"
              aria-label={t.composer.send}
              title={t.composer.send}
              disabled={text.trim() === '' || !!queued}
            >
              <Icon name="up" />
            </button>
          )}
        </div>
      </div>
    </form>
  );
}

/** Why a message didn't go, and what to do. */
function Problems(): VNode | null {
  const store = useStore();
  const state = store.trust.value.state;
  if (store.problem.value) {
    return (
      <div class="composer-problem" role="alert">
        <p>{store.problem.value}</p>
        <button type="button" class="button quiet" onClick={() => store.retryLast()}>
          {t.tryAgain}
        </button>
      </div>
    );
  }
  if (state === 'failed') {
    return (
      <div class="composer-problem hard" role="alert">
        <p>{store.trust.value.detail || t.trust.failed}</p>
        <button type="button" class="button quiet" onClick={() => (store.overlay.value = { is: 'trust' })}>
          {t.trust.showMe}
        </button>
      </div>
    );
  }
  return null;
}
