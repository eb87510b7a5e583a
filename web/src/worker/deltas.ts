// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Streamed text on its way to the page: at most one event a frame for a message,
// and always before any other event about it.

import type { WorkerEvent } from '../core/wire.ts';

type Delta = Extract<WorkerEvent, { t: 'delta' }>;

const FRAME_MS = 16;

export class Deltas {
  private held = new Map<string, Delta>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly emit: (e: WorkerEvent) => void) {}

  add(d: Delta): void {
    const before = this.held.get(d.message);
    if (before) {
      before.text += d.text;
      if (d.reasoning) before.reasoning = (before.reasoning ?? '') + d.reasoning;
    } else {
      this.held.set(d.message, { ...d });
    }
    this.timer ??= setTimeout(() => this.flush(), FRAME_MS);
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const held = [...this.held.values()];
    this.held.clear();
    for (const d of held) this.emit(d);
  }
}
