// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The page's side of its own keeping: it asks the service worker what is kept,
// looks at what the server sends, has the core judge both by the public log, and
// has the service worker keep what the core accepted. It decides nothing.

import type { PageJudged, PageNews, PageSeen } from '../core/protocol.ts';
import type { Ask, Keeping, Kept, KeptNow, Looked } from './sw.ts';

const INDEX = 'index.html';
const SW = 'sw.js';
/** How long a service worker may take to answer; it fetches a whole page meanwhile. */
const ANSWER_MS = 120_000;

export interface Host {
  judge(seen: PageSeen): Promise<PageJudged>;
  /** Has the core's frame register the service worker: only it may. */
  register(): void;
  news(n: PageNews): void;
}

export class Keeper {
  private running: Promise<void> | null = null;
  private replaced = false;
  private watched = false;
  /** Whether this page came from the service worker; one that takes over later didn't bring it. */
  private readonly served = !!navigator.serviceWorker?.controller;

  constructor(private readonly host: Host) {}

  /** Looks once; a look that is under way counts. */
  look(): Promise<void> {
    this.running ??= this.once().finally(() => (this.running = null));
    return this.running;
  }

  /** The person has read what changed. */
  async told(): Promise<void> {
    const worker = await this.worker();
    if (worker) await ask(worker, { do: 'told' });
  }

  private async once(): Promise<void> {
    const worker = await this.worker();
    const kept: Kept | null = worker ? (await ask<KeptNow>(worker, { do: 'kept' })).kept : null;
    const offered = worker ? (await ask<Looked>(worker, { do: 'look' })).offered : await offers();
    const seen: PageSeen = {
      kept: kept?.now?.digest ?? '',
      was: kept && !kept.told ? (kept.was?.digest ?? '') : '',
      log: kept?.now?.log ?? '',
      served: this.served,
      offered,
      replaced: this.replaced,
      changed: '',
      unable: !navigator.serviceWorker,
    };
    let judged = await this.host.judge(seen);
    if (judged.anew) {
      await forget(false);
      Object.assign(seen, { kept: '', was: '', log: '', served: false });
    }
    if (judged.keep && kept?.next?.digest !== judged.keep.digest) {
      const keeping = await this.keep(judged);
      if (keeping.changed) judged = await this.host.judge({ ...seen, changed: keeping.changed });
      // What isn't there yet is no update; the next look tries again.
      else if (!keeping.done) return;
      else if (seen.kept === '') judged = await this.host.judge({ ...seen, kept: judged.keep.digest, log: judged.keep.log });
    }
    const { news, text, version, entry, from, changes } = judged;
    this.host.news({ news, text, version, entry, from, changes });
  }

  private async keep(judged: PageJudged): Promise<Keeping> {
    let worker = await this.worker();
    if (!worker) {
      if (!navigator.serviceWorker) return { done: false };
      this.host.register();
      const reg = await Promise.race([navigator.serviceWorker.ready, late<ServiceWorkerRegistration>()]).catch(() => null);
      worker = reg?.active ?? null;
      if (reg) this.watch(reg);
    }
    if (!worker) return { done: false };
    return ask<Keeping>(worker, { do: 'keep', release: judged.keep! });
  }

  private async worker(): Promise<ServiceWorker | null> {
    const reg = await navigator.serviceWorker?.getRegistration('/').catch(() => undefined);
    if (!reg) return null;
    this.watch(reg);
    return reg.active;
  }

  /** Notices that the browser has got another script. */
  private watch(reg: ServiceWorkerRegistration): void {
    if (reg.active && (reg.waiting || reg.installing)) this.replaced = true;
    if (this.watched) return;
    this.watched = true;
    reg.addEventListener('updatefound', () => {
      if (!reg.active) return; // the first one
      this.replaced = true;
      void this.look().then(() => this.look()); // one that was under way didn't know of it
    });
  }
}

/** Takes away what is kept, and with `all` the service worker, too. */
export async function forget(all: boolean): Promise<void> {
  for (const name of await caches.keys()) await caches.delete(name);
  const regs = (await navigator.serviceWorker?.getRegistrations()) ?? [];
  // A service worker that goes on has to learn that nothing is kept.
  for (const reg of regs) {
    if (all) await reg.unregister();
    else if (reg.active) await ask(reg.active, { do: 'forget' });
  }
}

async function offers(): Promise<Record<string, string> | null> {
  const out: Record<string, string> = {};
  try {
    for (const [path, url] of [[INDEX, '/'], [SW, `/${SW}`]] as const) {
      const r = await fetch(url, { cache: 'no-store', credentials: 'omit', redirect: 'error' });
      if (!r.ok) return null;
      const sum = await crypto.subtle.digest('SHA-256', await r.arrayBuffer());
      out[path] = [...new Uint8Array(sum)].map((b) => b.toString(16).padStart(2, '0')).join('');
    }
  } catch {
    return null;
  }
  return out;
}

function ask<T>(worker: ServiceWorker, what: Ask): Promise<T> {
  const { port1, port2 } = new MessageChannel();
  const answered = new Promise<T>((resolve, reject) => {
    port1.onmessage = (e: MessageEvent<T & { error?: string }>) => (e.data.error ? reject(new Error(e.data.error)) : resolve(e.data));
  });
  worker.postMessage(what, [port2]);
  return Promise.race([answered, late<T>()]).finally(() => port1.close());
}

function late<T>(): Promise<T> {
  return new Promise((_, reject) => setTimeout(() => reject(new Error('the service worker does not answer')), ANSWER_MS));
}
