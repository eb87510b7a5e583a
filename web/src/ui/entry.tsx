// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The way in: welcome, sign-up, sign-in, recovery and the locked screen.

import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { SignUp } from '../core/protocol.ts';
import { AppClosed, AppLink, AppLocked } from './applink.tsx';
import { useTask } from './async.ts';
import { Icon, Mark } from './icons.tsx';
import { KitSteps } from './kit.tsx';
import { PassphraseForm, UnlockForm } from './passphrase.tsx';
import { codeOf } from './errors.ts';
import { useStore } from './store.ts';
import { t } from './strings.ts';

type Step =
  | { at: 'welcome' }
  | { at: 'kit'; signUp: SignUp }
  | { at: 'passphrase'; typed: [string, string] }
  | { at: 'unlock' }
  | { at: 'recover' };

/** Everything before the chats. */
export function Entry(): VNode {
  const store = useStore();
  const [step, setStep] = useState<Step>({ at: 'welcome' });
  const finish = useTask();
  const core = store.core;

  switch (step.at) {
    case 'kit': {
      const { kit, prf } = step.signUp;
      const confirmed = (typed: [string, string]): void => {
        if (!prf) setStep({ at: 'passphrase', typed });
        else finish.run(() => core!.signUpFinish(typed));
      };
      return (
        <Page>
          <KitSteps
            kit={kit}
            total={prf ? 2 : 3}
            onConfirm={confirmed}
            busy={finish.busy}
            error={finish.error}
            onCancel={() => setStep({ at: 'welcome' })}
          />
        </Page>
      );
    }
    case 'passphrase':
      return (
        <Page>
          <p class="entry-step">{t.kit.step(3, 3)}</p>
          <PassphraseForm submit={t.passphrase.submit} onSubmit={(p) => core!.signUpFinish(step.typed, p)} />
        </Page>
      );
    case 'unlock':
      return (
        <Page>
          <UnlockForm onBack={() => setStep({ at: 'welcome' })} />
        </Page>
      );
    case 'recover':
      return (
        <Page>
          <Recover onBack={() => setStep({ at: 'welcome' })} />
        </Page>
      );
  }
  const { app } = store.session.value;
  if (app === 'closed') return <AppClosed />;
  if (app === 'unlinked') return <AppLink />;
  if (app === 'linked') return <AppLocked />;
  if (store.session.value.state === 'locked')
    return <Locked onPassphrase={() => setStep({ at: 'unlock' })} onRecover={() => setStep({ at: 'recover' })} />;
  return (
    <Welcome
      onKit={(signUp) => setStep({ at: 'kit', signUp })}
      onPassphrase={() => setStep({ at: 'unlock' })}
      onRecover={() => setStep({ at: 'recover' })}
    />
  );
}

export function Page({ children, wide }: { children: ComponentChildren; wide?: boolean }): VNode {
  return (
    <main class={wide ? 'entry entry-wide' : 'entry'}>
      <div class="entry-in">
        <p class="wordmark">
          <Mark />
          {t.name}
        </p>
        {children}
      </div>
    </main>
  );
}

function Welcome({
  onKit,
  onPassphrase,
  onRecover,
}: {
  onKit: (s: SignUp) => void;
  onPassphrase: () => void;
  onRecover: () => void;
}): VNode {
  const { core, trust } = useStore();
  const task = useTask();
  const demo = trust.value.state === 'demo' || trust.value.state === 'consent';
  const signUp = (): void => task.run(async () => onKit(await core!.signUp()));
  const signIn = (): void =>
    task.run(
      () => core!.signIn(),
      (e) => codeOf(e) === 'passphrase_needed' && (onPassphrase(), true),
    );
  return (
    <Page wide>
      <div class="welcome">
        <section class="welcome-main">
          <h1>{t.welcome.title}</h1>
          <p class="lead">{t.welcome.lead}</p>
          {demo && (
            <p class="welcome-demo">
              <Icon name="trust-demo" />
              {t.welcome.demo}
            </p>
          )}
          <div class="welcome-actions">
            <button type="button" class="button primary large" disabled={task.busy || !core} onClick={signUp}>
              <Icon name="key" />
              {task.busy ? t.welcome.creating : t.welcome.create}
            </button>
            <button type="button" class="button large" disabled={task.busy || !core} onClick={signIn}>
              {t.welcome.signIn}
            </button>
          </div>
          <Problem text={task.error} />
          <p class="welcome-more">
            {t.welcome.noEmail}{' '}
            <button type="button" class="link" disabled={task.busy} onClick={onRecover}>
              {t.welcome.recover}
            </button>
          </p>
        </section>
        <section class="welcome-who" aria-labelledby="who">
          <h2 id="who" class="overline">
            {t.welcome.whoTitle}
          </h2>
          <dl>
            {t.welcome.who.map((w) => (
              <div key={w.who}>
                <dt>{w.who}</dt>
                <dd>{w.what}</dd>
              </div>
            ))}
          </dl>
          <p class="welcome-honest">{t.welcome.honest}</p>
        </section>
      </div>
    </Page>
  );
}

function Locked({ onPassphrase, onRecover }: { onPassphrase: () => void; onRecover: () => void }): VNode {
  const store = useStore();
  const task = useTask();
  const prf = store.session.value.prf !== false;
  const open = (): void => {
    if (!prf) onPassphrase();
    else
      task.run(
        () => store.core!.signIn(),
        (e) => codeOf(e) === 'passphrase_needed' && (onPassphrase(), true),
      );
  };
  return (
    <Page>
      <h1>{t.locked.title}</h1>
      <p class="lead">{t.locked.lead}</p>
      <button type="button" class="button primary large" disabled={task.busy} onClick={open}>
        <Icon name={prf ? 'key' : 'trust-verified'} />
        {task.busy ? t.welcome.creating : prf ? t.locked.open : t.locked.passphrase}
      </button>
      <Problem text={task.error} />
      <p class="entry-links">
        {prf && (
          <button type="button" class="link" onClick={onPassphrase}>
            {t.locked.passphrase}
          </button>
        )}
        <button type="button" class="link" onClick={onRecover}>
          {t.welcome.recover}
        </button>
        <button type="button" class="link" onClick={() => task.run(() => store.core!.signOut())}>
          {t.locked.other}
        </button>
      </p>
    </Page>
  );
}

function Recover({ onBack }: { onBack: () => void }): VNode {
  const store = useStore();
  const task = useTask();
  const [text, setText] = useState('');
  const groups = text.replace(/[^0-9a-z]/gi, '').length / 5;
  return (
    <form
      class="form"
      onSubmit={(e) => {
        e.preventDefault();
        task.run(async () => {
          await store.core!.recover(text);
          store.toast(t.recover.after);
        });
      }}
    >
      <h1>{t.recover.title}</h1>
      <p class="lead">{t.recover.lead}</p>
      <label class="field">
        <span class="field-label">
          {t.recover.label}
          <span class="field-aside">{t.recover.count(Math.min(8, Math.floor(groups)))}</span>
        </span>
        <textarea
          class="input mono"
          rows={3}
          value={text}
          spellcheck={false}
          autocapitalize="characters"
          autocomplete="off"
          ref={focus}
          aria-invalid={task.error !== ''}
          aria-describedby="recover-error"
          onInput={(e) => setText(e.currentTarget.value)}
        />
      </label>
      <Problem id="recover-error" text={task.error} />
      <div class="form-actions">
        <button type="submit" class="button primary" disabled={task.busy || groups < 1}>
          {task.busy ? t.recover.working : t.recover.submit}
        </button>
        <button type="button" class="button quiet" onClick={onBack}>
          {t.back}
        </button>
      </div>
    </form>
  );
}

/** A `ref` for the field that a step starts with. */
export function focus(el: HTMLElement | null): void {
  el?.focus();
}

/** A sentence about what went wrong; keeps its place for screen readers. */
export function Problem({ text, id }: { text: string; id?: string }): VNode {
  return (
    <p class={text ? 'problem' : 'problem empty'} role="alert" id={id}>
      {text}
    </p>
  );
}
