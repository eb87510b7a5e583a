// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Checks what the page does by itself, with the fake core:
//
//	node web/gallery/behave.mjs BUILT-GALLERY

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { CHROMIUM, serve } from './serve.mjs';

const site = await serve(process.argv[2]);
const browser = await chromium.launch(CHROMIUM);
let failed = 0;

/** A word in the names of the checks to run; all without. */
const only = process.argv[3] ?? '';

/** Runs one check on a page of its own. */
async function check(name, href, f, size = { width: 1280, height: 800 }) {
  if (!name.includes(only)) return;
  const page = await browser.newPage({ viewport: size });
  page.setDefaultTimeout(60_000);
  const errors = [];
  page.on('pageerror', (e) => errors.push(e.message));
  try {
    await page.goto(site.url + href);
    await page.waitForSelector('html[data-ready]');
    await f(page);
    assert.deepEqual(errors, []);
    console.log(`ok   ${name}`);
  } catch (e) {
    failed++;
    console.log(`FAIL ${name}: ${e.message}`);
  }
  await page.close();
}

const trust = (page, state) => page.evaluate((s) => globalThis.core.trustIs(s), state);
const box = '.composer-text';
/** What waits for the next frames has had its time. */
const settled = (page) =>
  page.evaluate(() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(r, 50)))));

await check('a message waits for the check and then goes by itself', '/?state=checking-queued', async (page) => {
  assert.equal(await page.locator('.message').count(), 0);
  await trust(page, 'verified');
  await page.waitForSelector('.message.user');
  assert.equal(await page.locator('.composer-queued').count(), 0);
});

await check(
  'a waiting message that fails the check is never sent and can be taken back',
  '/?state=checking-queued',
  async (page) => {
    await trust(page, 'failed');
    await page.waitForSelector('.composer-problem.hard');
    await page.click('.composer-queued button');
    assert.match(await page.inputValue(box), /rash/);
    assert.equal(await page.locator('.message').count(), 0);
  },
);

for (const state of ['failed', 'unknown']) {
  await check(
    `nothing is sent while the state is ${state}`,
    `/?state=${state === 'failed' ? 'panel-failed' : state}`,
    async (page) => {
      await page.keyboard.press('Escape');
      await page.fill(box, 'secret');
      await page.press(box, 'Enter');
      await page.waitForSelector('.panel');
      await page.keyboard.press('Escape');
      await page.waitForSelector('.panel', { state: 'detached' });
      assert.equal(await page.inputValue(box), 'secret');
      assert.equal(await page.locator('.message').count(), 0);
      assert.equal(await page.getByRole('button', { name: /anyway/i }).count(), 0);
    },
  );
}

await check('nothing is sent by a page that is not the published one, and the words say which it is', '/?state=page-changed', async (page) => {
  assert.match(await page.textContent('.trust'), /Not sent\. This page is not the published page/);
  assert.match(await page.textContent('.notice'), /Nothing is sent/);
  await page.fill(box, 'secret');
  await page.press(box, 'Enter');
  await page.waitForSelector('.panel');
  assert.match(await page.textContent('.panel-state'), /This page is not the published page/);
  await page.keyboard.press('Escape');
  await page.waitForSelector('.panel', { state: 'detached' });
  assert.equal(await page.inputValue(box), 'secret');
  assert.equal(await page.locator('.message').count(), 0);
});

await check('a new version of the page says what changed, and waits', '/?state=page-update-sheet', async (page) => {
  const sheet = page.getByRole('dialog');
  assert.match(await sheet.innerText(), /1\.4\.2 to 1\.4\.3/);
  assert.equal(await sheet.locator('.changes li').count(), 4);
  await sheet.getByRole('button', { name: 'Later' }).click();
  await sheet.waitFor({ state: 'detached' });
  await page.locator('.notice').getByRole('button', { name: 'Dismiss' }).click();
  await page.waitForSelector('.notice', { state: 'detached' });
  await page.fill(box, 'the old one goes on');
  await page.press(box, 'Enter');
  await page.waitForSelector('.message.user');
});

await check('the panel of an answer opens as it was then', '/chat/c2?state=receipt', async (page) => {
  const sheet = page.getByRole('dialog');
  assert.equal(await sheet.locator('.check').count(), 5);
  assert.match(await sheet.innerText(), /18,230/);
  assert.match(await sheet.innerText(), /This is what it showed then/);
});

await check('an answer from before there were rows opens all the same', '/chat/c4?state=receipt-old', async (page) => {
  const sheet = page.getByRole('dialog');
  assert.equal(await sheet.locator('.check').count(), 0);
  assert.match(await sheet.innerText(), /AMD processor/);
});

await check('the conversation says that another release answers', '/chat/c4?state=release-changed', async (page) => {
  assert.match(await page.textContent('.log-event'), /release 1\.4\.2 → 1\.4\.3, in the public log, 2 witnesses/);
});

await check('the report lists answers by time, and is saved as a table', '/settings?state=report', async (page) => {
  const sheet = page.getByRole('dialog');
  await sheet.locator('.report-list li').first().waitFor();
  assert.equal(await sheet.locator('.report-list li').count(), 5);
  await sheet.getByRole('button', { name: 'Last day' }).click();
  assert.equal(await sheet.locator('.report-list li').count(), 3);
  await sheet.getByRole('button', { name: 'All' }).click();
  assert.equal(await sheet.locator('.report-list li').count(), 6);
  const saved = page.waitForEvent('download');
  await sheet.getByRole('button', { name: /CSV/ }).click();
  assert.equal((await saved).suggestedFilename(), 'sotto-report.csv');
});

await check('the demo is asked about once, and the message that waited is sent', '/?state=consent', async (page) => {
  await page.getByRole('button', { name: 'Not now' }).click();
  await page.fill(box, 'hello');
  await page.press(box, 'Enter');
  await page.getByRole('button', { name: 'Use the demo machine' }).click();
  await page.waitForSelector('.message.user');
  assert.match(await page.textContent('.trust'), /not private/);
});

await check(
  'the conversation follows the answer until the person scrolls up',
  '/chat/c4?state=scrolled-up',
  async (page) => {
    await page.click('.jump');
    const fromEnd = () => page.$eval('.log', (l) => l.scrollHeight - l.scrollTop - l.clientHeight);
    await page.waitForFunction(() => document.querySelector('.log').scrollTop > 0);
    await page.fill(box, 'and more');
    await page.press(box, 'Enter');
    await page.waitForSelector('.message.last .md > p');
    assert.ok((await fromEnd()) < 60, 'at the end while it grows');
    await page.mouse.move(700, 300);
    await page.mouse.wheel(0, -600);
    await page.waitForSelector('.jump');
    const before = await page.$eval('.log', (l) => l.scrollTop);
    await page.waitForTimeout(800);
    assert.ok(Math.abs((await page.$eval('.log', (l) => l.scrollTop)) - before) < 5, 'stays where the person is');
  },
);

await check(
  'earlier messages come when the top is near, and the place is kept',
  '/chat/c4?state=scrolled-up',
  async (page) => {
    const first = await page.locator('.message').count();
    assert.ok(first < 100, `${first} of 400 drawn at first`);
    await page.$eval('.log', (l) => (l.scrollTop = 0));
    await page.waitForFunction((n) => document.querySelectorAll('.message').length > n, first);
    assert.ok((await page.$eval('.log', (l) => l.scrollTop)) > 200);
  },
);

await check(
  'a temporary chat asks before it is left, by a link and by the back button',
  '/?state=temporary',
  async (page) => {
    await page.click('.side-chat >> nth=1');
    await page.getByRole('button', { name: 'Stay' }).click();
    assert.ok((await page.locator('.message').count()) > 0);
    await page.evaluate(() => history.pushState(null, '', '/settings'));
    await page.goBack();
    await page.getByRole('button', { name: 'Leave', exact: true }).click();
    await page.waitForSelector('.message', { state: 'detached' });
  },
);

await check('undo keeps a deleted chat', '/?state=delete-undo', async (page) => {
  const name = 'Sourdough that rises in a cold kitchen';
  assert.equal(await page.locator(`.side-chat[title="${name}"]`).count(), 0);
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.waitForSelector(`.side-chat[title="${name}"]`);
});

await check('what was typed in a chat is there again', '/chat/c2?state=chat', async (page) => {
  await page.fill(box, 'half a thought');
  await page.click('.side-chat >> nth=0');
  await page.waitForFunction(() => document.querySelector('.composer-text').value === '');
  await page.goBack();
  await page.waitForFunction(() => document.querySelector('.composer-text').value === 'half a thought');
});

// A double click is two clicks, and a click goes to the chat: that must not take the field's focus.
for (const row of [1, 4]) {
  await check(
    `a double click renames ${row === 1 ? 'the chat on the screen' : 'another chat'}`,
    '/chat/c2?state=chat',
    async (page) => {
      await page.locator('.side-chat').nth(row).dblclick();
      await page.waitForSelector('.side-rename:focus');
      await settled(page);
      await page.keyboard.type('A title typed blindly');
      await page.keyboard.press('Enter');
      await page.waitForSelector('.side-chat:has-text("A title typed blindly")');
      await settled(page);
      assert.equal(await page.inputValue(box), '');
      assert.match(await page.evaluate(() => document.activeElement.textContent), /typed blindly/);
    },
  );
}

await check('the menus rename too, and Escape leaves the title as it was', '/chat/c2?state=chat', async (page) => {
  const row = page.locator('.side-row').nth(1);
  await row.hover();
  await row.locator('.side-more').click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await page.waitForSelector('.side-rename:focus');
  await settled(page);
  await page.keyboard.type('Thrown away');
  await page.keyboard.press('Escape');
  await page.waitForSelector('.side-rename', { state: 'detached' });
  assert.equal(await page.locator('.side-chat:has-text("Thrown away")').count(), 0);
  await page.click('.head-title button');
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await page.waitForSelector('.head-rename:focus');
  await settled(page);
  await page.keyboard.type('From the head');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.head-title h1:has-text("From the head")');
  assert.ok(await page.evaluate(() => document.activeElement.matches('.head-title button')));
});

await check('a title that is being written stays where it is while chats come and go', '/?state=new-chat', async (page) => {
  await page.locator('.side-chat').nth(5).dblclick();
  await page.waitForSelector('.side-rename:focus');
  await page.keyboard.type('Half');
  // Another device writes in this chat: it becomes today's first.
  await page.evaluate(() => globalThis.core.touch('c6'));
  await settled(page);
  await page.keyboard.type(' and half');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.side-chat:has-text("Half and half")');
  assert.match(await page.locator('.sidebar section').nth(1).innerText(), /Half and half/);
});

await check('the message box has the focus wherever a chat is opened', '/chat/c2?state=chat', async (page) => {
  const focused = () => page.waitForSelector(`${box}:focus`);
  await focused();
  await page.locator('.side-chat').nth(4).click();
  await page.waitForFunction(() => location.pathname === '/chat/c5');
  await focused();
  await page.locator('.sidebar-actions .side-link').first().click();
  await page.waitForSelector('.fresh');
  await focused();
  await page.keyboard.type('first words');
  assert.equal(await page.inputValue(box), 'first words');
  await page.keyboard.press('Control+k');
  await page.waitForSelector('.search-input:focus');
  await page.keyboard.type('landlord');
  await page.waitForSelector('.hit mark');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#m-u1');
  await focused();
  await page.locator('#m-u2').hover();
  await page.click('#m-u2 .icon-button[title="Edit"]');
  await page.waitForSelector('.editing textarea:focus');
  await settled(page);
  assert.ok(await page.evaluate(() => document.activeElement.matches('.editing textarea')), 'an edit keeps the focus');
  await page.keyboard.press('Escape');
  await focused();
});

await check('after the demo was accepted the person can write at once', '/?state=consent', async (page) => {
  await page.getByRole('button', { name: 'Use the demo machine' }).click();
  await page.waitForSelector(`${box}:focus`);
});

await check('the search finds what comes in while it is open', '/?state=search', async (page) => {
  await page.waitForSelector('.search-input:focus');
  await page.keyboard.type('marmalade');
  await page.waitForSelector('.search-none');
  await page.evaluate(() => globalThis.core.arrive('c5', 'Marmalade, the boat’s name'));
  await page.waitForSelector('.hit mark');
});

await check('after the server went back the person is asked once, and goes on', '/?state=went-back', async (page) => {
  const go = page.getByRole('button', { name: 'Go on with the server’s copy' });
  await go.click();
  const dialog = page.getByRole('dialog');
  assert.match(await dialog.innerText(), /Nothing here is lost/);
  await dialog.getByRole('button', { name: 'Not now' }).click();
  await dialog.waitFor({ state: 'detached' });
  await go.click();
  await dialog.getByRole('button', { name: 'Go on with the server’s copy' }).click();
  await page.waitForSelector('.toast:has-text("in step with the server")');
  assert.equal(await page.locator('.notice.history').count(), 0);
  assert.equal(await dialog.count(), 0);
});

await check('where going on fails, the notice stays and says why', '/?state=went-back-offline', async (page) => {
  await page.waitForSelector('dialog .problem:has-text("can’t be reached")');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Go on with the server’s copy' }).waitFor();
});

await check('editing makes a branch, the arrows go back', '/chat/c2?state=chat', async (page) => {
  await page.focus(box);
  await page.press(box, 'ArrowUp');
  await page.waitForSelector('.editing textarea:focus');
  await page.fill('.editing textarea', 'Other words');
  await page.press('.editing textarea', 'Control+Enter');
  await page.waitForSelector('text=2/2');
  assert.equal(await page.locator('.bubble', { hasText: 'Other words' }).count(), 1);
  const mine = page.locator('.message.user', { hasText: 'Other words' });
  await mine.hover();
  await mine.getByRole('button', { name: 'Earlier version' }).click();
  await page.waitForSelector('.bubble:has-text("a little firmer")');
});

await check('focus stays in a dialog and comes back after', '/?state=new-chat', async (page) => {
  await page.focus('.trust');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.panel');
  for (let i = 0; i < 20; i++) await page.keyboard.press('Tab');
  assert.ok(
    await page.evaluate(
      () => document.activeElement === document.body || document.activeElement.closest('dialog') !== null,
    ),
  );
  await page.keyboard.press('Escape');
  await page.waitForSelector('.panel', { state: 'detached' });
  assert.ok(await page.evaluate(() => document.activeElement.matches('.trust')));
});

await check('a link shows where it leads and leaves only then', '/chat/c4?state=link', async (page) => {
  assert.match(await page.textContent('.address'), /utm_source=tracking/);
  await page.keyboard.press('Escape');
  const pages = browser.contexts().reduce((n, c) => n + c.pages().length, 0);
  await page.locator('.md a').first().click({ button: 'middle' });
  await page.waitForSelector('.address');
  assert.equal(
    browser.contexts().reduce((n, c) => n + c.pages().length, 0),
    pages,
  );
});

await check('limits: from five left on it is said how many, and the last one leaves the words in the box', '/?state=plan-few', async (page) => {
  await page.waitForSelector('.composer-left:has-text("3 messages left today")');
  await page.evaluate(async () => {
    const plan = await globalThis.core.plan();
    globalThis.core.emit({ t: 'plan', plan: { ...plan, left: 6 } });
  });
  await page.waitForSelector('.composer-left', { state: 'detached' });
  await page.evaluate(async () => {
    const plan = await globalThis.core.plan();
    globalThis.core.emit({ t: 'plan', plan: { ...plan, left: 0 } });
  });
  await page.waitForSelector('.composer-plan:has-text("New ones come at")');
  await page.fill(box, 'kept');
  await page.press(box, 'Enter');
  await settled(page);
  assert.equal(await page.inputValue(box), 'kept');
  assert.equal(await page.locator('.message').count(), 0);
});

await check('limits: a member is told of fair use, and of nothing else', '/?state=plan-fair', async (page) => {
  await page.waitForSelector('.composer-plan:has-text("Try again in 12 minutes.")');
  await page.evaluate(async () => {
    const plan = await globalThis.core.plan();
    globalThis.core.emit({ t: 'plan', plan: { ...plan, again: 0 } });
  });
  await page.waitForSelector('.composer-plan', { state: 'detached' });
  assert.equal(await page.locator('.composer-left').count(), 0);
});

await check('limits: the sixth chat asks for one to be archived, and then what was typed goes', '/?state=chats-full', async (page) => {
  await page.waitForSelector('.composer-plan:has-text("5 active chats")');
  await page.fill(box, 'a sixth subject');
  await page.press(box, 'Enter');
  const dialog = page.getByRole('dialog');
  assert.equal(await dialog.locator('.things li').count(), 5);
  assert.equal(await page.locator('.message').count(), 0);
  await dialog.getByRole('button', { name: 'Archive “A name for the boat”' }).click();
  await page.waitForSelector('.message.user:has-text("a sixth subject")');
});

await check('limits: making room by itself sends nothing', '/?state=chats-full-choose', async (page) => {
  await page.keyboard.press('Escape');
  await page.fill(box, 'half a thought');
  await page.click('.composer-plan .button');
  await page.getByRole('button', { name: 'Archive “A name for the boat”' }).click();
  await page.waitForSelector('.composer-plan', { state: 'detached' });
  await settled(page);
  assert.equal(await page.inputValue(box), 'half a thought');
  assert.equal(await page.locator('.message').count(), 0);
});

await check('limits: the sixth chat of another device can be read', '/chat/c6?state=chats-sixth', async (page) => {
  await page.waitForSelector('.composer-plan:has-text("You can read this chat")');
  assert.ok((await page.locator('.message').count()) > 1);
});

await check('limits: a voucher makes a member', '/settings?state=settings-free', async (page) => {
  await page.fill('.plan-voucher input', 'ABCD-EFGH');
  await page.click('.plan-voucher button');
  await page.waitForSelector('.set-row h3:text-is("Member")');
  await page.waitForSelector('.saved:has-text("The code is used")');
});

await check(
  'on a phone the drawer takes the focus and Escape closes it',
  '/?state=new-chat',
  async (page) => {
    await page.click('.head-side');
    await page.waitForFunction(() => document.activeElement.closest('.sidebar') !== null);
    await page.keyboard.press('Escape');
    await page.waitForSelector('.drawer-open', { state: 'detached' });
  },
  { width: 360, height: 740 },
);

await browser.close();
site.close();
process.exitCode = failed ? 1 : 0;
