// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useTask } from './async.ts';
import { saveFile } from './copy.tsx';
import { Dialog } from './dialog.tsx';
import { Problem } from './entry.tsx';
import { Group, Row } from './settings-row.tsx';
import { useStore } from './store.ts';
import { t } from './strings.ts';

/** Taking everything out, and taking everything away. */
export function DataSettings(): VNode {
  const store = useStore();
  const [deleting, setDeleting] = useState(false);
  const exportAll = (): void =>
    void (store.overlay.value = {
      is: 'confirm',
      title: t.settings.exportTitle,
      text: t.settings.exportText,
      go: t.settings.exportGo,
      danger: false,
      run: async () =>
        saveFile(
          `sotto-${new Date().toISOString().slice(0, 10)}.zip`,
          await store.core!.exportAll(),
          'application/zip',
        ),
    });
  return (
    <Group id="set-data" title={t.settings.data}>
      <Row title={t.settings.export} hint={t.settings.exportHint}>
        <button type="button" class="button" onClick={exportAll}>
          {t.settings.exportGo}
        </button>
      </Row>
      <Row title={t.report.title} hint={t.report.hint}>
        <button type="button" class="button" onClick={() => (store.overlay.value = { is: 'report' })}>
          {t.report.open}
        </button>
      </Row>
      <Row title={t.settings.remove_account} hint={t.settings.deleteHint}>
        <button type="button" class="button danger" onClick={() => setDeleting(true)}>
          {t.settings.remove_account}
        </button>
      </Row>
      {deleting && <DeleteAccount onClose={() => setDeleting(false)} />}
    </Group>
  );
}

function DeleteAccount({ onClose }: { onClose: () => void }): VNode {
  const store = useStore();
  const task = useTask();
  const [typed, setTyped] = useState('');
  return (
    <Dialog title={t.settings.deleteTitle} onClose={onClose}>
      <form
        class="form"
        onSubmit={(e) => {
          e.preventDefault();
          task.run(() => store.core!.deleteAccount(typed));
        }}
      >
        <p>{t.settings.deleteLead}</p>
        <ul class="limits">
          {t.settings.deleteList(store.chats.value.length).map((x) => (
            <li key={x}>{x}</li>
          ))}
        </ul>
        <label class="field">
          <span class="field-label">{t.settings.deleteType}</span>
          <input
            class="input"
            value={typed}
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            onInput={(e) => setTyped(e.currentTarget.value)}
          />
        </label>
        <Problem text={task.error} />
        <div class="dialog-actions">
          <button type="button" class="button quiet" onClick={onClose}>
            {t.settings.keepIt}
          </button>
          <button type="submit" class="button danger solid" disabled={task.busy || typed !== t.settings.deleteWord}>
            {task.busy ? t.settings.deleting : t.settings.deleteGo}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
