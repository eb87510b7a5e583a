// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// A chat is a tree: editing a message or asking again makes a sibling. These
// functions find the one path through it that is on the screen.

import type { Message } from '../core/protocol.ts';

/** Messages by their parent, oldest first. */
export type Tree = ReadonlyMap<string, readonly Message[]>;

export function tree(messages: readonly Message[]): Tree {
  const kids = new Map<string, Message[]>();
  for (const m of messages) {
    const list = kids.get(m.parent);
    if (list) list.push(m);
    else kids.set(m.parent, [m]);
  }
  for (const list of kids.values()) list.sort(older);
  return kids;
}

function older(a: Message, b: Message): number {
  return a.created - b.created || (a.id < b.id ? -1 : 1);
}

/** From the first message to `leaf`. An unknown leaf gives the newest path; a cycle or a missing parent ends it. */
export function pathTo(messages: readonly Message[], leaf: string): Message[] {
  const byId = new Map(messages.map((m) => [m.id, m]));
  const path: Message[] = [];
  const seen = new Set<string>();
  let at = byId.get(leaf) ?? newest(messages);
  while (at && !seen.has(at.id)) {
    seen.add(at.id);
    path.push(at);
    at = byId.get(at.parent);
  }
  return path.reverse();
}

function newest(messages: readonly Message[]): Message | undefined {
  return messages.reduce<Message | undefined>((best, m) => (best && older(m, best) < 0 ? best : m), undefined);
}

/** The newest end below `id`. */
export function leafBelow(kids: Tree, id: string): string {
  const seen = new Set<string>();
  let at = id;
  for (;;) {
    seen.add(at);
    const next = kids.get(at)?.at(-1);
    if (!next || seen.has(next.id)) return at;
    at = next.id;
  }
}

/** The versions that `m` is one of, oldest first. */
export function versions(kids: Tree, m: Message): readonly Message[] {
  return (kids.get(m.parent) ?? [m]).filter((s) => s.role === m.role);
}

/** Whether `id` is `ancestor` or below it. */
export function isBelow(messages: readonly Message[], id: string, ancestor: string): boolean {
  return ancestor === '' || pathTo(messages, id).some((m) => m.id === ancestor);
}
