// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The way in where `sotto app` serves this page. A passkey is bound to the site's
// host, so here the program itself is let in, like a terminal, by a device that
// is signed in.

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useTask } from './async.ts';
import { CopyButton } from './copy.tsx';
import { shortTime } from './dates.ts';
import { Page, Problem } from './entry.tsx';
import { Icon } from './icons.tsx';
import { sentence } from './errors.ts';
import { useStore } from './store.ts';
import { t } from './strings.ts';

/** How often the page asks whether it was let in, in ms. */
const POLL_MS = 2_000;

/** The page was opened without the key that the program printed. */
export function AppClosed(): VNode {
  return (
    <Page>
      <h1>{t.app.closed}</h1>
      <p class="lead">{t.app.closedLead}</p>
    </Page>
  );
}

/** Links the program to an account. */
export function AppLink(): VNode {
  const { core } = useStore();
  const task = useTask();
  const [offer, setOffer] = useState<{ url: string; code: string; expires: number } | null>(null);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    if (!offer) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const poll = async (): Promise<void> => {
      try {
        // The person has just said yes elsewhere: no second gesture to open.
        if (await core!.appLinked()) return await core!.openApp();
        timer = setTimeout(poll, POLL_MS);
      } catch (e) {
        setProblem(sentence(e));
        setOffer(null);
      }
    };
    timer = setTimeout(poll, POLL_MS);
    return () => clearTimeout(timer);
  }, [offer]);
  const ask = (): void =>
    task.run(async () => {
      setProblem('');
      setOffer(await core!.linkApp());
    });

  return (
    <Page>
      <h1>{t.app.title}</h1>
      <p class="lead">{t.app.lead}</p>
      {offer ? (
        <>
          <p class="hint" id="app-code">
            {t.app.code}
          </p>
          <p class="link-code" aria-describedby="app-code">
            {offer.code}
          </p>
          <p class="form-actions">
            <a class="button primary" href={offer.url} target="_blank" rel="noopener noreferrer">
              {t.app.open}
            </a>
            <CopyButton text={() => offer.url} label={t.app.copy} words />
          </p>
          <p class="hint" role="status">
            {t.app.waiting(shortTime(offer.expires))}
          </p>
        </>
      ) : (
        <button type="button" class="button primary large" disabled={task.busy || !core} onClick={ask}>
          <Icon name="key" />
          {t.app.link}
        </button>
      )}
      <Problem text={problem || task.error} />
    </Page>
  );
}

/** The program is linked, and the history is closed. */
export function AppLocked(): VNode {
  const { core } = useStore();
  const task = useTask();
  return (
    <Page>
      <h1>{t.locked.title}</h1>
      <p class="lead">{t.locked.lead}</p>
      <button
        type="button"
        class="button primary large"
        disabled={task.busy || !core}
        onClick={() => task.run(() => core!.openApp())}
      >
        <Icon name="key" />
        {t.app.unlock}
      </button>
      <Problem text={task.error} />
      <p class="entry-links">
        <button type="button" class="link" onClick={() => task.run(() => core!.signOut())}>
          {t.app.unlink}
        </button>
      </p>
    </Page>
  );
}
