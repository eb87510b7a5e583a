// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { Message } from '../core/protocol.ts';
import { Blocks } from '../markdown/render.tsx';
import type { LiveText } from '../markdown/stream.ts';
import { versions } from './branches.ts';
import { CopyButton } from './copy.tsx';
import { Icon } from './icons.tsx';
import { memo } from './memo.ts';
import { Menu } from './menu.tsx';
import { modelNote } from './models.tsx';
import { isLive } from './messages.ts';
import { useStore } from './store.ts';
import { t } from './strings.ts';

interface Props {
  message: Message;
  last: boolean;
}

/** One message. Drawn again only when it changed; its growing text draws itself. */
export const MessageView = memo<Props>(({ message, last }) =>
  message.role === 'user' ? <UserMessage message={message} last={last} /> : <Answer message={message} last={last} />,
);

function UserMessage({ message }: Props): VNode {
  const store = useStore();
  if (store.editing.value === message.id) return <Edit message={message} />;
  return (
    <article class="message user" id={`m-${message.id}`} aria-label={t.chat.you}>
      <div class="bubble" dir="auto">
        {message.text}
      </div>
      <div class="message-actions" role="group" aria-label={t.message.actions}>
        {message.unsaved && <span class="message-note">{t.message.unsaved}</span>}
        <CopyButton text={() => message.text} label={t.message.copy} small />
        <button
          type="button"
          class="icon-button small"
          title={t.message.edit}
          aria-label={t.message.edit}
          disabled={store.busy.value}
          onClick={() => (store.editing.value = message.id)}
        >
          <Icon name="edit" />
        </button>
        <Versions message={message} />
      </div>
    </article>
  );
}

function Edit({ message }: { message: Message }): VNode {
  const store = useStore();
  const [text, setText] = useState(message.text);
  const cancel = (): void => void (store.editing.value = '');
  const send = (): void => {
    if (text.trim() !== '' && store.submit(text, message.parent)) cancel();
  };
  return (
    <form
      class="message user editing"
      id={`m-${message.id}`}
      onSubmit={(e) => {
        e.preventDefault();
        send();
      }}
    >
      <textarea
        class="input"
        rows={Math.min(10, text.split('\n').length + 1)}
        autocomplete="off"
        value={text}
        dir="auto"
        aria-label={t.message.edit}
        ref={focusHere}
        onInput={(e) => setText(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === 'Escape') {
            e.stopPropagation();
            cancel();
          }
          if (e.key === 'Enter' && (e.metaKey || e.ctrlKey)) send();
        }}
      />
      <div class="editing-foot">
        <span class="hint">{t.composer.editing}</span>
        <button type="button" class="button quiet" onClick={cancel}>
          {t.cancel}
        </button>
        <button type="submit" class="button primary" disabled={text.trim() === ''}>
          {t.composer.save}
        </button>
      </div>
    </form>
  );
}

/** Focuses a field that has just appeared, and brings it into view. */
function focusHere(el: HTMLTextAreaElement | null): void {
  el?.focus({ preventScroll: true });
  el?.scrollIntoView({ block: 'center' });
}

function Answer({ message, last }: Props): VNode {
  const store = useStore();
  const live = isLive(message);
  const body = store.live.text(message);
  if (!live) body.set(message.text, true);
  return (
    <article
      class={last ? 'message answer last' : 'message answer'}
      id={`m-${message.id}`}
      aria-label={t.chat.assistant}
      aria-busy={live}
    >
      {(live || message.reasoning) && <Reasoning message={message} />}
      <Body live={body} />
      <Status message={message} live={body} />
      {!live && <Actions message={message} />}
    </article>
  );
}

/** Reads the growing blocks, so that a frame of text draws this and nothing else. */
function Body({ live }: { live: LiveText }): VNode {
  return (
    <div class="md" dir="auto">
      <Blocks blocks={live.blocks.value} />
    </div>
  );
}

/** What the model said to itself, folded away. */
function Reasoning({ message }: { message: Message }): VNode | null {
  const store = useStore();
  const live = store.live.reasoning(message);
  if (!isLive(message)) live.set(message.reasoning ?? '', true);
  const blocks = live.blocks.value;
  if (blocks.length === 0) return null;
  const thinking = isLive(message) && store.live.text(message).blocks.value.length === 0;
  return (
    <details class="reasoning">
      <summary>
        <Icon name="right" />
        {thinking ? t.message.thinking : t.message.thought}
        {thinking && <span class="busy-dot" />}
      </summary>
      <div class="md faint">
        <Blocks blocks={blocks} />
      </div>
    </details>
  );
}

/** What is happening to this answer, in words. */
function Status({ message, live }: { message: Message; live: LiveText }): VNode | null {
  const store = useStore();
  const waiting = live.blocks.value.length === 0;
  switch (message.status) {
    case 'sending':
    case 'streaming':
      // Words on the screen say enough, and thinking has its own line.
      if (!waiting || store.live.reasoning(message).blocks.value.length > 0) return null;
      return (
        <p class="answer-status">
          <span class="busy-dot" />
          {message.status === 'sending' ? t.message.sending : t.message.waiting}
        </p>
      );
    case 'reconnecting':
      return (
        <p class="answer-status" role="status">
          <span class="busy-dot" />
          {t.message.reconnecting}
        </p>
      );
    case 'stopped':
      return <p class="answer-status">{message.error || t.message.stopped}</p>;
    case 'failed':
      return (
        <div class="answer-failed" role="alert">
          <p>{message.error || t.message.failed}</p>
          <button
            type="button"
            class="button"
            disabled={store.busy.value}
            onClick={() => void store.regenerate(message)}
          >
            <Icon name="again" />
            {t.tryAgain}
          </button>
        </div>
      );
    default:
      return null;
  }
}

function Actions({ message }: { message: Message }): VNode {
  const store = useStore();
  const models = store.models.value;
  const receipt = message.receipt;
  const demo = receipt?.state === 'demo';
  return (
    <div class="message-actions" role="group" aria-label={t.message.actions}>
      {message.text !== '' && <CopyButton text={() => message.text} label={t.message.copy} small />}
      <button
        type="button"
        class="icon-button small"
        title={t.message.regenerate}
        aria-label={t.message.regenerate}
        disabled={store.busy.value}
        onClick={() => void store.regenerate(message)}
      >
        <Icon name="again" />
      </button>
      {models.length > 1 && (
        <Menu
          label={t.message.regenerateWith}
          class="icon-button small"
          align="start"
          disabled={store.busy.value}
          items={models.map((m) => ({
            label: m.name,
            note: modelNote(m),
            checked: m.id === message.model,
            run: () => void store.regenerate(message, m.id),
          }))}
        >
          <Icon name="down" />
        </Menu>
      )}
      <Versions message={message} />
      <span class="message-meta">
        {message.unsaved && <span class="message-note">{t.message.unsaved}</span>}
        {message.model && <span class="message-note">{store.modelName(message.model)}</span>}
        {receipt && (
          <button
            type="button"
            class={demo ? 'receipt demo' : 'receipt'}
            title={t.message.receiptLabel}
            onClick={() => (store.overlay.value = { is: 'receipt', receipt })}
          >
            <Icon name={demo ? 'trust-demo' : 'check'} />
            {demo ? t.message.receiptDemo : t.message.receipt}
          </button>
        )}
      </span>
    </div>
  );
}

/** ‹ 2/3 ›: the versions that editing and asking again have made. */
function Versions({ message }: { message: Message }): VNode | null {
  const store = useStore();
  const all = versions(store.tree.value, message);
  if (all.length < 2) return null;
  const at = all.findIndex((m) => m.id === message.id);
  const go = (to: number): void => store.showVersion(all[to]!.id);
  return (
    <span class="versions" role="group" aria-label={t.message.branchLabel(at + 1, all.length)}>
      <button
        type="button"
        class="icon-button small"
        aria-label={t.message.previous}
        title={t.message.previous}
        disabled={at === 0}
        onClick={() => go(at - 1)}
      >
        <Icon name="left" />
      </button>
      <span class="versions-count" aria-hidden="true">
        {t.message.branch(at + 1, all.length)}
      </span>
      <button
        type="button"
        class="icon-button small"
        aria-label={t.message.next}
        title={t.message.next}
        disabled={at === all.length - 1}
        onClick={() => go(at + 1)}
      >
        <Icon name="right" />
      </button>
    </span>
  );
}
