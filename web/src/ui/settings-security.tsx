// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Kit, Passkey, SessionInfo } from '../core/protocol.ts';
import { useTask } from './async.ts';
import { shortDay } from './dates.ts';
import { Dialog } from './dialog.tsx';
import { Problem } from './entry.tsx';
import { Icon } from './icons.tsx';
import { KitSteps } from './kit.tsx';
import { PassphraseForm } from './passphrase.tsx';
import { Group, Row } from './settings-row.tsx';
import { sentence } from './errors.ts';
import { useStore } from './store.ts';
import { t } from './strings.ts';

/** Ways in, and who is in. */
export function SecuritySettings(): VNode {
  const store = useStore();
  const core = store.core!;
  const task = useTask();
  const confirm = useTask();
  const [kit, setKit] = useState<Kit | null>(null);
  const [phrase, setPhrase] = useState(false);
  const kitOk = store.session.value.kitConfirmed !== false;
  const ask = (title: string, text: string, go: string, danger: boolean, run: () => Promise<void> | void): void =>
    void (store.overlay.value = { is: 'confirm', title, text, go, danger, run });

  return (
    <Group id="set-security" title={t.settings.security}>
      <Row title={t.settings.kit} hint={kitOk ? t.settings.kitOk : t.settings.kitMissing}>
        <button
          type="button"
          class={kitOk ? 'button' : 'button primary'}
          onClick={() =>
            ask(t.settings.newKitTitle, t.settings.newKitText, t.settings.newKit, false, async () =>
              setKit(await core.newKit()),
            )
          }
        >
          {t.settings.newKit}
        </button>
      </Row>
      <Row title={t.settings.passphrase} hint={t.settings.passphraseHint}>
        <button type="button" class="button" onClick={() => setPhrase(true)}>
          {t.settings.passphraseSet}
        </button>
      </Row>
      <Passkeys ask={ask} />
      <Sessions ask={ask} />
      <Row title={t.settings.lock} hint={t.settings.lockHint}>
        <button type="button" class="button" onClick={() => store.do(core.lock())}>
          {t.sidebar.lock}
        </button>
      </Row>
      <Row title={t.settings.signOut} hint={t.settings.signOutHint}>
        <button type="button" class="button" disabled={task.busy} onClick={() => task.run(() => core.signOut())}>
          {t.settings.signOut}
        </button>
      </Row>
      <Row title={t.settings.forget} hint={t.settings.forgetHint}>
        <button
          type="button"
          class="button"
          onClick={() =>
            ask(t.settings.forgetTitle, t.settings.forgetText, t.settings.forget, true, () => core.forgetBrowser())
          }
        >
          {t.settings.forget}
        </button>
      </Row>
      {kit && (
        <Dialog title={t.settings.kit} onClose={() => setKit(null)} class="wide kit-dialog" bare>
          <KitSteps
            kit={kit}
            total={0}
            busy={confirm.busy}
            error={confirm.error}
            onCancel={() => setKit(null)}
            onConfirm={(typed) =>
              confirm.run(async () => {
                await core.confirmKit(typed);
                setKit(null);
                store.toast(t.kit.done);
              })
            }
          />
        </Dialog>
      )}
      {phrase && (
        <Dialog title={t.passphrase.title} onClose={() => setPhrase(false)}>
          <PassphraseForm
            bare
            submit={t.passphrase.set}
            onSubmit={async (p) => {
              await core.setPassphrase(p);
              setPhrase(false);
              store.toast(t.settings.passphraseDone);
            }}
          />
        </Dialog>
      )}
    </Group>
  );
}

type Ask = (title: string, text: string, go: string, danger: boolean, run: () => Promise<void> | void) => void;

function Passkeys({ ask }: { ask: Ask }): VNode {
  const { core } = useStore();
  const task = useTask();
  const list = useList(() => core!.passkeys());
  return (
    <Row
      title={t.settings.passkeys}
      block
      hint={
        <button
          type="button"
          class="button"
          disabled={task.busy}
          onClick={() =>
            task.run(async () => {
              await core!.addPasskey();
              list.again();
            })
          }
        >
          <Icon name="plus" />
          {task.busy ? t.welcome.creating : t.settings.addPasskey}
        </button>
      }
    >
      <Problem text={task.error || list.error} />
      <ul class="things">
        {list.items.map((p: Passkey) => (
          <li key={p.id}>
            <Icon name="key" />
            <div class="thing-words">
              <p>
                {p.label}
                {p.current && <span class="tag">{t.settings.thisBrowser}</span>}
                {!p.prf && <span class="tag">{t.settings.noPRF}</span>}
              </p>
              <p class="hint">
                {t.settings.created(shortDay(p.created))}
                {p.lastUsed > 0 && `, ${t.settings.lastUsed(shortDay(p.lastUsed))}`}
              </p>
            </div>
            <button
              type="button"
              class="button quiet"
              aria-label={`${t.settings.remove}: ${p.label}`}
              onClick={() =>
                ask(
                  t.settings.removePasskeyTitle(p.label),
                  t.settings.removePasskeyText,
                  t.settings.remove,
                  true,
                  async () => {
                    await core!.removePasskey(p.id);
                    list.again();
                  },
                )
              }
            >
              {t.settings.remove}
            </button>
          </li>
        ))}
      </ul>
    </Row>
  );
}

function Sessions({ ask }: { ask: Ask }): VNode {
  const { core } = useStore();
  const list = useList(() => core!.sessions());
  return (
    <Row title={t.settings.sessions} block>
      <Problem text={list.error} />
      <ul class="things">
        {list.items.map((s: SessionInfo) => (
          <li key={s.id}>
            <Icon name={s.kind} />
            <div class="thing-words">
              <p>
                {s.label || (s.kind === 'terminal' ? t.settings.terminal : t.settings.browser)}
                {s.current && <span class="tag">{t.settings.thisBrowser}</span>}
              </p>
              <p class="hint">{t.settings.lastSeen(shortDay(s.lastSeen))}</p>
            </div>
            {!s.current && (
              <button
                type="button"
                class="button quiet"
                aria-label={`${t.settings.revoke}: ${s.label}`}
                onClick={() =>
                  ask(t.settings.revokeTitle(s.label), t.settings.revokeText, t.settings.revoke, true, async () => {
                    await core!.endSession(s.id);
                    list.again();
                  })
                }
              >
                {t.settings.revoke}
              </button>
            )}
          </li>
        ))}
      </ul>
    </Row>
  );
}

/** A list from the core, and a way to ask for it again. */
function useList<T>(load: () => Promise<T[]>): { items: T[]; error: string; again: () => void } {
  const [items, setItems] = useState<T[]>([]);
  const [error, setError] = useState('');
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let gone = false;
    load().then(
      (x) => {
        if (gone) return;
        setItems(x);
        setError('');
      },
      (e) => gone || setError(`${t.settings.loadFailed} ${sentence(e)}`),
    );
    return () => {
      gone = true;
    };
  }, [turn]);
  return { items, error, again: () => setTurn((n) => n + 1) };
}
