// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// What a plan's limits say of the chat on the screen. The core decides; this is
// for saying it before it is asked.

import type { ChatSummary, Plan } from '../core/protocol.ts';

/** From how many messages on it is said how many are left. */
export const FEW = 5;

/** Chats that are not archived, last used first. */
export function active(chats: readonly ChatSummary[]): ChatSummary[] {
  return chats.filter((c) => !c.archived && !c.temporary).sort((a, b) => b.updated - a.updated || (a.id < b.id ? -1 : 1));
}

/**
 * Whether a chat ('' for one that has not begun) may be written in, as far as the plan goes: mayWrite of
 * cmd/sotto-wasm/plan.go.
 */
export function mayWrite(plan: Plan, chats: readonly ChatSummary[], id: string): boolean {
  if (plan.chats <= 0) return true;
  const list = active(chats);
  const at = list.findIndex((c) => c.id === id);
  return at < 0 ? list.length < plan.chats : at < plan.chats;
}

/** Whether there may be something to say of the plan beside the message box. */
export function limited(plan: Plan): boolean {
  return plan.tokens && (plan.left !== -1 || plan.again > 0 || plan.chats > 0 || plan.error !== null);
}
