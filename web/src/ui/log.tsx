// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import { Fragment, type VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Message, Receipt } from '../core/protocol.ts';
import { shortTime } from './dates.ts';
import { Icon } from './icons.tsx';
import { MessageView } from './message.tsx';
import { useStore } from './store.ts';
import { t } from './strings.ts';

/** Messages drawn when a chat opens, and added each time the person reaches the top. */
const PAGE = 30;
/** How near the end still counts as being there, in CSS pixels. */
const NEAR = 48;

/** The conversation. Follows the answer until the person scrolls up. */
export function Log(): VNode {
  const store = useStore();
  const path = store.path.value;
  const chat = store.view.value!.chat;
  const box = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const top = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  const [atEnd, setAtEnd] = useState(true);
  const [count, setCount] = useState(PAGE);

  const toEnd = (): void => {
    follow.current = true;
    setAtEnd(true);
    const b = box.current;
    if (b) b.scrollTop = b.scrollHeight;
  };

  useLayoutEffect(() => {
    setCount(PAGE);
    toEnd();
  }, [chat.id]);
  useLayoutEffect(toEnd, [store.sends.value]);

  // Growing text moves the end away: go after it, unless the person went up.
  useEffect(() => {
    const watch = new ResizeObserver(() => {
      if (follow.current && box.current && store.editing.value === '') box.current.scrollTop = box.current.scrollHeight;
    });
    watch.observe(inner.current!);
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);

  const last = useRef(0);
  const onScroll = (): void => {
    const b = box.current!;
    const near = b.scrollHeight - b.scrollTop - b.clientHeight < NEAR;
    // Only a move upwards ends the following: growth alone doesn't.
    if (near) follow.current = true;
    else if (b.scrollTop < last.current - 1) follow.current = false;
    last.current = b.scrollTop;
    if (follow.current !== atEnd) setAtEnd(follow.current);
  };

  // Earlier messages come when their place is near.
  const hidden = Math.max(0, path.length - count);
  useEffect(() => {
    if (!hidden || !top.current) return;
    const seen = new IntersectionObserver(
      (es) => {
        if (!es.some((e) => e.isIntersecting)) return;
        const b = box.current!;
        const fromEnd = b.scrollHeight - b.scrollTop;
        setCount((c) => c + PAGE);
        requestAnimationFrame(() => {
          if (!follow.current) b.scrollTop = b.scrollHeight - fromEnd;
        });
      },
      { root: box.current, rootMargin: '600px 0px 0px' },
    );
    seen.observe(top.current);
    return () => seen.disconnect();
  }, [hidden]);

  // A found message: its branch, then its place.
  const target = store.target.value;
  useEffect(() => {
    const at = path.findIndex((m) => m.id === target);
    if (target === '') return;
    if (at < 0) {
      if (store.view.value!.messages.some((m) => m.id === target)) store.showVersion(target);
      return;
    }
    follow.current = false;
    setAtEnd(false);
    if (path.length - at > count) setCount(path.length - at + 4);
    requestAnimationFrame(() => {
      const el = document.getElementById(`m-${target}`);
      el?.scrollIntoView({ block: 'center' });
      el?.classList.add('found');
      setTimeout(() => el?.classList.remove('found'), 2_000);
      store.target.value = '';
    });
  }, [target, path]);

  return (
    <div class="log-frame">
      <div class="log" ref={box} onScroll={onScroll} tabIndex={-1}>
        <div class="log-in" ref={inner} role="log" aria-label={t.chat.log} aria-live="off" aria-busy={store.busy.value}>
          {chat.temporary && (
            <p class="log-banner">
              <Icon name="temporary" />
              {t.chat.temporaryBanner}
            </p>
          )}
          {hidden > 0 && (
            <div ref={top} class="log-earlier">
              <button type="button" class="button quiet" onClick={() => setCount((c) => c + PAGE)}>
                {t.chat.earlier}
              </button>
            </div>
          )}
          {path.slice(hidden).map((m, i, shown) => (
            <Fragment key={m.id}>
              <ReleaseLine before={releaseBefore(path, hidden + i)} now={m} />
              <MessageView message={m} last={i === shown.length - 1} />
            </Fragment>
          ))}
        </div>
      </div>
      {!atEnd && (
        <button type="button" class="jump" onClick={toEnd}>
          <Icon name="toEnd" />
          {t.chat.jump}
        </button>
      )}
    </div>
  );
}

/** The receipt before the answer at `at`, where it is of another release. */
function releaseBefore(path: readonly Message[], at: number): Receipt | undefined {
  const now = path[at]?.receipt;
  const before = path.slice(0, at).findLast((m) => m.receipt)?.receipt;
  return now && before && now.release !== before.release ? before : undefined;
}

/** Says in the conversation that another release answers from here on. */
function ReleaseLine({ before, now }: { before: Receipt | undefined; now: Message }): VNode | null {
  const r = now.receipt;
  if (!before || !r) return null;
  const when = shortTime(now.created);
  return (
    <p class="log-event">
      {before.version && r.version && r.log_index !== undefined
        ? t.chat.newVersion(when, before.version, r.version, r.witnesses ?? 0)
        : t.chat.newRelease(when)}
    </p>
  );
}
