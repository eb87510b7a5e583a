// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// What a person may do here: the plan, its limits before they bite, and who sees
// their address. It loads when there is something to say.

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useTask } from './async.ts';
import { CopyButton } from './copy.tsx';
import { daysBefore, shortDay, shortTime } from './dates.ts';
import { Dialog } from './dialog.tsx';
import { Problem } from './entry.tsx';
import { active, FEW, mayWrite } from './limits.ts';
import { Group, Row } from './settings-row.tsx';
import { useStore, type Store } from './store.ts';
import { t } from './strings.ts';
import { p } from './strings-plan.ts';

/** The longest time that a timer takes. */
const MAX_TIMER = 2 ** 31 - 1;

/** Draws itself anew at a time, and now and then before it. */
function useClock(until: number, then?: () => void): void {
  const [, tick] = useState(0);
  useEffect(() => {
    const left = until - Date.now();
    if (left <= 0 || left > MAX_TIMER) return;
    const end = setTimeout(() => (then ? then() : tick((n) => n + 1)), left + 1_000);
    const every = setInterval(() => tick((n) => n + 1), 20_000);
    return () => {
      clearTimeout(end);
      clearInterval(every);
    };
  }, [until]);
}

/** "01:00" where that comes within a day, else with its date. */
export function clock(ms: number, now = Date.now(), locale?: string): string {
  const time = new Date(ms).toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit' });
  return daysBefore(now, ms) <= 1 ? time : shortTime(ms, now, locale);
}

/** What limits the next message, beside the message box. */
export function PlanLine(): VNode | null {
  const store = useStore();
  const plan = store.plan.value;
  const resets = plan.left === 0 ? plan.resets : 0;
  const refresh = (): void => void store.core!.plan().catch(() => {});
  useClock(plan.again || resets, refresh);
  const task = useTask();
  const id = store.view.value?.chat.id ?? '';
  const temporary = store.view.value?.chat.temporary ?? store.temporary.value;
  if (plan.again > Date.now()) {
    return <Line words={p.line.fair(Math.max(1, Math.ceil((plan.again - Date.now()) / 60_000)))} />;
  }
  if (plan.left === 0) {
    return (
      <Line words={plan.resets ? p.line.used(clock(plan.resets)) : p.line.usedSoon}>
        <button type="button" class="button" onClick={() => store.go({ at: 'settings' })}>
          {plan.billing ? p.line.member : p.line.plan}
        </button>
        <button type="button" class="button quiet" onClick={() => store.go({ at: 'settings' })}>
          {p.line.code}
        </button>
      </Line>
    );
  }
  if (!temporary && !mayWrite(plan, store.chats.value, id)) {
    const fresh = !store.chats.value.some((c) => c.id === id);
    return (
      <Line words={fresh ? p.line.full(plan.chats) : p.line.reading(plan.chats)}>
        <button type="button" class="button" onClick={() => (store.overlay.value = { is: 'chats' })}>
          {p.line.choose}
        </button>
      </Line>
    );
  }
  if (plan.error && plan.left !== -1) {
    return (
      <Line words={p.tokens[plan.error.code] ?? plan.error.message}>
        <button type="button" class="button quiet" disabled={task.busy} onClick={() => task.run(() => store.core!.plan())}>
          {t.tryAgain}
        </button>
      </Line>
    );
  }
  if (plan.left > 0 && plan.left <= FEW) {
    return (
      <p class="composer-left hint" role="status">
        {p.line.left(plan.left)}
      </p>
    );
  }
  return null;
}

function Line({ words, children }: { words: string; children?: VNode | VNode[] }): VNode {
  return (
    <div class="composer-queued composer-plan" role="status">
      <p>{words}</p>
      {children && <div class="composer-plan-do">{children}</div>}
    </div>
  );
}

/** The chats that are active, where the plan has a limit of them: one has to go before another comes. */
export function ActiveChats({ onClose }: { onClose: () => void }): VNode {
  const store = useStore();
  const plan = store.plan.value;
  const task = useTask();
  const list = active(store.chats.value);
  const archive = (id: string): void =>
    task.run(async () => {
      const { overlay } = store;
      const send = overlay.value?.is === 'chats' && overlay.value.send;
      await store.core!.archive(id, true);
      store.problem.value = '';
      onClose();
      store.toast(p.chats.room);
      if (send) requestAnimationFrame(() => document.querySelector<HTMLFormElement>('form.composer')?.requestSubmit());
    });
  return (
    <Dialog title={p.chats.title(list.length)} onClose={onClose}>
      <p>{p.chats.lead(plan.chats)}</p>
      <ul class="things">
        {list.map((c) => {
          const title = c.title || t.sidebar.untitled;
          return (
            <li key={c.id}>
              <div class="thing-words">
                <p>
                  <bdi>{title}</bdi>
                </p>
                <p class="hint">{p.chats.used(shortDay(c.updated))}</p>
              </div>
              <button
                type="button"
                class="button"
                disabled={task.busy}
                aria-label={p.chats.archiveOne(title)}
                onClick={() => archive(c.id)}
              >
                {p.chats.archive}
              </button>
            </li>
          );
        })}
      </ul>
      <Problem text={task.error} />
      {plan.billing && <p class="hint">{p.chats.member}</p>}
      <div class="dialog-actions">
        <button type="button" class="button quiet" onClick={onClose}>
          {t.cancel}
        </button>
        {plan.billing && (
          <button
            type="button"
            class="button"
            onClick={() => {
              onClose();
              store.go({ at: 'settings' });
            }}
          >
            {p.member}
          </button>
        )}
      </div>
    </Dialog>
  );
}

/** Goes to the payment provider: nothing else than a page that is sealed on its way, or this machine's in a test. */
async function visit(store: Store, which: 'checkout' | 'portal'): Promise<void> {
  const url = new URL(await store.core!.planPage(which));
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && /^(localhost|127\.0\.0\.1)$/.test(url.hostname))) {
    throw { code: 'address', message: p.badAddress };
  }
  location.assign(url);
}

/** The plan, in the settings. */
export function PlanSettings(): VNode {
  const store = useStore();
  const plan = store.plan.value;
  const load = useTask();
  const pay = useTask();
  const [asked, setAsked] = useState(false);
  const ask = (): void => load.run(() => store.core!.plan().then(() => setAsked(true)));
  useEffect(ask, []);
  useClock(plan.resets, ask);
  if (!asked) {
    return (
      <Group id="set-plan" title={p.title}>
        <Row title={load.error ? p.failed : p.loading} hint={load.error}>
          {load.error && (
            <button type="button" class="button" onClick={ask}>
              {t.tryAgain}
            </button>
          )}
        </Row>
      </Group>
    );
  }
  if (!plan.tokens) {
    return (
      <Group id="set-plan" title={p.title}>
        <Row title={p.uncounted} />
      </Group>
    );
  }
  const member = plan.perDay < 0;
  const about = [
    p.offers(plan.perDay, plan.chats),
    plan.perHour > 0 && member ? p.fair(plan.perHour) : '',
    plan.until ? p.until[plan.card](dayOf(plan.until)) : '',
  ];
  return (
    <Group id="set-plan" title={p.title}>
      <Row title={p.names[plan.plan] ?? p.other(plan.plan)} hint={about.filter((x) => x !== '').join(' ')} />
      {!member && (
        <Row title={p.left} hint={plan.resets ? p.resets(clock(plan.resets)) : undefined}>
          <span class="plan-left">{plan.left < 0 ? p.unknown : p.leftOf(plan.left, plan.perDay)}</span>
        </Row>
      )}
      {!plan.billing && <Row title={p.given} />}
      {plan.billing && !member && (
        <Row title={p.member} hint={`${p.memberHint(plan.price)} ${p.memberNote}`} block>
          <button type="button" class="button primary" disabled={pay.busy} onClick={() => pay.run(() => visit(store, 'checkout'))}>
            {pay.busy ? p.going : p.memberGo}
          </button>
        </Row>
      )}
      {plan.billing && plan.card && (
        <Row title={p.manageTitle} hint={plan.card === 'failed' ? p.manageFailed : p.manageHint} block>
          <button type="button" class="button" disabled={pay.busy} onClick={() => pay.run(() => visit(store, 'portal'))}>
            {pay.busy ? p.going : p.manage}
          </button>
        </Row>
      )}
      <Problem text={pay.error} />
      <Voucher />
      {plan.account && (
        <Row title={p.account} hint={p.accountHint}>
          <span class="plan-account">
            <code>{plan.account}</code>
            <CopyButton text={() => plan.account} label={p.copyAccount} small />
          </span>
        </Row>
      )}
      <Row
        title={p.knownTitle}
        block
        hint={
          <ul class="limits">
            <li>{plan.billing ? p.known.provider : p.known.noProvider}</li>
            <li>{p.known.us}</li>
            <li>{p.known.machine}</li>
          </ul>
        }
      />
    </Group>
  );
}

/** "14 December 2026" of "2026-12-14", whatever the time zone. */
function dayOf(day: string): string {
  return new Date(`${day}T12:00:00`).toLocaleDateString(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
}

function Voucher(): VNode {
  const store = useStore();
  const task = useTask();
  const [code, setCode] = useState('');
  const [done, setDone] = useState(false);
  return (
    <Row title={p.voucher} hint={p.voucherHint} block>
      <form
        class="plan-voucher"
        onSubmit={(e) => {
          e.preventDefault();
          setDone(false);
          task.run(async () => {
            await store.core!.voucher(code.trim());
            setCode('');
            setDone(true);
          });
        }}
      >
        <input
          class="input"
          value={code}
          autocomplete="off"
          autocapitalize="characters"
          spellcheck={false}
          maxLength={64}
          aria-label={p.voucherLabel}
          onInput={(e) => setCode(e.currentTarget.value)}
        />
        <button type="submit" class="button" disabled={task.busy || code.trim() === ''}>
          {task.busy ? p.voucherBusy : p.voucherGo}
        </button>
      </form>
      <Problem text={task.error} />
      <p class="hint saved" role="status">
        {done ? p.voucherDone : ''}
      </p>
    </Row>
  );
}
