// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Looks for a word where it must never be: logs, metrics, database pages, temp
// and home folders, a browser's profile, captured packets.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

/** A random word that nothing else on the machine holds. */
export const newWord = () => `canary${randomBytes(9).toString('hex')}`;

/** The word in each way in which bytes usually carry text. */
function forms(word) {
  const utf8 = Buffer.from(word, 'utf8');
  const out = [
    ['utf-8', utf8],
    ['utf-16le', Buffer.from(word, 'utf16le')],
    ['hex', Buffer.from(utf8.toString('hex'))],
  ];
  // base64 has three alignments; the characters that depend on the neighbours are cut off.
  for (let shift = 0; shift < 3; shift++) {
    const text = Buffer.concat([Buffer.alloc(shift), utf8]).toString('base64').replace(/=+$/, '');
    const inner = text.slice(shift === 0 ? 0 : shift + 1, -2);
    out.push([`base64+${shift}`, Buffer.from(inner)], [`base64url+${shift}`, Buffer.from(inner.replace(/\+/g, '-').replace(/\//g, '_'))]);
  }
  return out;
}

/** Finds word in data; returns the form it was in, or ''. */
export function find(word, data) {
  const text = data.toString('latin1').toLowerCase();
  for (const [name, bytes] of forms(word)) {
    // Case is folded where the form keeps letters, so that a lower-cased index entry counts too.
    if (name.startsWith('base64') ? data.includes(bytes) : text.includes(bytes.toString('latin1').toLowerCase())) return name;
  }
  return '';
}

/** Every file below the folders that holds one of the words: ["path: form", …]. */
export function findInFiles(words, folders) {
  const hits = [];
  const walk = (base, dir) => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const path = join(dir, entry.name);
      if (entry.isDirectory()) walk(base, path);
      else if (entry.isFile() && statSync(path).size < 1 << 30) {
        const data = readFileSync(path);
        for (const word of words) {
          const form = find(word, data);
          if (form) hits.push(`${relative(base, path)}: ${form}`);
        }
      }
    }
  };
  for (const folder of folders) walk(folder, folder);
  return hits;
}

/** Captures what crosses the loopback on the ports into a file: { file, stop() }. Needs tcpdump and root. */
export async function capture(file, ports) {
  const filter = ports.map((p) => `port ${p}`).join(' or ');
  const child = spawn('tcpdump', ['-i', 'lo', '--immediate-mode', '-U', '-s', '0', '-B', '65536', '-w', file, filter], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  await new Promise((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      said += chunk;
      if (said.includes('listening on')) resolve();
    });
    child.on('exit', (code) => reject(new Error(`tcpdump ended with ${code}: ${said}`)));
  });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  return {
    file,
    stop: async () => {
      // What is still in the kernel's buffer belongs to the capture.
      await new Promise((resolve) => setTimeout(resolve, 500));
      child.kill('SIGINT');
      await ended;
      if (!/\b0 packets dropped by kernel/.test(said)) throw new Error(`tcpdump lost packets: ${said}`);
    },
  };
}
