// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ComponentChild, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { lazy } from '../core/lazy.ts';

type Plans = typeof import('./plan.tsx');
type Pages = typeof import('./settings.tsx');

const plans = loader('lazy:plan', () => import('./plan.tsx'));
const pages = loader('lazy:settings', () => import('./settings.tsx'));

interface Loader<T> {
  /** What has come; null before. */
  now: T | null;
  load: () => Promise<T>;
}

function loader<T>(files: string, load: () => Promise<T>): Loader<T> {
  const l: Loader<T> = { now: null, load: () => lazy(files, load).then((m) => (l.now = m)) };
  return l;
}

/** Draws what `draw` makes of a part of the page, when that has come. */
function Part<T>({ of, draw, failed }: { of: Loader<T>; draw: (m: T) => ComponentChild; failed?: () => void }): VNode | null {
  const [m, setM] = useState(of.now);
  useEffect(() => {
    if (!m) of.load().then((x) => setM(() => x), failed);
  }, []);
  return m && <>{draw(m)}</>;
}

/** What limits the next message. */
export function PlanLine(): VNode {
  return <Part of={plans} draw={(m: Plans) => <m.PlanLine />} />;
}

/** The chats that are active, where there is a limit of them. */
export function ActiveChats({ onClose }: { onClose: () => void }): VNode {
  return <Part of={plans} draw={(m: Plans) => <m.ActiveChats onClose={onClose} />} failed={onClose} />;
}

export function SettingsPage({ failed }: { failed: () => void }): VNode {
  return <Part of={pages} draw={(m: Pages) => <m.SettingsPage />} failed={failed} />;
}
