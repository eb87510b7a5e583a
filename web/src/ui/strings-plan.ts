// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The words about plans, limits and the relay. They come with the parts that
// say them, which a first load does without.

import { plural } from './strings.ts';

export const en = {
  title: 'Plan',
  names: { free: 'Free', member: 'Member' } as Record<string, string>,
  other: (name: string) => name,
  loading: 'Asking for your plan…',
  failed: 'Your plan could not be loaded.',
  offers: (perDay: number, chats: number) =>
    [
      perDay < 0 ? 'As many messages as you like' : plural(perDay, { one: '# message a day', other: '# messages a day' }),
      chats > 0 ? plural(chats, { one: '# active chat', other: '# active chats' }) : 'as many chats as you like',
    ].join(', ') + '.',
  fair: (perHour: number) => `Fair use: ${perHour.toLocaleString('en')} messages an hour.`,
  until: {
    '': (when: string) => `Until ${when}.`,
    active: (when: string) => `Paid until ${when}, and goes on.`,
    ending: (when: string) => `Paid until ${when}, and ends then.`,
    failed: (when: string) => `Paid until ${when}. The last payment failed.`,
  },
  uncounted: 'No plan is needed here: messages are not counted.',
  left: 'Messages left today',
  leftOf: (left: number, of: number) => `${left.toLocaleString('en')} of ${of.toLocaleString('en')}`,
  unlimited: 'Not limited',
  unknown: 'Not known yet',
  resets: (when: string) => `New messages at ${when}, your time.`,
  resetsOn: (when: string) => `New messages on ${when}, your time.`,
  member: 'Become a member',
  memberHint: (price: string) => `${price ? `${price}: a` : 'A'}s many messages and chats as you like, within fair use.`,
  memberGo: 'Go to the payment page',
  memberNote: 'Opens the payment provider’s page. Nothing you write is ever sent there.',
  going: 'Opening…',
  badAddress: 'The server gave an address that is no payment page. Nothing was opened. Tell whoever runs it.',
  manage: 'Manage',
  manageTitle: 'Payment',
  manageHint: 'Change the card, get receipts, or end the membership, at the payment provider.',
  manageFailed: 'The last payment failed. Change the card at the payment provider, or the membership ends.',
  given: 'Plans here are given by whoever runs this server.',
  voucher: 'Code',
  voucherHint: 'A code that pays for a plan. Nobody asks who you are.',
  voucherLabel: 'Code',
  voucherGo: 'Use the code',
  voucherBusy: 'Checking…',
  voucherDone: 'The code is used. Your plan is up to date.',
  account: 'Account number',
  accountHint: 'Quote this when you ask for help with a payment. It opens nothing.',
  copyAccount: 'Copy the account number',
  knownTitle: 'What is known',
  known: {
    provider: 'The payment provider knows your card and that you pay. It never learns what you write, or when.',
    noProvider: 'No payment provider is involved.',
    us: 'The account server knows your plan and how many tokens your devices fetched each day. Not how many you used, or for what.',
    machine: 'A message carries a token that says “somebody may ask”. It can’t be traced to you, to your plan or to another message.',
  },

  line: {
    left: (n: number) => plural(n, { one: '# message left today', other: '# messages left today' }),
    used: (when: string) => `You have used today’s messages. New ones come at ${when}, your time. What you type stays here.`,
    usedSoon: 'You have used today’s messages. What you type stays here.',
    fair: (minutes: number) =>
      `You are sending faster than fair use allows. Try again in ${plural(minutes, { one: '# minute', other: '# minutes' })}.`,
    full: (n: number) => `You have ${plural(n, { one: '# active chat', other: '# active chats' })}. Archive one to start another.`,
    reading: (n: number) =>
      `You can read this chat. To write in it, archive one of your ${plural(n, { one: '# active chat', other: '# active chats' })}.`,
    choose: 'Choose one',
    member: 'Become a member',
    plan: 'Plan',
    code: 'Use a code',
  },

  chats: {
    title: (n: number) => `Your ${plural(n, { one: '# active chat', other: '# active chats' })}`,
    lead: (n: number) =>
      `Your plan has ${plural(n, { one: '# active chat', other: '# active chats' })}. Archive one to write in another: archived chats stay here and can be read, and come back when there is room.`,
    used: (when: string) => `Last used ${when}`,
    archive: 'Archive',
    archiveOne: (title: string) => `Archive “${title}”`,
    member: 'Members have as many chats as they like.',
    room: 'There is room for another chat now.',
  },

  relay: {
    row: 'Who sees your address',
    words: { hidden: 'Hidden', visible: 'Visible', demo: 'Demo', failed: 'Not reached', none: 'Waiting' },
    hidden: (host: string, by: string) =>
      `Your address is hidden from the machine and what leads to it by ${host}${by ? `, run by ${by}` : ''}. The relay sees your address and nothing of what you write; the other side sees what is asked for and no address.`,
    visible: 'Your address is visible to this server: it has no relay. It still can’t read what you write.',
    demo: (host: string) => `The relay (${host}) is on the same machine: demo. It hides nothing from whoever runs this machine.`,
    failed: (host: string) =>
      `The relay at ${host} can’t be reached. Nothing was sent. Try again; if it stays so, tell whoever runs this server. Nothing goes around the relay.`,
    none: 'Not known yet.',
    account: 'Your account and this page are served directly: they see your address, and none of your messages.',
  },

  /** Sentences for refused tokens, where there is nothing closer to say. */
  tokens: {
    token_missing: 'This message went without its token, so it was not taken. Reload the page and send it again.',
    token_malformed: 'This message’s token could not be read, so it was not taken. Reload the page and send it again.',
    token_foreign: 'This message’s token is of another server, so it was not taken. Reload the page and send it again.',
    token_expired: 'This message’s token was from another day. Send it again; if that keeps failing, set this device’s clock.',
    token_future: 'This message’s token is for a later day. Set this device’s clock, then send it again.',
    token_invalid: 'This message’s token is not good, so it was not taken. Send it again.',
    token_spent: 'This message’s token was used before, so it was not taken. Send it again.',
    holder_invalid: 'This message’s token is not this device’s, so it was not taken. Send it again.',
    refund_malformed: 'The message was not answered and its token could not be given back. Send it again.',
    refund_refused: 'An answer had begun, so its token is used. Ask for the answer again.',
  } as Record<string, string>,
};

/** The person's language; English is the only one so far. */
export const p: typeof en = en;
