// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Kit } from '../core/protocol.ts';
import { CopyButton, saveFile } from './copy.tsx';
import { focus, Problem } from './entry.tsx';
import { Icon, Mark } from './icons.tsx';
import { t } from './strings.ts';

interface Props {
  kit: Kit;
  /** Steps in all, where the kit is the first two. 0: no counting. */
  total: number;
  busy: boolean;
  error: string;
  onConfirm: (typed: [string, string]) => void;
  onCancel?: () => void;
}

/** Shows the recovery kit, then asks for two of its groups. */
export function KitSteps({ kit, total, busy, error, onConfirm, onCancel }: Props): VNode {
  const [checking, setChecking] = useState(false);
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => title.current?.focus(), [checking]);

  if (checking)
    return (
      <KitCheck
        kit={kit}
        total={total}
        busy={busy}
        error={error}
        onConfirm={onConfirm}
        onBack={() => setChecking(false)}
      />
    );
  const text = t.kit.file(kit.groups, kit.made.slice(0, 10), location.origin);
  return (
    <>
      {total > 0 && <p class="entry-step">{t.kit.step(1, total)}</p>}
      <h1 ref={title} tabIndex={-1}>
        {t.kit.title}
      </h1>
      <p class="lead">{t.kit.lead}</p>
      <ol class="kit" aria-label={t.kit.groups}>
        {kit.groups.map((g) => (
          <li key={g}>
            <code>{g}</code>
          </li>
        ))}
      </ol>
      <div class="kit-tools">
        <button type="button" class="button quiet" onClick={() => print()}>
          <Icon name="print" />
          {t.kit.print}
        </button>
        <button
          type="button"
          class="button quiet"
          onClick={() => saveFile('sotto-recovery-kit.txt', text, 'text/plain')}
        >
          <Icon name="download" />
          {t.kit.download}
        </button>
        <CopyButton text={() => kit.groups.join(' ')} label={t.kit.copy} words />
      </div>
      <div class="form-actions">
        <button type="button" class="button primary" onClick={() => setChecking(true)}>
          {t.kit.saved}
        </button>
        {onCancel && (
          <button type="button" class="button quiet" onClick={onCancel}>
            {t.cancel}
          </button>
        )}
      </div>
      <KitSheet kit={kit} />
    </>
  );
}

function KitCheck({
  kit,
  total,
  busy,
  error,
  onConfirm,
  onBack,
}: Omit<Props, 'onCancel'> & { onBack: () => void }): VNode {
  const [typed, setTyped] = useState<[string, string]>(['', '']);
  const [wrong, setWrong] = useState('');
  const set = (i: 0 | 1, v: string): void => setTyped(i === 0 ? [v, typed[1]] : [typed[0], v]);
  return (
    <form
      class="form"
      onSubmit={(e) => {
        e.preventDefault();
        const bad = kit.confirm.findIndex((g, i) => normal(typed[i]!) !== normal(kit.groups[g]!));
        setWrong(bad < 0 ? '' : t.kit.wrong(kit.confirm[bad]! + 1));
        if (bad < 0) onConfirm(typed);
      }}
    >
      {total > 0 && <p class="entry-step">{t.kit.step(2, total)}</p>}
      <h1>{t.kit.checkTitle}</h1>
      <p class="lead">{t.kit.checkLead(kit.confirm[0] + 1, kit.confirm[1] + 1)}</p>
      <div class="kit-check">
        {([0, 1] as const).map((i) => (
          <label key={i} class="field">
            <span class="field-label">{t.kit.group(kit.confirm[i] + 1)}</span>
            <input
              class="input mono"
              value={typed[i]}
              maxLength={8}
              size={7}
              ref={i === 0 ? focus : undefined}
              spellcheck={false}
              autocomplete="off"
              autocapitalize="characters"
              aria-describedby="kit-error"
              onInput={(e) => set(i, e.currentTarget.value)}
            />
          </label>
        ))}
      </div>
      <Problem id="kit-error" text={wrong || error} />
      <div class="form-actions">
        <button type="submit" class="button primary" disabled={busy || typed.some((x) => x === '')}>
          {busy ? t.passphrase.working : t.kit.confirm}
        </button>
        <button type="button" class="button quiet" onClick={onBack}>
          {t.kit.again}
        </button>
      </div>
    </form>
  );
}

/** Crockford's base 32: case and the letters that look like digits don't matter. */
function normal(group: string): string {
  return group.replace(/[\s-]/g, '').toUpperCase().replaceAll('O', '0').replace(/[IL]/g, '1');
}

/** The printed page; on the screen it isn't there. */
function KitSheet({ kit }: { kit: Kit }): VNode {
  return (
    <section class="kit-sheet" aria-hidden="true">
      <p class="wordmark">
        <Mark />
        {t.name}
      </p>
      <h1>{t.kit.groups}</h1>
      <p>{t.kit.printMade(kit.made.slice(0, 10), location.origin)}</p>
      <ol class="kit">
        {kit.groups.map((g) => (
          <li key={g}>
            <code>{g}</code>
          </li>
        ))}
      </ol>
      <p>{t.kit.printNote}</p>
    </section>
  );
}
