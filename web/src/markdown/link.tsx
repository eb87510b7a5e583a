// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { ComponentChildren, VNode } from 'preact';
import { useContext } from 'preact/hooks';
import { createContext } from 'preact';

/** Shows where a link leads before it is followed. */
export const AskToLeave = createContext<(url: string, from: HTMLElement) => void>(() => {});

/** A link out of the chat. Every way of following it asks first. */
export function ExternalLink({ url, children }: { url: string; children: ComponentChildren }): VNode {
  const ask = useContext(AskToLeave);
  const stop = (e: MouseEvent): void => {
    if (e.type === 'auxclick' && e.button !== 1) return;
    e.preventDefault();
    ask(url, e.currentTarget as HTMLElement);
  };
  return (
    <a href={url} rel="noopener noreferrer nofollow" target="_blank" onClick={stop} onAuxClick={stop}>
      {children}
    </a>
  );
}
