// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useTask } from './async.ts';
import { SidebarButton } from './sidebar.tsx';
import { shortTime } from './dates.ts';
import { Problem } from './entry.tsx';
import { Icon } from './icons.tsx';
import { sentence } from './errors.ts';
import { useStore } from './store.ts';
import { t } from './strings.ts';

/** A terminal asks to be let in. */
export function LinkPage({ id }: { id: string }): VNode {
  const store = useStore();
  const task = useTask();
  const [link, setLink] = useState<{ name: string; code: string; expires: number } | null>(null);
  const [problem, setProblem] = useState('');
  const [done, setDone] = useState(false);
  useEffect(() => {
    store.core!.link(id).then(setLink, (e) => setProblem(sentence(e)));
  }, [id]);
  const away = (): void => store.go({ at: 'new' }, { replace: true });

  return (
    <>
      <header class="head">
        <SidebarButton />
      </header>
      <main class="fresh">
        <div class="link-card">
          <Icon name="terminal" />
          {done ? (
            <>
              <h1>{t.link.done}</h1>
              <button type="button" class="button" onClick={away}>
                {t.link.goOn}
              </button>
            </>
          ) : (
            <>
              <h1>{t.link.title}</h1>
              {!link && !problem && <p class="lead">{t.link.looking}</p>}
              {link && (
                <>
                  <p class="lead">{t.link.lead}</p>
                  <p class="link-name">{link.name}</p>
                  {link.code && (
                    <>
                      <p class="hint" id="link-code">
                        {t.link.code}
                      </p>
                      <p class="link-code" aria-describedby="link-code">
                        {link.code}
                      </p>
                    </>
                  )}
                  <p class="hint">{t.link.expires(shortTime(link.expires))}</p>
                </>
              )}
              <Problem text={problem || task.error} />
              <div class="form-actions">
                {link && (
                  <button
                    type="button"
                    class="button primary"
                    disabled={task.busy}
                    onClick={() =>
                      task.run(async () => {
                        await store.core!.approveLink(id);
                        setDone(true);
                      })
                    }
                  >
                    {link.code ? t.link.approveCode : t.link.approve}
                  </button>
                )}
                <button type="button" class="button quiet" onClick={away}>
                  {link ? t.link.refuse : t.link.goOn}
                </button>
              </div>
            </>
          )}
        </div>
      </main>
    </>
  );
}
