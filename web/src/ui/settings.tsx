// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Theme } from '../core/protocol.ts';
import { focus } from './entry.tsx';
import { PlanSettings } from './plan.tsx';
import { DataSettings } from './settings-data.tsx';
import { SecuritySettings } from './settings-security.tsx';
import { Group, Row } from './settings-row.tsx';
import { isMac } from './shortcuts.ts';
import { SidebarButton } from './sidebar.tsx';
import { useStore } from './store.ts';
import { t } from './strings.ts';

/** The settings page: three groups on one page. */
export function SettingsPage(): VNode {
  return (
    <>
      <header class="head">
        <SidebarButton />
        <div class="head-title">
          <h1 ref={focus} tabIndex={-1}>
            {t.settings.title}
          </h1>
        </div>
      </header>
      <main class="settings">
        <div class="settings-in">
          <General />
          <PlanSettings />
          <SecuritySettings />
          <DataSettings />
        </div>
      </main>
    </>
  );
}

function General(): VNode {
  const store = useStore();
  const s = store.settings.value;
  const set = (part: Partial<typeof s>): void => store.do(store.core!.setSettings(part));
  const mod = isMac() ? '⌘' : 'Ctrl';
  return (
    <Group id="set-general" title={t.settings.general}>
      <Row title={t.settings.appearance}>
        <Choice<Theme>
          label={t.settings.appearance}
          value={s.theme}
          options={(['system', 'light', 'dark'] as const).map((v) => [v, t.settings.themes[v]])}
          onPick={(theme) => set({ theme })}
        />
      </Row>
      <Row title={t.settings.model}>
        <select
          class="input select"
          aria-label={t.settings.model}
          value={s.model || store.models.value[0]?.id}
          onChange={(e) => set({ model: e.currentTarget.value })}
        >
          {store.models.value.map((m) => (
            <option key={m.id} value={m.id}>
              {m.demo ? `${m.name} (${t.chat.demoModel})` : m.name}
            </option>
          ))}
        </select>
      </Row>
      {/* On a phone, Enter is always a new line. */}
      {!matchMedia('(pointer: coarse)').matches && (
        <Row title={t.settings.enter} hint={s.enterSends ? t.settings.enterHint : t.settings.enterLineHint(mod)}>
          <Choice<'send' | 'line'>
            label={t.settings.enter}
            value={s.enterSends ? 'send' : 'line'}
            options={[
              ['send', t.settings.enterSends],
              ['line', t.settings.enterLine],
            ]}
            onPick={(v) => set({ enterSends: v === 'send' })}
          />
        </Row>
      )}
      <Instructions value={s.instructions} onSave={(instructions) => store.core!.setSettings({ instructions })} />
    </Group>
  );
}

/** A few choices side by side; a radio group to everyone. */
function Choice<V extends string>({
  label,
  value,
  options,
  onPick,
}: {
  label: string;
  value: V;
  options: readonly (readonly [V, string])[];
  onPick: (v: V) => void;
}): VNode {
  const name = label.replace(/\W/g, '');
  return (
    <div class="choice" role="radiogroup" aria-label={label}>
      {options.map(([v, text]) => (
        <label key={v} class={v === value ? 'choice-one here' : 'choice-one'}>
          <input class="visually-hidden" type="radio" name={name} checked={v === value} onChange={() => onPick(v)} />
          {text}
        </label>
      ))}
    </div>
  );
}

/** Saved when the person pauses. */
function Instructions({ value, onSave }: { value: string; onSave: (s: string) => Promise<void> }): VNode {
  const store = useStore();
  const [text, setText] = useState(value);
  const [saved, setSaved] = useState(false);
  const touched = useRef(false);
  useEffect(() => {
    if (!touched.current) setText(value);
  }, [value]);
  useEffect(() => {
    if (!touched.current) return;
    setSaved(false);
    const timer = setTimeout(() => store.do(onSave(text).then(() => setSaved(true))), 700);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <Row title={t.settings.instructions} hint={t.settings.instructionsHint} block>
      <textarea
        class="input"
        rows={3}
        autocomplete="off"
        dir="auto"
        maxLength={8_000}
        aria-label={t.settings.instructions}
        value={text}
        onInput={(e) => {
          touched.current = true;
          setText(e.currentTarget.value);
        }}
      />
      <p class="hint saved" role="status">
        {saved ? t.settings.saved : ''}
      </p>
    </Row>
  );
}
