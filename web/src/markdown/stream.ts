// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import { signal, type Signal } from '@preact/signals';
import { BlockStream, type Block } from './blocks.ts';

/** How much longer than one drawing took to wait until the next, so that a slow phone keeps half its time. */
const REST = 1.5;

/**
 * The text of one growing answer, drawn at most once a frame, and less often
 * where a frame is costly. Deltas come in any number; `blocks` changes only
 * when it is time to draw.
 */
export class LiveText {
  readonly blocks: Signal<Block[]> = signal([]);
  private stream = new BlockStream();
  private pending = '';
  private scheduled = false;
  private drawnAt = 0;
  private cost = 0;
  private done = false;

  constructor(text = '') {
    this.stream.append(text);
    this.blocks.value = this.stream.blocks();
  }

  get text(): string {
    return this.stream.text + this.pending;
  }

  append(piece: string): void {
    if (piece === '') return;
    this.done = false;
    this.pending += piece;
    this.schedule();
  }

  /** Takes the whole text as the core has it: usually what is here already, and more. */
  set(text: string, done: boolean): void {
    const have = this.text;
    if (!text.startsWith(have)) {
      this.stream = new BlockStream();
      this.pending = text;
    } else this.pending += text.slice(have.length);
    const wasDone = this.done;
    this.done = done;
    if (this.pending !== '' || done !== wasDone) this.draw();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    const wait = this.drawnAt + this.cost * REST - performance.now();
    const frame = (): void => {
      // A hidden page gets no frames, but its text must go on.
      if (document.hidden) setTimeout(() => this.draw(), 250);
      else requestAnimationFrame(() => this.draw());
    };
    if (wait > 16) setTimeout(frame, wait - 8);
    else frame();
  }

  private draw(): void {
    this.scheduled = false;
    const start = performance.now();
    this.stream.append(this.pending);
    this.pending = '';
    this.blocks.value = this.stream.blocks(this.done);
    // Signals draw in a microtask: measure when it is over.
    queueMicrotask(() =>
      setTimeout(() => {
        this.drawnAt = performance.now();
        this.cost = this.drawnAt - start;
      }),
    );
  }
}
