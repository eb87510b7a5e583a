// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Starts a real `sottod demo` and a real Chromium for the tests beside this
// file. Everything a test starts ends with it, by its process id.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const shots = join(root, 'test', 'e2e', 'shots');
mkdirSync(shots, { recursive: true });

/**
 * How long anything may take before a test gives up, in milliseconds. Many times what it takes, because the machine may
 * be busy with other things; a test that passes never waits for it.
 */
const PATIENCE = 60_000;

/** A scratch folder that goes when the test process does. */
export function scratch(name) {
  const dir = mkdtempSync(join(tmpdir(), `sotto-${name}-`));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/**
 * Runs `sottod demo` on a free port with its own data, home and temp folders.
 * Resolves once it listens: { url, port, data, home, tmp, log(), stop() }.
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
    // A quick tick, or each answer's padding would hold a connection for 13 s.
    ['demo', '-listen', '127.0.0.1:0', '-data', data, '-log-format', 'json', '-tick', '10ms', ...args],
    { env: { PATH: process.env.PATH, HOME: home, TMPDIR: tmp, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  const port = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`sottod demo didn't start in time:\n${log}`)), 2 * PATIENCE);
    const read = (chunk) => {
      log += chunk;
      const m = log.match(/"listen":"127.0.0.1:(\d+)"/);
      if (m) {
        clearTimeout(late);
        resolve(Number(m[1]));
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
    port, data, home, tmp,
    url: `http://localhost:${port}`,
    pid: child.pid,
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
  page.setDefaultTimeout(PATIENCE);
  page.setDefaultNavigationTimeout(PATIENCE);
  const problems = [];
  page.on('console', (m) => {
    // A refused request is a test's own doing and is asserted there; everything else that is red counts.
    if (m.type() === 'error' && !/Failed to load resource/.test(m.text())) problems.push(m.text());
  });
  // What the core says when it ends unasked goes to the Worker's console.
  page.on('worker', (w) => w.on('console', (m) => m.type() === 'error' && problems.push(`core: ${m.text()}`)));
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

/** Waits until f answers true; says what it waited for when it doesn't. */
export async function waitFor(f, what, timeout = PATIENCE) {
  const end = Date.now() + timeout;
  for (;;) {
    let ok = false, why = '';
    try {
      ok = await f();
    } catch (e) {
      why = ` (${String(e).split('\n')[0]})`;
    }
    if (ok) return;
    if (Date.now() > end) throw new Error(`waited ${timeout / 1000} s in vain for ${what}${why}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Makes an account: passkey, kit, and a passphrase where the browser's passkeys give no key. Returns the kit's groups. */
export async function signUp(page, { passphrase, shots: pictures = false } = {}) {
  await page.getByRole('button', { name: 'Create a passkey' }).click();
  const list = page.getByRole('list', { name: 'Recovery kit' });
  await list.waitFor();
  const kit = await list.locator('code').allInnerTexts();
  if (pictures) {
    await shot(page, '02-kit');
    await audit(page, 'kit');
  }
  await page.getByRole('button', { name: 'I have kept it' }).click();
  const boxes = page.getByRole('textbox', { name: /^Group \d$/ });
  await boxes.first().waitFor();
  if (pictures) await shot(page, '03-kit-check');
  for (const box of await boxes.all()) {
    const label = await box.evaluate((el) => el.labels[0].innerText);
    await box.fill(kit[Number(label.match(/\d/)[0]) - 1].toLowerCase());
  }
  await page.getByRole('button', { name: 'Confirm' }).click();
  if (passphrase) {
    await page.locator('input[autocomplete="new-password"]').nth(0).fill(passphrase);
    await page.locator('input[autocomplete="new-password"]').nth(1).fill(passphrase);
    await page.getByRole('button', { name: 'Create account' }).click();
  }
  await page.getByRole('button', { name: 'Use the demo machine' }).waitFor();
  return kit;
}

/** Accepts demo hardware. The message box is out of reach until the sheet has gone. */
export async function acceptDemo(page) {
  const accept = page.getByRole('button', { name: 'Use the demo machine' });
  await accept.click();
  await accept.waitFor({ state: 'hidden' });
}

/** The words beside the send button. */
export const trustLine = (page) => page.getByRole('button', { name: /Show how this is checked/ }).innerText();

/** Opens the menu of a chat in the sidebar. */
export async function openMenu(page, title) {
  const nav = page.getByRole('navigation', { name: 'Chats' });
  await nav.getByRole('link', { name: title }).first().hover();
  await nav.getByRole('button', { name: `Actions for ${title}` }).first().click();
}

/** Starts a new chat from the sidebar. */
export const newChat = (page) => page.getByRole('navigation', { name: 'Chats' }).getByRole('link', { name: 'New chat' }).first().click();

/** Searches for words, and waits until one of the hits shows them. Leaves the dialog open. */
export async function search(page, words, what = 'a hit') {
  await page.keyboard.press('ControlOrMeta+k');
  await page.getByRole('combobox', { name: 'Search in your chats' }).fill(words);
  await waitFor(async () => (await page.getByRole('dialog').locator('mark').count()) > 0, what);
}

/** Closes the dialog that is open. */
export async function escape(page) {
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
}

/** The bytes of the file that act() makes the browser save. */
export async function grab(page, act) {
  const [download] = await Promise.all([page.waitForEvent('download'), act()]);
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Fails if axe finds anything serious on the page as it is. */
export async function audit(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return violations
      .filter((v) => v.impact === 'serious' || v.impact === 'critical')
      .map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`);
  });
  assert.deepEqual(found, [], `axe on ${where}`);
}
