// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Modules of the core that need no browser, under node --test. What they ask of
// a browser is made up here.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, mock, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

const web = fileURLToPath(new URL('..', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'sotto-web-'));
after(() => rmSync(out, { recursive: true }));
execFileSync(join(web, 'node_modules/.bin/tsc'), ['-p', join(web, 'test/tsconfig.json'), '--outDir', out], { stdio: 'inherit' });
writeFileSync(join(out, 'package.json'), '{"type":"module"}');
const load = (path) => import(pathToFileURL(join(out, path)));
const tick = (ms = 0) => new Promise((r) => setTimeout(r, ms));

test('deltas of a frame become one, in front of other events', async () => {
  const { Deltas } = await load('src/worker/deltas.js');
  const sent = [];
  const d = new Deltas((e) => sent.push(e));
  d.add({ t: 'delta', chat: 'c', message: 'a', text: '1' });
  d.add({ t: 'delta', chat: 'c', message: 'b', text: 'x', reasoning: 'r' });
  d.add({ t: 'delta', chat: 'c', message: 'a', text: '2', reasoning: 'why' });
  assert.equal(sent.length, 0);
  d.flush();
  assert.deepEqual(sent, [
    { t: 'delta', chat: 'c', message: 'a', text: '12', reasoning: 'why' },
    { t: 'delta', chat: 'c', message: 'b', text: 'x', reasoning: 'r' },
  ]);
  d.add({ t: 'delta', chat: 'c', message: 'a', text: '3' });
  await tick(40);
  assert.equal(sent.length, 3);
  await tick(40);
  assert.equal(sent.length, 3, 'nothing is sent twice');
});

test('base64url both ways', async () => {
  const { encode, decode } = await load('src/core/webauthn.js');
  for (const n of [0, 1, 2, 3, 31, 256]) {
    const b = Uint8Array.from({ length: n }, (_, i) => (i * 251) & 255);
    const s = encode(b.buffer);
    assert.equal(s, Buffer.from(b).toString('base64url'));
    assert.deepEqual(decode(s), b);
  }
});

test('a credential is sent without what the passkey gave', async () => {
  const { makePasskey, answerWithPasskey } = await load('src/core/webauthn.js');
  const prf = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const handed = prf.slice();
  const bytes = (s) => new TextEncoder().encode(s).buffer;
  const credential = (response) => ({
    id: 'aWQ', rawId: bytes('id'), type: 'public-key', authenticatorAttachment: 'platform', response,
    getClientExtensionResults: () => ({ prf: { enabled: true, results: { first: handed.buffer } }, credProps: { rk: true } }),
    toJSON: () => assert.fail('toJSON would write the key into the document'),
  });
  let asked;
  globalThis.PublicKeyCredential = class {};
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: {
      credentials: {
        create: async (o) => ((asked = o.publicKey), credential({ clientDataJSON: bytes('c'), attestationObject: bytes('a'), getTransports: () => ['internal'] })),
        get: async (o) => ((asked = o.publicKey), credential({ clientDataJSON: bytes('c'), authenticatorData: bytes('a'), signature: bytes('s'), userHandle: bytes('u') })),
      },
    },
  });
  const made = await makePasskey({
    challenge: 'Y2g', rp: { name: 'Sotto' }, user: { id: 'dQ', name: 'n', displayName: 'n' }, pubKeyCredParams: [],
    extensions: { prf: { eval: { first: 'not this one' } } },
  });
  assert.deepEqual(made.prf, prf);
  assert.deepEqual(handed, new Uint8Array(32), 'where it was, it is overwritten');
  assert.deepEqual(made.credential.clientExtensionResults, {});
  assert.ok(!JSON.stringify(made.credential).includes(Buffer.from(prf).toString('base64url').slice(0, 20)));
  const want = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from('sotto/1 vault prf')));
  assert.deepEqual(Buffer.from(asked.extensions.prf.eval.first), want, 'spec/vault.md says what is asked for');
  assert.deepEqual(Buffer.from(asked.challenge), Buffer.from('ch'));

  const used = await answerWithPasskey({ challenge: 'Y2g', rpId: 'localhost' });
  assert.equal(used.credential.response.userHandle, Buffer.from('u').toString('base64url'));
  assert.deepEqual(used.credential.clientExtensionResults, {});
});

/** A feed, a store and a Go core that only count. */
async function syncing(server, atOnce = true) {
  const { Sync } = await load('src/worker/sync.js');
  const queue = [];
  const stored = [];
  const said = [];
  const judged = [];
  const kept = [];
  let head = 0;
  let applied = 0;
  const pending = [];
  const store = {
    queued: async (_, limit) => queue.slice(0, limit),
    dequeue: async (keys) => void queue.splice(0, queue.length, ...queue.filter((q) => !keys.includes(q.key))),
    addEntries: async (_, entries) => (kept.push(...entries), void stored.push(...entries.map((e) => e.seq))),
    eraseData: async () => {},
    replace: async (_, entries, keys, puts) => {
      stored.splice(0, stored.length, ...entries.map((e) => e.seq));
      queue.splice(0, queue.length, ...queue.filter((q) => !keys.includes(q.key)), ...puts.map((put, i) => ({ key: 1000 + i, put })));
    },
  };
  const go = {
    call: async (method, args) => {
      if (method === 'head') return { seq: head, hash: 'h' };
      if (method === 'erasing') return { seqs: [] };
      if (method === 'rejoin') {
        head = 0;
        return {};
      }
      if (method === 'pending') return { puts: pending };
      if (method === 'acked') return { entries: [], erased: false };
      if (method === 'apply') {
        applied++;
        const { page } = args;
        judged.push(page);
        head = page.entries.at(-1)?.seq ?? head;
        return { seq: head, again: head < page.head.seq, erased: false };
      }
      throw new Error(method);
    },
  };
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: { locks: { request: (_, f) => f() } },
  });
  globalThis.EventSource = class {
    addEventListener() {}
    close() {}
  };
  globalThis.fetch = async (url, o) => server(url, o);
  const sync = new Sync(go, store, 'account', {
    reach: (offline) => said.push(offline ? 'offline' : 'online'),
    ended: () => said.push('ended'),
    refused: (e) => said.push(e.code),
    rejoined: () => said.push('rejoined'),
  }, atOnce);
  return { sync, queue, stored, said, judged, kept, pending, applied: () => applied };
}

const answer = (status, doc) => new Response(JSON.stringify(doc), { status });

test('sync posts what was written and fetches page after page', async () => {
  const feed = [];
  const posts = [];
  const s = await syncing((url, o) => {
    if (o.method === 'POST') {
      const { entries } = JSON.parse(o.body);
      posts.push(entries.length);
      const seqs = entries.map((e) => feed.push(e));
      return answer(200, { head: { seq: feed.length, hash: 'h' }, seqs });
    }
    const since = Number(new URL(url, 'http://x').searchParams.get('since'));
    return answer(200, { head: { seq: feed.length, hash: 'h' }, entries: feed.slice(since, since + 30).map((e, i) => ({ seq: since + i + 1 })) });
  });
  for (let key = 1; key <= 120; key++) s.queue.push({ key, put: { id: String(key), data: key <= 3 ? 'x'.repeat(3 << 20) : '' } });
  await s.sync.poke();
  s.sync.stop();
  assert.deepEqual(posts, [2, 50, 50, 18]);
  assert.deepEqual(s.queue, []);
  assert.deepEqual(s.stored, Array.from({ length: 120 }, (_, i) => i + 1));
});

test('sync keeps the queue while the server is away, and comes back by itself', async () => {
  let down = true;
  const s = await syncing((_, o) => {
    if (down) throw new TypeError('network');
    return o.method === 'POST' ? answer(200, { head: { seq: 0, hash: 'h' }, seqs: [0] }) : answer(200, { head: { seq: 0, hash: 'h' }, entries: [] });
  });
  s.queue.push({ key: 1, put: { id: 'a', data: '' } });
  await s.sync.poke();
  assert.deepEqual([s.said, s.queue.length], [['offline'], 1]);
  down = false;
  await tick(1_600);
  s.sync.stop();
  assert.deepEqual([s.said, s.queue.length], [['offline', 'online'], 0]);
});

test('sync: what is written during a round is not forgotten', async () => {
  const s = await syncing((_, o) => (o.method === 'POST' ? answer(200, { head: { seq: 0, hash: 'h' }, seqs: [] }) : answer(200, { head: { seq: 0, hash: 'h' }, entries: [] })));
  const first = s.sync.poke();
  for (let i = 0; i < 20; i++) {
    await null;
    if (i % 3 === 0) void s.sync.poke();
  }
  await first;
  s.queue.push({ key: 1, put: { id: 'late', data: '' } });
  s.sync.written();
  await tick(20);
  s.sync.stop();
  assert.deepEqual(s.queue, []);
});

test('sync tells nobody when something was written', async () => {
  const { HOLD_MIN, HOLD_MAX } = await load('src/worker/sync.js');
  mock.timers.enable({ apis: ['setTimeout'] });
  const quiet = async () => {
    for (let i = 0; i < 50; i++) await null;
  };
  const posts = [];
  const s = await syncing((_, o) => {
    if (o.method === 'POST') posts.push(JSON.parse(o.body).entries.map((e) => e.id).join(' '));
    return answer(200, o.method === 'POST' ? { head: { seq: 0, hash: 'h' }, seqs: [] } : { head: { seq: 0, hash: 'h' }, entries: [] });
  }, false);
  try {
    const write = (id) => {
      s.queue.push({ key: id, put: { id, data: '' } });
      s.sync.written();
    };
    s.queue.push({ key: 'old', put: { id: 'old', data: '' } });
    await s.sync.poke();
    assert.deepEqual(posts, ['old'], 'what an earlier visit left goes out at once');
    write('a');
    mock.timers.tick(HOLD_MIN - 1);
    write('b');
    await s.sync.poke(); // news from another device
    await quiet();
    assert.deepEqual(posts, ['old']);
    mock.timers.tick(HOLD_MAX - HOLD_MIN + 1);
    await s.sync.poke();
    await quiet();
    assert.deepEqual(posts, ['old', 'a b'], 'together, and no later than the bound');
    write('c');
    await s.sync.release();
    assert.deepEqual(posts, ['old', 'a b', 'c'], 'the page is left');
  } finally {
    s.sync.stop();
    mock.timers.reset();
  }
});

test('sync ends with the session, and a refusal is said', async () => {
  const gone = await syncing(() => answer(401, { error: { code: 'signed_out', message: 'You are signed out.' } }));
  await gone.sync.poke();
  assert.deepEqual(gone.said, ['ended']);
  const no = await syncing((_, o) =>
    o.method === 'POST'
      ? answer(413, { error: { code: 'account_full', message: 'There is no room left.' } })
      : answer(200, { head: { seq: 1, hash: 'h' }, entries: [{ seq: 1 }] }),
  );
  no.queue.push({ key: 1, put: { id: 'a', data: '' } });
  await no.sync.poke();
  no.sync.stop();
  assert.deepEqual(no.said, ['account_full']);
  assert.deepEqual(no.stored, [1], 'what others wrote still comes in');
  assert.equal(no.queue.length, 1, 'and what this device wrote is kept');
});

test('sync stores what was judged, whatever else the text says', async () => {
  // Go reads names without regard to case, and the last one counts.
  const page = '{"head":{"seq":1,"hash":"h"},"entries":[{"seq":1,"id":"a","Hash":"x","hash":"h","data":null,"digest":"d","more":1}],"Entries":[]}';
  const s = await syncing(() => new Response(page, { status: 200 }));
  await s.sync.poke();
  s.sync.stop();
  const entry = { seq: 1, id: 'a', hash: 'h', digest: 'd' };
  const plain = (v) => JSON.parse(JSON.stringify(v));
  assert.deepEqual(plain(s.judged), [{ head: { seq: 1, hash: 'h' }, entries: [entry] }]);
  assert.deepEqual(plain(s.kept), [entry]);
  const bad = await syncing(() => new Response('<html>', { status: 200 }));
  await bad.sync.poke();
  bad.sync.stop();
  assert.deepEqual([bad.kept, bad.judged], [[], []]);
});

test('sync goes on with the server’s copy: whole, or not at all', async () => {
  let broken = true;
  const posted = [];
  const s = await syncing((url, o) => {
    if (o.method === 'POST') {
      const { entries } = JSON.parse(o.body);
      posted.push(...entries.map((e) => e.id));
      return answer(200, { head: { seq: 3, hash: 'h' }, seqs: entries.map(() => 3) });
    }
    const since = Number(new URL(url, 'http://x').searchParams.get('since'));
    if (since === 1 && broken) throw new TypeError('network');
    const all = [1, 2].map((seq) => ({ seq }));
    return answer(200, { head: { seq: 2, hash: 'h' }, entries: all.slice(since, since + 1) });
  });
  s.stored.push(1, 2, 3, 4);
  s.queue.push({ key: 7, put: { id: 'waiting', data: '' } });
  s.pending.push({ id: 'waiting', data: 'anew' }, { id: 'lost', data: '' });
  await assert.rejects(s.sync.rejoin(), { code: 'offline' });
  assert.deepEqual([s.stored, s.queue.map((q) => q.key), posted], [[1, 2, 3, 4], [7], []], 'in the middle, nothing has changed');
  broken = false;
  await s.sync.rejoin();
  s.sync.stop();
  assert.deepEqual(s.stored, [1, 2]);
  assert.deepEqual(posted, ['waiting', 'lost'], 'what the server lacks is posted, and only then');
  assert.ok(s.said.includes('rejoined'));
  assert.deepEqual(s.queue, []);
});

test('a heartbeat notices a Worker that is gone, and nothing else', async () => {
  const { Heartbeat } = await load('src/core/heartbeat.js');
  mock.timers.enable({ apis: ['setInterval'] });
  try {
    let visible = true;
    Object.defineProperty(globalThis, 'document', {
      configurable: true,
      value: { get visibilityState() { return visible ? 'visible' : 'hidden'; } },
    });
    let alive = true;
    let gone = 0;
    let asked = 0;
    const heart = new Heartbeat(() => (asked++, alive ? Promise.resolve() : new Promise(() => {})), () => gone++);
    const pass = async (seconds) => {
      for (let s = 0; s < seconds; s += 5) {
        mock.timers.tick(5_000);
        await Promise.resolve();
      }
    };
    heart.start();
    await pass(600);
    assert.ok(asked > 30);
    assert.equal(gone, 0, 'one that answers is there');
    alive = false;
    await pass(60);
    assert.equal(gone, 0, 'a minute of work is no end');
    visible = false;
    await pass(3_600);
    assert.equal(gone, 0, 'what nobody sees may sleep');
    visible = true;
    await pass(45);
    assert.equal(gone, 0, 'and has its minute when it is seen again');
    await pass(30);
    assert.equal(gone, 1);
    await pass(600);
    assert.equal(gone, 1, 'said once');
    heart.start();
    heart.stop();
    await pass(600);
    assert.equal(gone, 1, 'not after it was stopped');
  } finally {
    mock.timers.reset();
    delete globalThis.document;
  }
});

test('an account is forgotten only when another one has been opened', async () => {
  const { Account } = await load('src/worker/account.js');
  const mine = { account: 'aa', device: 'dd', wraps: [{ id: '1', kind: 'passkey', ref: 'mine' }], credential: 'mine' };
  let kept = mine;
  const forgotten = [];
  let opens = false;
  const account = new Account({
    store: async () => ({
      account: async () => kept,
      setAccount: async (a) => void (kept = a),
      forgetAccount: async (a) => void forgotten.push(a),
    }),
    go: async () => ({
      call: async (method) => {
        if (method === 'unlockPassphrase' && !opens) throw { code: 'wrong_key', message: 'No.' };
        return {};
      },
    }),
    entered: () => {},
    opened: async () => {},
  });
  globalThis.fetch = async () =>
    new Response(JSON.stringify({ account: 'bb', session: { id: 's' }, wraps: [{ id: '2', kind: 'passphrase' }] }));

  await account.resume();
  await assert.rejects(account.unlockWithPassphrase('not that one'));
  assert.deepEqual([kept, forgotten], [mine, []], 'a server names another account that this person can’t open');

  opens = true;
  await account.unlockWithPassphrase('that one');
  assert.deepEqual(forgotten, ['aa']);
  assert.equal(kept.account, 'bb');
});
