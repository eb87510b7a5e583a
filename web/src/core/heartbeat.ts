// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Notices a Worker that has gone without a word: a browser that is short of
// memory ends one, and no event says so.

/** How often the Worker is asked, in milliseconds. */
const BEAT_MS = 15_000;
/** Beats that pass without an answer before it counts as gone: a minute, since stretching a passphrase takes a while. */
const MISSES = 4;

/** Asks while the page is on the screen. Beats are counted, not time: a computer that slept has missed none. */
export class Heartbeat {
  private timer: ReturnType<typeof setInterval> | undefined;
  private asked = false;
  private missed = 0;

  constructor(
    private readonly ping: () => Promise<unknown>,
    private readonly gone: () => void,
  ) {}

  start(): void {
    this.stop();
    this.timer = setInterval(() => this.beat(), BEAT_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.asked = false;
    this.missed = 0;
  }

  private beat(): void {
    if (this.timer === undefined) return;
    if (document.visibilityState !== 'visible') {
      this.missed = 0;
    } else if (!this.asked) {
      const { timer } = this;
      this.asked = true;
      const answered = (): void => {
        if (timer !== this.timer) return; // of a Worker that was ended since
        this.asked = false;
        this.missed = 0;
      };
      this.ping().then(answered, answered);
    } else if (++this.missed >= MISSES) {
      this.stop();
      this.gone();
    }
  }
}
