// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The service worker: it keeps the page that was accepted and serves that page,
// whatever the server would send.
//
// It judges no log. The page that it serves does, in the core (cmd/sotto-wasm,
// page.go): that page names a release with the SHA-256 of each of its files, and
// the service worker fetches them, compares, and keeps the whole or nothing. What
// it serves it compares again, and it serves it with headers of its own, not with
// those that came from the server. A release that was made ready takes effect
// when the page is next opened.
//
// What it can't do: browsers ask the server for a new version of this very
// script, at the latest after 24 hours, and run what they get. The page looks
// for that (keeper.ts); a first visit is protected by nothing here.

/** A release as the core accepted it. Nothing in it is of the person's or of this device. */
export interface Release {
  /** "sha256:…" of the manifest. */
  digest: string;
  version: string;
  /** Its place in the log, and the log's name. */
  entry: number;
  log: string;
  /** Path, without the first slash → SHA-256 in hex. */
  files: Record<string, string>;
}

/** What is kept. `next` takes the place of `now` when the page is opened; `was` is what was there before. */
export interface Kept {
  now: Release | null;
  next: Release | null;
  was: Release | null;
  /** The person has been told of the change from `was` to `now`. */
  told: boolean;
}

export type Ask =
  | { do: 'kept' }
  /** What the server sends now, by path: SHA-256 in hex, or null where it sends nothing. */
  | { do: 'look' }
  | { do: 'keep'; release: Release }
  | { do: 'told' }
  | { do: 'forget' };

export type KeptNow = { kept: Kept };
export type Looked = { offered: Record<string, string> | null };
/** `changed`: the path whose bytes were others; `missing`: the path that didn't come. */
export type Keeping = { done: boolean; changed?: string; missing?: string };

interface Headers {
  kinds: Record<string, Record<string, string>>;
  types: Record<string, string>;
}
/** web/headers, put in by web/build. */
declare const __HEADERS__: Headers;

interface FetchEvt extends Event {
  request: Request;
  respondWith(r: Promise<Response>): void;
}
interface MessageEvt extends MessageEvent<Ask> {
  waitUntil(p: Promise<unknown>): void;
}

const STORE = 'sotto-page';
const KEPT = '/-/kept';
/** No file of the page is as large as this. */
const MAX_FILE = 64 << 20;
const MAX_FILES = 512;
/** What a page may fetch that is no file of it: the service itself, and what is there to be compared. */
const PASS = ['/api/', '/sotto/', '/relay', '/relay/', '/.well-known/', '/manifest.json', '/files.json', '/sw.js'];

let known: Promise<Kept> | null = null;

function kept(): Promise<Kept> {
  known ??= (async () => {
    const found = await (await caches.open(STORE)).match(KEPT);
    return found ? ((await found.json()) as Kept) : { now: null, next: null, was: null, told: true };
  })();
  return known;
}

async function keepState(k: Kept): Promise<void> {
  const store = await caches.open(STORE);
  // Written before it is believed: what a browser ends in the middle is as it was.
  await store.put(KEPT, new Response(JSON.stringify(k)));
  known = Promise.resolve(k);
  const wanted = new Set([KEPT]);
  for (const r of [k.now, k.next, k.was]) for (const sum of Object.values(r?.files ?? {})) wanted.add(`/-/${sum}`);
  for (const q of await store.keys()) if (!wanted.has(new URL(q.url).pathname)) await store.delete(q);
}

async function sha256(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): Promise<string> {
  return [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((b) => b.toString(16).padStart(2, '0')).join('');
}

/** The bytes of a file that is kept, if they are still those. */
async function onDevice(sum: string): Promise<ArrayBuffer | null> {
  const found = await (await caches.open(STORE)).match(`/-/${sum}`);
  const bytes = await found?.arrayBuffer();
  return bytes && (await sha256(bytes)) === sum ? bytes : null;
}

/** What the server sends for a path; null where it sends nothing, or too much. */
async function fromServer(path: string, cache: RequestCache): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    const r = await fetch(path === 'index.html' ? '/' : `/${path}`, { cache, credentials: 'omit', redirect: 'error' });
    if (r.status !== 200 || !r.body) return null;
    const parts: Uint8Array[] = [];
    let size = 0;
    const reader = r.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > MAX_FILE) {
        void reader.cancel();
        return null;
      }
      parts.push(value);
    }
    const all = new Uint8Array(size);
    let at = 0;
    for (const p of parts) {
      all.set(p, at);
      at += p.length;
    }
    return all;
  } catch {
    return null;
  }
}

/** Fetches one file and keeps it, if it is the one. */
async function fetchFile(path: string, sum: string): Promise<'kept' | 'changed' | 'missing'> {
  if (await onDevice(sum)) return 'kept';
  // What the browser has already is as good as what the server sends, since its
  // digest counts, and asking tells the server nothing. Names in /a/ hold a
  // digest; the others may be there in an old version.
  let bytes = path.startsWith('a/') ? await fromServer(path, 'force-cache') : null;
  if (!bytes || (await sha256(bytes)) !== sum) bytes = await fromServer(path, 'no-store');
  if (!bytes) return 'missing';
  if ((await sha256(bytes)) !== sum) return 'changed';
  await (await caches.open(STORE)).put(`/-/${sum}`, new Response(bytes));
  return 'kept';
}

/** Keeps a release, whole or not at all. */
async function keep(release: Release): Promise<Keeping> {
  const k = await kept();
  if (k.now?.digest === release.digest || k.next?.digest === release.digest) return { done: true };
  const files = Object.entries(release.files);
  if (files.length > MAX_FILES || !release.files['index.html']) return { done: false, missing: 'index.html' };
  for (const [path, sum] of files) {
    const how = await fetchFile(path, sum);
    if (how !== 'kept') return { done: false, [how]: path };
  }
  const after = await kept(); // another tab may have been faster
  if (!after.now) await keepState({ now: release, next: null, was: null, told: true });
  // A release of machines whose page is the same: it takes effect without a word.
  else if (JSON.stringify(after.now.files) === JSON.stringify(release.files)) await keepState({ ...after, now: release });
  else await keepState({ ...after, next: release });
  return { done: true };
}

async function look(): Promise<Looked> {
  const offered: Record<string, string> = {};
  for (const path of ['index.html', 'sw.js']) {
    const bytes = await fromServer(path, 'no-store');
    if (!bytes) return { offered: null };
    offered[path] = await sha256(bytes);
  }
  return { offered };
}

async function answer(ask: Ask): Promise<unknown> {
  switch (ask.do) {
    case 'kept':
      return { kept: await kept() };
    case 'look':
      return look();
    case 'keep':
      return keep(ask.release);
    case 'told':
      await keepState({ ...(await kept()), told: true });
      return {};
    case 'forget':
      await keepState({ now: null, next: null, was: null, told: true });
      return {};
  }
}

/** Which file an address shows; see isRoute in web/handler.go. */
function fileOf(pathname: string): string {
  if (pathname === '/' || pathname === '/settings' || /^\/(chat|link|settings)\/[^/]+$/.test(pathname)) return 'index.html';
  return pathname === '/index.html' ? '' : pathname.slice(1);
}

const isWorker = (path: string) => /^a\/worker-.*\.js$/.test(path);

function headersOf(path: string): Record<string, string> {
  const kind =
    path === 'core.html' ? 'frame' : path.endsWith('.html') ? 'page' : isWorker(path) ? 'worker' : 'file';
  const type = __HEADERS__.types[/\.[^./]*$/.exec(path)?.[0] ?? ''] ?? 'application/octet-stream';
  return { ...__HEADERS__.kinds[kind], 'Content-Type': type, 'Cache-Control': 'no-store' };
}

/** Serves a file of the accepted release, or of one that an open page may still be of. */
async function serve(request: Request, pathname: string): Promise<Response> {
  let k = await kept();
  if (!k.now) return fetch(request);
  if (k.next && request.mode === 'navigate' && request.destination === 'document') {
    k = { now: k.next, next: null, was: k.now, told: false };
    await keepState(k);
  }
  const path = fileOf(pathname);
  const sum = [k.now, k.was].map((r) => r?.files[path]).find((s) => s !== undefined);
  if (!sum) return new Response('there is nothing at this address\n', { status: 404, headers: headersOf('none.txt') });
  let bytes = await onDevice(sum);
  // A browser that is short of room may have thrown it away: the server may have it still.
  if (!bytes && (await fetchFile(path, sum)) === 'kept') bytes = await onDevice(sum);
  if (!bytes) return Response.error();
  const headers = headersOf(path);
  if (isWorker(path)) headers['Content-Security-Policy'] = reaching(headers['Content-Security-Policy'] ?? '', await relay());
  return new Response(bytes, { headers });
}

/** web/headers' Reaching: the Worker may ask the relay too. */
function reaching(policy: string, origin: string): string {
  return origin ? policy.replace("connect-src 'self'", `connect-src 'self' ${origin}`) : policy;
}

/**
 * The relay's origin, from the service. It could name another, to which the kept
 * Worker would say nothing: it asks only a relay that the release names.
 */
async function relay(): Promise<string> {
  try {
    const r = await fetch('/api/v1/service', { credentials: 'omit', cache: 'no-store', signal: AbortSignal.timeout(2000) });
    const { relay } = (await r.json()) as { relay?: { url?: unknown } | null };
    const url = new URL(String(relay?.url));
    return /^https?:$/.test(url.protocol) ? url.origin : '';
  } catch {
    return '';
  }
}

addEventListener('fetch', (event) => {
  const e = event as FetchEvt;
  const url = new URL(e.request.url);
  if (url.origin !== location.origin || e.request.method !== 'GET') return;
  if (PASS.some((p) => (p.endsWith('/') ? url.pathname.startsWith(p) : url.pathname === p))) return;
  e.respondWith(serve(e.request, url.pathname));
});

// One after the other: two tabs that keep at once would undo each other's work.
let turn: Promise<unknown> = Promise.resolve();

addEventListener('message', (event) => {
  const e = event as MessageEvt;
  const port = e.ports[0];
  if (!port) return;
  turn = turn.then(() => answer(e.data)).then(
    (v) => port.postMessage(v),
    (err: unknown) => port.postMessage({ error: String(err) }),
  );
  e.waitUntil(turn);
});
