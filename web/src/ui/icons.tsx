// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Our own icons: one 16-unit grid, one stroke.

import type { ComponentChildren, VNode } from 'preact';

const SHIELD = 'M8 1.8 13 3.6v4.1c0 3.1-2 5.3-5 6.5-3-1.2-5-3.4-5-6.5V3.6z';
const LOCK = 'M3.6 7.2h8.8v6.3H3.6z M5.4 7.2V5a2.6 2.6 0 0 1 5.2 0v2.2';

const DRAWN = {
  plus: 'M8 3v10M3 8h10',
  search: 'M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4M10.2 10.2 13.4 13.4',
  sidebar: 'M2.5 3.5h11v9h-11zM6.3 3.5v9',
  compose: 'M13 8.6V13H3V3h4.4M6.4 9.6l.4-2L12 2.4l1.6 1.6-5.2 5.2z',
  pin: 'M5.6 2.5h4.8l-.7 4 2 2.2H4.3l2-2.2zM8 8.7v5',
  archive: 'M2.5 3h11v3h-11zM3.5 6v7h9V6M6.5 8.7h3',
  trash: 'M3 4.3h10M6.2 4.3V2.7h3.6v1.6M4.2 4.3l.6 9h6.4l.6-9M6.8 6.8v4M9.2 6.8v4',
  edit: 'M3 13l.6-2.8L10.8 3 13 5.2 5.8 12.4z',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  copy: 'M5.5 5.5h8v8h-8zM3.8 10.5H2.5v-8h8v1.3',
  check: 'M3 8.6 6.4 12 13 4.6',
  again: 'M13 8a5 5 0 1 1-1.6-3.7M13 2.3v2.9h-2.9',
  left: 'M9.8 3.6 5.4 8l4.4 4.4',
  right: 'M6.2 3.6 10.6 8l-4.4 4.4',
  down: 'M4 6.2 8 10.2l4-4',
  up: 'M8 13V3.2M3.8 7.2 8 3l4.2 4.2',
  toEnd: 'M8 3v9.8M3.8 8.8 8 13l4.2-4.2',
  close: 'M3.8 3.8l8.4 8.4M12.2 3.8l-8.4 8.4',
  wrap: 'M2.5 4h11M2.5 8h8.3a2 2 0 0 1 0 4H8M9.6 10.3 7.9 12l1.7 1.7M2.5 12h2.8',
  temporary:
    'M8 2.5c3.4 0 6 2.2 6 5M8 2.5c-3.4 0-6 2.2-6 5 0 1.4.6 2.6 1.6 3.5L3 13.5l2.9-1.3M8.2 12.5h.6M11.5 11.4l.5-.4M13.4 9.3l.2-.4',
  settings:
    'M2.5 5h6M12.5 5h1M2.5 11h1M7.5 11h6M10.5 3.3a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4M5.5 9.3a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4',
  download: 'M8 2.5v7.8M4.6 7.2 8 10.6l3.4-3.4M3 13.3h10',
  print: 'M4.5 6V2.5h7V6M4.5 11.5h-2V6h11v5.5h-2M4.5 9.5h7v4h-7z',
  keyboard: 'M1.8 4h12.4v8H1.8zM4.2 6.6h.01M6.7 6.6h.01M9.3 6.6h.01M11.8 6.6h.01M5 9.5h6',
  out: 'M6.5 3.5H3v9.5h9.5V9.5M9 2.8h4.2V7M13 3 7.4 8.6',
  key: 'M5 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6M7.8 8h6.4M11.6 8v2.2M14.2 8v1.6',
  dash: 'M5 8h6',
  question: 'M5.6 6a2.4 2.4 0 1 1 3.6 2.1C8.4 8.6 8 9.1 8 10M8 12.6h.01',
  clock: 'M8 2.3a5.7 5.7 0 1 1 0 11.4A5.7 5.7 0 0 1 8 2.3M8 5v3.2l2.2 1.4',
  terminal: 'M2 3h12v10H2zM4.6 6 6.8 8 4.6 10M8.2 10.2h3',
  browser: 'M2 3h12v10H2zM2 6h12',
  'trust-checking': SHIELD,
  'trust-verified': LOCK,
  'trust-verified-old':
    'M7.3 13.5H2.6V7.2h7.6M4.2 7.2V5a2.4 2.4 0 0 1 4.8 0v2.2M11.6 8.8a2.6 2.6 0 1 1 0 5.2 2.6 2.6 0 0 1 0-5.2M11.6 10.2v1.3l.9.6',
  'trust-changed': LOCK,
  'trust-unknown': `${SHIELD}M6.6 6.3a1.5 1.5 0 1 1 2.3 1.3c-.6.4-.9.7-.9 1.3M8 10.7h.01`,
  'trust-failed': 'M8 1.8 13 3.6v4.1c0 3.1-2 5.3-5 6.5-3-1.2-5-3.4-5-6.5V3.6zM9.2 2.2 7 6.2l2.4 2-2 5.6',
  'trust-demo': '',
  'trust-consent': '',
} as const;

export type IconName = keyof typeof DRAWN;

/** A decorative icon: the words beside it, or the button's label, say what it is. */
export function Icon({ name }: { name: IconName }): VNode {
  let extra: ComponentChildren = null;
  if (name === 'trust-changed') extra = <circle class="icon-solid" cx="13" cy="4" r="2" />;
  if (name === 'trust-demo' || name === 'trust-consent') return <Hatch />;
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={DRAWN[name]} />
      {extra}
    </svg>
  );
}

/** The demo's mark: a hatched square, unlike any lock or shield. */
function Hatch(): VNode {
  return (
    <svg class="icon icon-hatch" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d="M2.5 2.5h11v11h-11z" />
      <path d="M2.5 6.5l4-4M2.5 10.5l8-8M3.5 13.5l10-10M7.5 13.5l6-6M11.5 13.5l2-2" />
    </svg>
  );
}

/** The mark of Sotto: an arc over a point, the musical sign for "hold". */
export function Mark(): VNode {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M5 22a11 11 0 0 1 22 0" />
      <circle cx="16" cy="21" r="3" />
    </svg>
  );
}
