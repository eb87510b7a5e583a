// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// What this browser keeps between visits, in IndexedDB. All of it is ciphertext
// made by Go, or says nothing: the account's id, its wraps, this device's id, and
// whether demo hardware was accepted.

/** An entry of the feed as the server wrote it: vault.Entry. */
export interface Entry {
  seq: number;
  id: string;
  collection: string;
  version: string;
  size: number;
  data?: string;
  digest?: string;
  hash: string;
}

/** A part of the feed: vault.Page. */
export interface Page {
  head: { seq: number; hash: string };
  entries: Entry[];
}

/** A sealed record on its way to the server: vault.Put. */
export interface Put {
  id: string;
  collection: string;
  version: string;
  data: string;
  erase?: string[];
}

/** A sealed copy of the root key: vault.Wrap. */
export interface Wrap {
  id: string;
  kind: 'passkey' | 'recovery' | 'passphrase' | 'device';
  ref?: string;
  params?: unknown;
  data: string;
}

/** The account that this browser knows. */
export interface KnownAccount {
  account: string;
  device: string;
  wraps: Wrap[];
  /** The passkey used last here, base64url. */
  credential?: string;
}

/** What messages are paid with: the secret that makes it this device's, and the sealed wallet. */
export interface Tokens {
  secret: Uint8Array;
  blob: Uint8Array | null;
}

export interface Queued {
  key: number;
  put: Put;
}

const NAME = 'sotto';
const VERSION = 1;

const UNAVAILABLE = {
  code: 'storage',
  message: 'This browser doesn’t let Sotto keep anything. Allow storage for this site, or leave private browsing.',
};

const FULL = { code: 'storage', message: 'This device has no room left for Sotto. Free some, then try again.' };

export class Store {
  private constructor(private readonly db: IDBDatabase) {}

  static async open(): Promise<Store> {
    try {
      const request = indexedDB.open(NAME, VERSION);
      request.onupgradeneeded = () => {
        const db = request.result;
        db.createObjectStore('device');
        db.createObjectStore('feed'); // [account, seq] → Entry
        db.createObjectStore('queue', { autoIncrement: true }).createIndex('account', 'account'); // {account, put}
        db.createObjectStore('pending').createIndex('account', 'account'); // answer id → {account, sealed}
      };
      const db = await result(request);
      // Another tab forgets this browser: don't stand in its way.
      db.onversionchange = () => db.close();
      return new Store(db);
    } catch {
      throw UNAVAILABLE;
    }
  }

  /** Removes everything, from under other tabs too. */
  async erase(): Promise<void> {
    this.db.close();
    await result(indexedDB.deleteDatabase(NAME));
  }

  // ------------------------------------------------------------- this browser

  consent(): Promise<boolean> {
    return this.get('device', 'consent').then((v) => v === true);
  }

  setConsent(): Promise<void> {
    return this.write('device', (s) => s.put(true, 'consent'));
  }

  /** What the core remembers of machines and of the public log; '' at first. */
  kept(): Promise<string> {
    return this.get('device', 'kept').then((v) => (typeof v === 'string' ? v : ''));
  }

  setKept(kept: string): Promise<void> {
    return this.write('device', (s) => s.put(kept, 'kept'));
  }

  /** The key of the `sotto app` that serves this page. It ends with that program. */
  appKey(): Promise<string> {
    return this.get('device', 'app').then((v) => (typeof v === 'string' ? v : ''));
  }

  setAppKey(key: string): Promise<void> {
    return this.write('device', (s) => s.put(key, 'app'));
  }

  account(): Promise<KnownAccount | undefined> {
    return this.get('device', 'account') as Promise<KnownAccount | undefined>;
  }

  setAccount(a: KnownAccount): Promise<void> {
    return this.write('device', (s) => s.put(a, 'account'));
  }

  /** Removes all that belongs to an account. */
  async forgetAccount(account: string): Promise<void> {
    await this.write('feed', (s) => s.delete(range(account)));
    for (const name of ['queue', 'pending']) {
      await this.write(name, (s) => {
        const cursor = s.index('account').openKeyCursor(IDBKeyRange.only(account));
        cursor.onsuccess = () => {
          if (!cursor.result) return;
          s.delete(cursor.result.primaryKey);
          cursor.result.continue();
        };
      });
    }
    await this.write('device', (s) => {
      s.delete('account');
      s.delete(`tokens ${account}`);
    });
  }

  // ------------------------------------------------------------- the feed

  /** Entries in order, in parts, from the first. */
  async *entries(account: string, part = 500): AsyncGenerator<{ entries: Entry[]; done: number }> {
    const store = (): IDBObjectStore => this.db.transaction('feed').objectStore('feed');
    const total = await result(store().count(range(account)));
    let after = 0;
    let read = 0;
    for (;;) {
      const entries = (await result(store().getAll(range(account, after + 1), part))) as Entry[];
      const last = entries.at(-1);
      if (!last) return;
      after = last.seq;
      read += entries.length;
      yield { entries, done: Math.min(1, read / total) };
    }
  }

  async addEntries(account: string, entries: Entry[]): Promise<void> {
    if (entries.length === 0) return;
    await this.write('feed', (s) => {
      for (const e of entries) s.put(e, [account, e.seq]);
    });
  }

  /** Forgets the sealed data of entries; their place in the chain stays. */
  async eraseData(account: string, seqs: number[]): Promise<void> {
    for (const seq of seqs) {
      const e = (await this.get('feed', [account, seq])) as Entry | undefined;
      if (typeof e?.data !== 'string') continue;
      const { data, ...rest } = e;
      const digest = await crypto.subtle.digest('SHA-256', Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
      await this.write('feed', (s) => s.put({ ...rest, digest: hex(digest) }, [account, seq]));
    }
  }

  /** Forgets all entries after one. */
  async forgetFeed(account: string, after: number): Promise<void> {
    await this.write('feed', (s) => s.delete(range(account, after + 1)));
  }

  // ------------------------------------------------------------- the queue

  async enqueue(account: string, puts: Put[]): Promise<void> {
    await this.write('queue', (s) => {
      for (const put of puts) s.add({ account, put });
    });
  }

  /** What the server doesn't have yet, oldest first. */
  async queued(account: string, limit = Infinity): Promise<Queued[]> {
    const found: Queued[] = [];
    const request = this.db.transaction('queue').objectStore('queue').openCursor();
    await new Promise<void>((resolve, reject) => {
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const c = request.result;
        if (!c || found.length >= limit) return resolve();
        const v = c.value as { account: string; put: Put };
        if (v.account === account) found.push({ key: c.primaryKey as number, put: v.put });
        c.continue();
      };
    });
    return found;
  }

  async dequeue(keys: number[]): Promise<void> {
    await this.write('queue', (s) => {
      for (const k of keys) s.delete(k);
    });
  }

  /**
   * Puts another feed in the place of the stored one, and `puts` in that of the
   * queued records with `keys`, all or nothing. What another tab has queued
   * meanwhile stays.
   */
  async replace(account: string, entries: Entry[], keys: number[], puts: Put[]): Promise<void> {
    const old = new Set(keys);
    const places = new Set(puts.map(place));
    const t = this.db.transaction(['feed', 'queue'], 'readwrite');
    await new Promise<void>((resolve, reject) => {
      t.oncomplete = () => resolve();
      t.onabort = () => reject(FULL);
      const feed = t.objectStore('feed');
      feed.delete(range(account));
      for (const e of entries) feed.put(e, [account, e.seq]);
      const queue = t.objectStore('queue');
      const cursor = queue.openCursor();
      cursor.onsuccess = () => {
        const c = cursor.result;
        if (!c) {
          for (const put of puts) queue.add({ account, put });
          return;
        }
        const v = c.value as { account: string; put: Put };
        // The same record sealed anew has its place now: two of them would be in each other's way.
        if (v.account === account && (old.has(c.primaryKey as number) || places.has(place(v.put)))) c.delete();
        c.continue();
      };
    });
  }

  // ------------------------------------------------------------- tokens

  /**
   * Makes `owner` the one tab that may keep an account's tokens: two that paid from one wallet would pay with the same
   * token. It is a word beside the wallet, read and written in one transaction with it.
   */
  async openTokens(account: string, owner: string): Promise<Tokens> {
    const fresh = crypto.getRandomValues(new Uint8Array(32));
    let found: { secret: Uint8Array; blob: Uint8Array | null } | undefined;
    await this.write('device', (s) => {
      const request = s.get(`tokens ${account}`) as IDBRequest<Tokens | undefined>;
      request.onsuccess = () => {
        found = request.result ?? { secret: fresh, blob: null };
        s.put({ ...found, owner }, `tokens ${account}`);
      };
    });
    return { secret: found!.secret, blob: found!.blob };
  }

  async saveTokens(account: string, owner: string, blob: Uint8Array): Promise<boolean> {
    let mine = false;
    await this.write('device', (s) => {
      const request = s.get(`tokens ${account}`) as IDBRequest<(Tokens & { owner: string }) | undefined>;
      request.onsuccess = () => {
        mine = request.result?.owner === owner;
        if (mine) s.put({ ...request.result, blob }, `tokens ${account}`);
      };
    });
    return mine;
  }

  // ------------------------------------------------------------- answers under way

  async setPending(account: string, id: string, sealed: Uint8Array | null): Promise<void> {
    await this.write('pending', (s) => (sealed ? s.put({ account, sealed }, id) : s.delete(id)));
  }

  async pendingIds(account: string): Promise<string[]> {
    const keys = await result(this.db.transaction('pending').objectStore('pending').index('account').getAllKeys(account));
    return keys as string[];
  }

  async pending(id: string): Promise<Uint8Array | undefined> {
    return ((await this.get('pending', id)) as { sealed: Uint8Array } | undefined)?.sealed;
  }

  // ------------------------------------------------------------- plumbing

  private get(store: string, key: IDBValidKey): Promise<unknown> {
    return result(this.db.transaction(store).objectStore(store).get(key) as IDBRequest<unknown>);
  }

  /** Runs one transaction and waits until it is on the disk. */
  private write(store: string, f: (s: IDBObjectStore) => unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      const t = this.db.transaction(store, 'readwrite');
      t.oncomplete = () => resolve();
      t.onabort = () => reject(FULL);
      f(t.objectStore(store));
    });
  }
}

/** Where a record stands: it can be posted there once. */
function place(p: Put): string {
  return `${p.collection} ${p.id} ${p.version}`;
}

function range(account: string, from = 0): IDBKeyRange {
  return IDBKeyRange.bound([account, from], [account, Number.MAX_SAFE_INTEGER]);
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export function hex(b: ArrayBuffer | Uint8Array): string {
  return Array.from(b instanceof Uint8Array ? b : new Uint8Array(b), (x) => x.toString(16).padStart(2, '0')).join('');
}
