// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import type { Trust } from '../core/protocol.ts';
import { useTask } from './async.ts';
import { Dialog } from './dialog.tsx';
import { Problem } from './entry.tsx';
import { Icon, type IconName } from './icons.tsx';
import { pageFailed, useStore } from './store.ts';
import { t } from './strings.ts';

/** What is true of the machine, in words, at the place where a person decides to send. */
export function TrustLine(): VNode {
  const store = useStore();
  const trust = store.trust.value;
  const line = lineOf(trust);
  return (
    <button
      type="button"
      class={`trust trust-${trust.state}`}
      aria-label={t.trust.openPanel(line)}
      onClick={() => (store.overlay.value = trust.state === 'consent' ? { is: 'consent' } : { is: 'trust' })}
    >
      <Icon name={`trust-${trust.state}` as IconName} />
      <span>{line}</span>
    </button>
  );
}

/** The composer's words. Those of the dangerous states are fixed here: nothing can soften them. */
function lineOf(trust: Trust): string {
  if (trust.state === 'demo') return t.trust.demo;
  if (trust.state === 'consent') return t.trust.consent;
  if (trust.state === 'failed') return pageFailed(trust) ? t.trust.pageFailed : t.trust.failed;
  return trust.line || t.trust.headline[trust.state];
}

/** What the demo is, asked once. */
export function ConsentDialog({ onClose }: { onClose: () => void }): VNode {
  const { core } = useStore();
  const task = useTask();
  return (
    <Dialog title={t.consent.title} onClose={onClose} class="consent">
      <p class="hatch">
        <Icon name="trust-demo" />
        {t.trust.demo}
      </p>
      <p>{t.consent.lead}</p>
      <ul class="limits">
        {t.consent.points.map((p) => (
          <li key={p}>{p}</li>
        ))}
      </ul>
      <Problem text={task.error} />
      <div class="dialog-actions">
        <button type="button" class="button quiet" onClick={onClose}>
          {t.consent.later}
        </button>
        <button
          type="button"
          class="button primary"
          disabled={task.busy}
          onClick={() =>
            task.run(async () => {
              await core!.acceptDemo();
              onClose();
            })
          }
        >
          {t.consent.accept}
        </button>
      </div>
      <p class="hint">{t.consent.once}</p>
    </Dialog>
  );
}
