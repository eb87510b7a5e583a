// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import type { Model } from '../core/protocol.ts';
import { Icon } from './icons.tsx';
import { Menu } from './menu.tsx';
import { maySend, useStore } from './store.ts';
import { t } from './strings.ts';

/** The model that answers next. */
export function ModelPicker(): VNode | null {
  const store = useStore();
  const models = store.models.value;
  const now = models.find((m) => m.id === store.model.value);
  if (!now) {
    return maySend(store.trust.value.state) ? <span class="model-none">{t.chat.noModels}</span> : null;
  }
  return (
    <Menu
      class="model-button"
      label={`${t.chat.model}: ${now.name}${now.demo ? ` ${t.chat.demoModel}` : ''}`}
      items={models.map((m) => ({
        label: m.name,
        note: modelNote(m),
        checked: m.id === now.id,
        run: () => void store.pickModel(m.id),
      }))}
    >
      <span class="model-name">{now.name}</span> {now.demo && <span class="tag demo">{t.chat.demoModel}</span>}
      <Icon name="down" />
    </Menu>
  );
}

/** The facts that help to choose. */
export function modelNote(m: Model): string {
  const parts = [m.demo ? t.chat.demoModel : '', m.engine ?? '', m.context ? t.chat.context(m.context) : ''];
  return parts.filter(Boolean).join(' · ');
}
