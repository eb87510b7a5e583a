// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Keeps this device and the account server's feed the same.
//
// One round at a time: post what the server doesn't have, then fetch what this
// device doesn't have. A round starts when the live stream says that the feed has
// grown, and when the network is back. Every page goes through Go, which believes
// nothing; only what it took is stored.
//
// What was written here is posted some time later, at random, or when the page is
// left: the account server knows who posts, the gateway when a message came, and
// whoever runs both could join the two by their seconds. Until then it lies sealed
// in this browser's queue.

import { api, ApiError, apiText, withAppKey } from './api.ts';
import type { GoCore } from './go.ts';
import type { Entry, Page, Put, Queued, Store } from './store.ts';

/** Records in one post, and characters of their data: the server takes bodies up to 24 MiB. */
const BATCH = 50;
const BATCH_SIZE = 8 << 20;
const PAGE = 500;
const RETRY_MIN = 1_000;
const RETRY_MAX = 60_000;
/** How long what was written is held, at least and at most. */
export const HOLD_MIN = 20_000;
export const HOLD_MAX = 180_000;

export interface SyncHost {
  /** Whether the account server can be reached has changed. */
  reach(offline: boolean): void;
  /** The session isn't good any more. */
  ended(): void;
  /** The server refuses what this device has written. */
  refused(e: ApiError): void;
  /** What this device keeps was replaced by the server's feed and what that lacks. */
  rejoined(): void;
}

export class Sync {
  private wanted = false;
  private round: Promise<void> | null = null;
  private stopped = false;
  private offline = false;
  private delay = RETRY_MIN;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stream: EventSource | null = null;
  private known = 0;
  /** The next round takes the server's feed anew, from its beginning. */
  private anew = false;
  /** The next round posts what is queued. What an earlier visit left goes out at once. */
  private due = true;
  private held: ReturnType<typeof setTimeout> | undefined;
  private problem: unknown = null;

  constructor(
    private readonly go: GoCore,
    private readonly store: Store,
    private readonly account: string,
    private readonly host: SyncHost,
    /** On a person's own machine there is nobody to hide the time from. */
    private readonly atOnce: boolean,
  ) {}

  /** Something was queued: it is posted in a while, with what else comes until then. */
  written(): void {
    if (this.atOnce) return void this.release();
    this.held ??= setTimeout(() => void this.release(), HOLD_MIN + Math.random() * (HOLD_MAX - HOLD_MIN));
  }

  /** Posts what is held, now. Resolves like `poke`. */
  release(): Promise<void> {
    clearTimeout(this.held);
    this.held = undefined;
    this.due = true;
    return this.poke();
  }

  /** Starts a round, or another one after the one that runs. Resolves when nothing is left to do. */
  poke(): Promise<void> {
    this.wanted = true;
    this.round ??= this.run().finally(() => {
      this.round = null;
      if (this.wanted) void this.poke();
    });
    return this.round;
  }

  /** Follows the feed by the live stream. */
  follow(): void {
    if (this.stopped || this.stream) return;
    const stream = new EventSource(withAppKey('/api/v1/feed/stream'), { withCredentials: false });
    this.stream = stream;
    stream.addEventListener('head', (e) => {
      const { seq } = JSON.parse((e as MessageEvent<string>).data) as { seq: number };
      if (seq !== this.known) void this.poke();
    });
    stream.onopen = () => {
      if (this.offline) void this.poke();
    };
    stream.onerror = () => {
      // The browser comes back by itself after a lost connection, but not after
      // a refusal: the next round finds out why.
      if (stream.readyState !== EventSource.CLOSED) return;
      this.stream = null;
      this.later();
    };
  }

  /**
   * Goes on with the server's feed as it is now, after it went back or showed
   * another history and the person agreed. What only this device has is queued
   * for it. Rejects where it didn't come to its end; the next round tries again.
   */
  async rejoin(): Promise<void> {
    this.anew = true;
    await this.poke();
    if (this.anew) throw this.problem ?? new ApiError('offline', 'The server can’t be reached. Check your connection, then try again.', 0);
  }

  /** The network is back, or the page: don't wait for the timer. */
  wake(): void {
    this.delay = RETRY_MIN;
    this.follow();
    void this.poke();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.held);
    this.stream?.close();
  }

  private async run(): Promise<void> {
    while (this.wanted && !this.stopped) {
      this.wanted = false;
      try {
        // Other tabs write to the same queue and the same store.
        await navigator.locks.request('sotto-sync', async () => {
          if (this.anew) await this.restart();
          // What the server shows matters even where it takes nothing, and says why.
          const due = this.due;
          this.due = false;
          const refused = !due ? null : await this.post().then(
            () => null,
            (e: unknown) => {
              this.due = true;
              return e;
            },
          );
          if (refused && !(refused instanceof ApiError && refused.status !== 401 && !refused.offline)) throw refused;
          await this.fetch();
          if (refused) throw refused;
        });
        this.delay = RETRY_MIN;
        this.reach(false);
        this.follow();
      } catch (e) {
        this.failed(e);
      }
    }
    this.wanted = false;
  }

  /** Posts the queue, oldest first. A record keeps its id, so posting twice changes nothing. */
  private async post(): Promise<void> {
    for (;;) {
      const queued = bounded(await this.store.queued(this.account, BATCH));
      if (queued.length === 0) return;
      const entries: Put[] = queued.map((q) => q.put);
      const known = await this.go.call('head', {});
      const answer = await api<{ head: { seq: number; hash: string }; seqs: number[] }>('POST', 'feed', { entries, known });
      const acked = await this.go.call('acked', { puts: entries, seqs: answer.seqs, head: answer.head });
      await this.store.addEntries(this.account, acked.entries);
      await this.store.dequeue(queued.map((q) => q.key));
      if (acked.entries.length > 0) this.known = answer.head.seq;
      if (acked.erased) await this.erase();
    }
  }

  private async fetch(): Promise<void> {
    await this.pages(async (entries, erased) => {
      await this.store.addEntries(this.account, entries);
      if (erased) await this.erase();
    });
  }

  /** Has Go judge page after page, and gives what it took to `keep`. */
  private async pages(keep: (entries: Entry[], erased: boolean) => Promise<void>): Promise<void> {
    for (let again = true; again && !this.stopped; ) {
      const { seq } = await this.go.call('head', {});
      const page = readPage(await apiText('GET', `feed?since=${seq}&limit=${PAGE}`));
      const applied = await this.go.call('apply', { page });
      await keep(
        page.entries.filter((e) => e.seq > seq && e.seq <= applied.seq),
        applied.erased,
      );
      this.known = applied.seq;
      again = applied.again;
    }
  }

  /**
   * Takes the feed from its first entry. The store stays as it was until all of
   * it has come, so that a tab that closes in the middle has lost nothing.
   */
  private async restart(): Promise<void> {
    const queued = await this.store.queued(this.account);
    await this.go.call('rejoin', { puts: queued.map((q) => q.put) });
    const all: Entry[] = [];
    await this.pages(async (entries) => void all.push(...entries));
    if (this.stopped) return;
    const { puts } = await this.go.call('pending', {});
    await this.store.replace(
      this.account,
      all,
      queued.map((q) => q.key),
      puts,
    );
    this.anew = false;
    this.due = true;
    await this.erase();
    this.host.rejoined();
  }

  /** What was deleted or replaced goes from this device too. */
  async erase(): Promise<void> {
    const { seqs } = await this.go.call('erasing', {});
    await this.store.eraseData(this.account, seqs);
  }

  /** Ends the round; the timer starts the next. */
  private failed(e: unknown): void {
    this.wanted = false;
    this.problem = e;
    if (e instanceof ApiError) {
      if (e.status === 401) {
        this.stop();
        this.host.ended();
        return;
      }
      if (e.offline || e.status === 429) this.reach(true);
      else this.host.refused(e);
    }
    // Anything else was said by Go, as a notice: the server's copy doesn't fit.
    this.later();
  }

  private later(): void {
    if (this.stopped) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.poke(), this.delay * (0.75 + Math.random() / 2));
    this.delay = Math.min(this.delay * 2, RETRY_MAX);
  }

  private reach(offline: boolean): void {
    if (this.offline === offline) return;
    this.offline = offline;
    this.host.reach(offline);
  }
}

/**
 * Reads a page of the feed, and of it only what a page has. Go judges exactly
 * what is stored: two readers of one text could be made to see two histories, and
 * a store that doesn't load again would have forgotten what the server has shown.
 */
function readPage(text: string): Page {
  let page: Page;
  try {
    page = JSON.parse(text) as Page;
    const { seq, hash } = page.head;
    return { head: { seq, hash }, entries: page.entries.map(readEntry) };
  } catch {
    throw new ApiError('malformed', 'The server’s history can’t be read. Reload the page; if it happens again, whoever runs the server has to look at it.', 502);
  }
}

function readEntry(e: Entry): Entry {
  const { seq, id, collection, version, size, data, digest, hash } = e;
  return { seq, id, collection, version, size, ...(data == null ? {} : { data }), ...(digest == null ? {} : { digest }), hash };
}

/** The beginning of a queue that goes into one post; always some of it. */
function bounded(queued: Queued[]): Queued[] {
  let size = 0;
  return queued.filter((q, i) => (size += q.put.data.length) <= BATCH_SIZE || i === 0);
}
