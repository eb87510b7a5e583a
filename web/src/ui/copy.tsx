// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Icon } from './icons.tsx';
import { t } from './strings.ts';

interface Props {
  text: () => string;
  label: string;
  /** The label is shown, not only said. */
  words?: boolean;
  small?: boolean;
  class?: string;
}

/** Copies, and says so for a moment. */
export function CopyButton({ text, label, words, small, class: cls }: Props): VNode {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1_600);
    return () => clearTimeout(timer);
  }, [done]);
  const run = (): void => {
    void copyText(text()).then(setDone);
  };
  const name = done ? t.copied : label;
  const kind = words ? 'button quiet' : 'icon-button';
  return (
    <button
      type="button"
      class={`${kind}${small ? ' small' : ''}${cls ? ` ${cls}` : ''}`}
      title={words ? undefined : name}
      aria-label={words ? undefined : name}
      onClick={run}
    >
      <Icon name={done ? 'check' : 'copy'} />
      {words && <span>{name}</span>}
    </button>
  );
}

/** Puts text on the clipboard; false where the browser refuses. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Hands the person a file. */
export function saveFile(name: string, data: Uint8Array | string, type: string): void {
  const url = URL.createObjectURL(new Blob([data as BlobPart], { type }));
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
