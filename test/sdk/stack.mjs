// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Builds and runs `sotto proxy` and the service behind it, for the tests beside
// this file. Everything started here ends with the test process.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const dir = mkdtempSync(join(tmpdir(), 'sotto-sdk-'));
const children = [];

process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

/** Ends what was started, so that the test runner can end too. */
export function stop() {
  for (const child of children) {
    child.kill('SIGTERM');
    child.stdin.destroy();
    child.stdout.destroy();
    child.stderr.destroy();
    child.unref();
  }
}

function start(program, args, env = {}) {
  const child = spawn(join(dir, program), args, {
    env: { PATH: process.env.PATH, HOME: dir, SOTTO_CONFIG_DIR: dir, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.push(child);
  return child;
}

/** The next lines of a stream, one promise each. */
function lines(stream) {
  const reader = createInterface({ input: stream })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await reader.next();
    if (done) throw new Error('a program ended early');
    return value;
  };
}

/**
 * Runs everything. `proxy(args, env)` starts one more `sotto proxy` and gives
 * { baseURL, apiKey }; `seen()` asks the model server: { requests, cancelled }.
 */
export async function stack() {
  execFileSync('go', ['build', '-o', dir + '/', './cmd/sotto', './test/sdk/service'], { cwd: root, stdio: 'inherit' });
  const service = start('service', []);
  const say = lines(service.stdout);
  const url = await say();

  const proxy = async (args = ['--insecure-software-node'], env = {}) => {
    const child = start('sotto', ['proxy', '-listen', '127.0.0.1:0', '-server', url, ...args], env);
    const next = lines(child.stderr);
    const value = async () => (await next()).replace(/^export \w+=/, '');
    return { baseURL: await value(), apiKey: await value(), child };
  };
  const seen = async () => {
    service.stdin.write('\n');
    const [requests, cancelled] = (await say()).split(' ').map(Number);
    return { requests, cancelled };
  };
  return { url, proxy, seen };
}
