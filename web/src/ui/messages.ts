// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ChatView, Message } from '../core/protocol.ts';
import { t } from './strings.ts';

/** Longest text read out at once; the rest is in the conversation. */
const SAID = 4_000;

/** `now` with the objects of `before` where nothing changed, so that only what changed is drawn again. */
export function sameWhereEqual(before: readonly Message[], now: readonly Message[]): Message[] {
  const old = new Map(before.map((m) => [m.id, m]));
  return now.map((m) => {
    const o = old.get(m.id);
    return o && JSON.stringify(o) === JSON.stringify(m) ? o : m;
  });
}

/** An answer that is still being written. */
export function isLive(m: Message): boolean {
  return m.status === 'sending' || m.status === 'streaming' || m.status === 'reconnecting';
}

/** What a screen reader should hear of a change: that an answer started, and the whole of it when it has ended. */
export function announcement(before: ChatView | null, now: ChatView): string {
  if (!before || before.chat.id !== now.chat.id) return '';
  const was = new Map(before.messages.map((m) => [m.id, m]));
  let say = '';
  for (const m of now.messages) {
    const old = was.get(m.id);
    if (m.role !== 'assistant' || (old && !isLive(old))) continue;
    if (isLive(m)) say = old ? say : t.message.started;
    else if (!old) continue;
    else if (m.status === 'complete') say = t.message.finished(m.text.slice(0, SAID));
    else say = m.status === 'stopped' ? t.message.stoppedSay : t.message.failedSay(m.error ?? '');
  }
  return say;
}
