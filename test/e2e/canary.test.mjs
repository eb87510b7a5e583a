// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// A random word goes through everything a person does: a question, its answer
// and title, a rename, a search, a temporary chat, the terminal. Afterwards it is
// in no log line, metric, database page, temp or home folder, browser profile or
// captured packet. The same search finds it in each of them once it is planted.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { capture, find, findInFiles, newWord } from './canary.mjs';
import { acceptDemo, demo, device, escape, newChat, root, scratch, search, signUp, waitFor } from './sotto.mjs';

const run = promisify(execFile);
const asked = newWord(), named = newWord(), passing = newWord(), typed = newWord();
const words = [asked, named, passing, typed];

let server, packets, metrics, folder, profile, d;

before(async () => {
  folder = scratch('canary');
  server = await demo(['-engine', 'builtin', '-debug', '127.0.0.1:0']);
  await waitFor(() => /"node answers"/.test(server.log()), 'the node');
  const nodePort = Number(server.log().match(/"node":"127\.0\.0\.1:(\d+)"/)[1]);
  const metricsURL = server.log().match(/"url":"(http:[^"]+\/metrics)"/)[1];
  packets = await capture(join(folder, 'packets.pcap'), [server.port, nodePort]);

  d = await device();
  profile = d.profile;
  const p = d.page;
  const say = async (text) => {
    await p.getByRole('textbox', { name: 'Message' }).fill(text);
    await p.getByRole('button', { name: 'Send', exact: true }).click();
    await waitFor(async () => (await p.locator('article.answer').last().innerText()).length > 10, 'an answer');
    await waitFor(async () => !(await p.getByRole('button', { name: 'Stop', exact: true }).isVisible()), 'its end');
  };
  await p.goto(server.url);
  await signUp(p);
  await acceptDemo(p);
  await say(`What is ${asked}?`);
  const nav = p.getByRole('navigation', { name: 'Chats' });
  await waitFor(async () => (await nav.locator('a.side-chat').count()) === 1, 'the chat in the list');
  await nav.locator('a.side-chat').first().dblclick();
  await nav.getByRole('textbox', { name: 'Title' }).fill(named);
  await nav.getByRole('textbox', { name: 'Title' }).press('Enter');
  await waitFor(async () => (await nav.innerText()).includes(named), 'the new title');
  await search(p, asked);
  await escape(p);
  await newChat(p);
  await p.getByRole('button', { name: 'Temporary chat' }).click();
  await say(`Do not keep ${passing}`);

  const { stdout } = await run(join(root, 'bin', 'sotto'), ['ask', '-server', server.url, '--insecure-software-node', `Say ${typed}`], {
    env: { PATH: process.env.PATH, HOME: server.home, TMPDIR: server.tmp },
  });
  assert.ok(stdout.length > 5);

  metrics = await (await fetch(metricsURL)).text();
  assert.match(metrics, /sotto_/);
  await d.close();
  await server.stop();
  await packets.stop();
  writeFileSync(join(folder, 'log.txt'), server.log());
  writeFileSync(join(folder, 'metrics.txt'), metrics);
});

// A browser or a capture that is left running would keep this process.
after(async () => {
  await d?.close();
  await packets?.stop().catch(() => {});
  await server?.stop();
});

test('the words are in no log line and no metric', () => {
  for (const word of words) {
    assert.equal(find(word, Buffer.from(server.log())), '');
    assert.equal(find(word, Buffer.from(metrics)), '');
  }
});

test('the words are in no database page, temp or home folder', () => {
  const db = readFileSync(join(server.data, 'sotto.db'));
  assert.ok(db.length > 4096 && db.subarray(0, 6).toString() === 'SQLite');
  assert.deepEqual(findInFiles(words, [server.data, server.tmp, server.home]), []);
});

test('the words are in no packet that the gateway or anyone on the way could see', () => {
  const pcap = readFileSync(packets.file);
  assert.ok(pcap.length > 100_000, `a capture of only ${pcap.length} bytes`);
  assert.ok(pcap.includes('/sotto/v1/seal'), 'the capture holds the sealed requests');
  for (const word of words) assert.equal(find(word, pcap), '');
});

test('the words are not at rest in the browser', () => {
  assert.deepEqual(findInFiles(words, [profile]), []);
});

test('the search finds a word in each place where it is planted', async () => {
  const word = newWord();
  const planted = scratch('planted');
  copyFileSync(join(folder, 'log.txt'), join(planted, 'log.txt'));
  appendFileSync(join(planted, 'log.txt'), `{"msg":"request","prompt":"${word}"}\n`);
  copyFileSync(join(folder, 'metrics.txt'), join(planted, 'metrics.txt'));
  appendFileSync(join(planted, 'metrics.txt'), `sotto_requests{prompt="${word}"} 1\n`);
  copyFileSync(join(server.data, 'sotto.db'), join(planted, 'sotto.db'));
  await run('node', ['-e', `
    const fs = require('fs'); const f = fs.openSync(process.argv[1], 'r+');
    fs.writeSync(f, process.argv[2], 5000); fs.closeSync(f);`, join(planted, 'sotto.db'), word]);
  writeFileSync(join(planted, 'upload.tmp'), Buffer.from(word, 'utf16le'));
  writeFileSync(join(planted, 'cookie'), `x=${Buffer.from(`a${word}b`).toString('base64')}`);
  writeFileSync(join(planted, 'upper'), word.toUpperCase());

  // One request in clear to a port that is captured.
  const plain = createServer((s) => s.resume());
  await new Promise((resolve) => plain.listen(0, '127.0.0.1', resolve));
  const wire = await capture(join(planted, 'wire.pcap'), [plain.address().port]);
  await new Promise((resolve) => {
    const c = connect(plain.address().port, '127.0.0.1', () => c.end(`POST / HTTP/1.1\r\n\r\n${word}`, resolve));
  });
  await wire.stop();
  plain.close();

  const found = new Set(findInFiles([word], [planted]).map((hit) => hit.split(':')[0]));
  assert.deepEqual([...found].sort(), ['cookie', 'log.txt', 'metrics.txt', 'sotto.db', 'upload.tmp', 'upper', 'wire.pcap']);
});
