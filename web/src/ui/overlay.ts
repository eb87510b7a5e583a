// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { Receipt } from '../core/protocol.ts';

/** Time to take something back, in milliseconds. */
export const UNDO_MS = 10_000;
/** How long words stay that ask for nothing. */
export const SAID_MS = 6_000;

export interface Notice {
  kind: 'info' | 'warn' | 'history' | 'offline';
  code: string;
  text: string;
  /** The person can go on with the server's copy of the history. */
  rejoin?: boolean;
}

export interface Toast {
  id: number;
  text: string;
  action?: { label: string; run: () => void };
  /** Runs when the toast goes by itself or is dismissed, not after its action. */
  gone?: () => void;
}

/** A dialog over everything. */
export type Overlay =
  | { is: 'search' }
  | { is: 'help' }
  | { is: 'trust' }
  | { is: 'receipt'; receipt: Receipt }
  | { is: 'consent' }
  | { is: 'update' }
  | { is: 'report' }
  /** The active chats, where a plan has a limit of them; `send`: what is in the box goes when there is room. */
  | { is: 'chats'; send?: boolean }
  | { is: 'link'; url: string }
  | { is: 'leave'; then: () => void }
  | { is: 'confirm'; title: string; text: string; go: string; danger: boolean; stay?: string; run: () => Promise<void> | void };
