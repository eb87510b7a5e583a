// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Starts a real `sottod demo` and a real Chromium for the tests beside this
// file. Everything a test starts ends with it, by its process id.

import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const shots = join(root, 'test', 'e2e', 'shots');
mkdirSync(shots, { recursive: true });

/** A scratch folder that goes when the test process does. */
export function scratch(name) {
  const dir = mkdtempSync(join(tmpdir(), `sotto-${name}-`));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/**
 * Runs `sottod demo` on a free port with its own data, home and temp folders.
 * Resolves once it listens: { url, data, home, tmp, log(), stop() }.
 */
export async function demo(args = [], { env = {} } = {}) {
  const dir = scratch('demo');
  const folder = (name) => {
    const path = join(dir, name);
    mkdirSync(path);
    return path;
  };
  const data = folder('data'), home = folder('home'), tmp = folder('tmp');
  const child = spawn(
    join(root, 'bin', 'sottod'),
    ['demo', '-listen', '127.0.0.1:0', '-data', data, '-log', 'json', ...args],
    { env: { PATH: process.env.PATH, HOME: home, TMPDIR: tmp, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  const url = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`sottod demo didn't start in 60 s:\n${log}`)), 60_000);
    const read = (chunk) => {
      log += chunk;
      const m = log.match(/http:\/\/localhost:\d+/);
      if (m) {
        clearTimeout(late);
        resolve(m[0]);
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('exit', (code) => {
      clearTimeout(late);
      reject(new Error(`sottod demo ended with ${code}:\n${log}`));
    });
  });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  return {
    url, data, home, tmp,
    pid: child.pid,
    port: Number(new URL(url).port),
    log: () => log,
    stop: async () => {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
      const code = await ended;
      clearTimeout(late);
      return code;
    },
  };
}

const chromiumArgs = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

/** Chromium with its own profile folder, as one person's device. */
export async function device({ width = 1280, height = 800, dark = false, profile = scratch('profile'), prf = true } = {}) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: chromiumArgs,
    headless: true,
    viewport: { width, height },
    colorScheme: dark ? 'dark' : 'light',
    reducedMotion: 'reduce',
    locale: 'en-GB',
    timezoneId: 'UTC',
    hasTouch: width < 600,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const problems = [];
  page.on('console', (m) => {
    // A refused request is a test's own doing and is asserted there; everything else that is red counts.
    if (m.type() === 'error' && !/Failed to load resource/.test(m.text())) problems.push(m.text());
  });
  page.on('pageerror', (e) => problems.push(String(e)));
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (e) => {
      console.error(`CSP violation: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`);
    });
  });
  const cdp = await context.newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'internal', hasResidentKey: true,
      hasUserVerification: true, hasPrf: prf, automaticPresenceSimulation: true, isUserVerified: true,
    },
  });
  return {
    context, page, cdp, profile, problems, authenticatorId,
    /** The passkeys are gone, as on a lost phone. */
    losePasskeys: () => cdp.send('WebAuthn.clearCredentials', { authenticatorId }),
    close: () => context.close(),
  };
}

/** Saves what the page looks like, for people to look through. */
export async function shot(page, name) {
  await page.screenshot({ path: join(shots, `${name}.png`) });
}
