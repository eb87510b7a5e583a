// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useTask } from './async.ts';
import { focus, Problem } from './entry.tsx';
import { useStore } from './store.ts';
import { t } from './strings.ts';

const MIN = 12;

/** Asks for a new passphrase, twice. `bare`: the title is elsewhere. */
export function PassphraseForm({
  submit,
  onSubmit,
  bare,
}: {
  submit: string;
  onSubmit: (p: string) => Promise<void>;
  bare?: boolean;
}): VNode {
  const task = useTask();
  const [one, setOne] = useState('');
  const [two, setTwo] = useState('');
  const go = (e: Event): void => {
    e.preventDefault();
    if (one.length < MIN) task.setError(t.passphrase.short);
    else if (one !== two) task.setError(t.passphrase.differ);
    else task.run(() => onSubmit(one));
  };
  return (
    <form class="form" onSubmit={go}>
      {!bare && <h1>{t.passphrase.title}</h1>}
      <p class={bare ? 'hint' : 'lead'}>{t.passphrase.lead}</p>
      <Secret
        label={t.passphrase.label}
        value={one}
        onInput={setOne}
        autocomplete="new-password"
        autofocus
        hint={t.passphrase.hint}
      />
      <Secret label={t.passphrase.repeat} value={two} onInput={setTwo} autocomplete="new-password" />
      <Problem text={task.error} />
      <div class="form-actions">
        <button type="submit" class="button primary" disabled={task.busy || one === '' || two === ''}>
          {task.busy ? t.passphrase.working : submit}
        </button>
      </div>
    </form>
  );
}

/** Opens a history whose passkey gives no key. */
export function UnlockForm({ onBack }: { onBack: () => void }): VNode {
  const { core } = useStore();
  const task = useTask();
  const [text, setText] = useState('');
  return (
    <form
      class="form"
      onSubmit={(e) => {
        e.preventDefault();
        task.run(() => core!.unlockWithPassphrase(text));
      }}
    >
      <h1>{t.passphrase.unlockTitle}</h1>
      <p class="lead">{t.passphrase.unlockLead}</p>
      <Secret label={t.passphrase.label} value={text} onInput={setText} autocomplete="current-password" autofocus />
      <Problem text={task.error} />
      <div class="form-actions">
        <button type="submit" class="button primary" disabled={task.busy || text === ''}>
          {task.busy ? t.passphrase.opening : t.passphrase.unlock}
        </button>
        <button type="button" class="button quiet" onClick={onBack}>
          {t.back}
        </button>
      </div>
    </form>
  );
}

interface SecretProps {
  label: string;
  value: string;
  onInput: (s: string) => void;
  autocomplete: 'new-password' | 'current-password';
  autofocus?: boolean;
  hint?: string;
}

function Secret({ label, value, onInput, autocomplete, autofocus, hint }: SecretProps): VNode {
  const [shown, setShown] = useState(false);
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      <span class="input-with">
        <input
          class="input"
          type={(shown ? 'text' : 'password') as 'password'}
          value={value}
          autocomplete={autocomplete}
          autofocus={autofocus}
          ref={autofocus ? focus : undefined}
          spellcheck={false}
          maxLength={1024}
          onInput={(e) => onInput(e.currentTarget.value)}
        />
        <button type="button" class="link input-aside" aria-pressed={shown} onClick={() => setShown(!shown)}>
          {shown ? t.passphrase.hide : t.passphrase.show}
        </button>
      </span>
      {hint && <span class="hint">{hint}</span>}
    </label>
  );
}
