// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { Message } from '../core/protocol.ts';
import { LiveText } from '../markdown/stream.ts';
import { isLive } from './messages.ts';

/** The growing texts of the chat on the screen, made when first asked for. */
export class LiveTexts {
  private texts = new Map<string, LiveText>();

  text(m: Message): LiveText {
    return this.of(m.id, m.text);
  }

  reasoning(m: Message): LiveText {
    return this.of(`${m.id} reasoning`, m.reasoning ?? '');
  }

  /** Takes what the core has of an answer. One that is finished and not on the screen stays unread. */
  update(m: Message): void {
    const done = !isLive(m);
    if (!done || this.texts.has(m.id)) this.text(m).set(m.text, done);
    if (m.reasoning && (!done || this.texts.has(`${m.id} reasoning`))) this.reasoning(m).set(m.reasoning, done);
  }

  /** The whole text of a message as it is now. */
  whole(m: Message): string {
    return this.texts.get(m.id)?.text ?? m.text;
  }

  clear(): void {
    this.texts.clear();
  }

  private of(key: string, text: string): LiveText {
    let l = this.texts.get(key);
    if (!l) {
      l = new LiveText(text);
      this.texts.set(key, l);
    }
    return l;
  }
}
