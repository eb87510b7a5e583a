// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// What lies over the page: dialogs, toasts, notices and the voice for screen readers.

import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { lazy } from '../core/lazy.ts';
import { useTask } from './async.ts';
import { CopyButton } from './copy.tsx';
import { Dialog } from './dialog.tsx';
import { Problem } from './entry.tsx';
import { Icon } from './icons.tsx';
import { ActiveChats } from './part.tsx';
import { Search } from './search.tsx';
import { caps, describe, isMac, SHORTCUTS } from './shortcuts.ts';
import { SAID_MS, UNDO_MS, type Overlay, type Toast } from './overlay.ts';
import { useStore } from './store.ts';
import { t } from './strings.ts';
import { ConsentDialog } from './trust.tsx';

/** The one dialog that is open. */
export function Overlays(): VNode | null {
  const store = useStore();
  const o = store.overlay.value;
  const close = (): void => {
    if (store.overlay.value === o) store.overlay.value = null;
  };
  switch (o?.is) {
    case 'search':
      return <Search onClose={close} />;
    case 'help':
      return <Help onClose={close} />;
    case 'trust':
    case 'receipt':
    case 'update':
    case 'report':
      return <Panel of={o} onClose={close} />;
    case 'chats':
      return <ActiveChats onClose={close} />;
    case 'consent':
      return <ConsentDialog onClose={close} />;
    case 'link':
      return <LeaveForLink url={o.url} onClose={close} />;
    case 'leave':
      return (
        <Confirm
          ask={{
            is: 'confirm',
            title: t.chat.leaveTitle,
            text: t.chat.leaveText,
            go: t.chat.leave,
            danger: true,
            run: o.then,
          }}
          stay={t.chat.stay}
          onClose={close}
        />
      );
    case 'confirm':
      return <Confirm ask={o} stay={o.stay ?? t.cancel} onClose={close} />;
    default:
      return null;
  }
}

/** What is loaded of the panels: nothing, until one is opened. */
let panels: typeof import('./panel.tsx') | null = null;

function Panel({ of, onClose }: { of: Overlay; onClose: () => void }): VNode | null {
  const store = useStore();
  const [p, setPanels] = useState(panels);
  useEffect(() => {
    if (panels) return;
    lazy('lazy:panel', () => import('./panel.tsx')).then(
      (m) => setPanels((panels = m)),
      () => {
        onClose();
        store.toast(t.trust.notLoaded);
      },
    );
  }, []);
  if (!p) return null;
  switch (of.is) {
    case 'receipt':
      return <p.ReceiptPanel receipt={of.receipt} onClose={onClose} />;
    case 'update':
      return <p.UpdateSheet onClose={onClose} />;
    case 'report':
      return <p.ReportSheet onClose={onClose} />;
    default:
      return <p.TrustPanel onClose={onClose} />;
  }
}

type Ask = Extract<Overlay, { is: 'confirm' }>;

function Confirm({ ask, stay, onClose }: { ask: Ask; stay: string; onClose: () => void }): VNode {
  const task = useTask();
  return (
    <Dialog title={ask.title} onClose={onClose}>
      {ask.text.split('\n').map((p) => (
        <p key={p}>{p}</p>
      ))}
      <Problem text={task.error} />
      <div class="dialog-actions">
        <button type="button" class="button quiet" onClick={onClose}>
          {stay}
        </button>
        <button
          type="button"
          class={ask.danger ? 'button danger solid' : 'button primary'}
          disabled={task.busy}
          onClick={() =>
            task.run(async () => {
              await ask.run();
              onClose();
            })
          }
        >
          {ask.go}
        </button>
      </div>
    </Dialog>
  );
}

/** A link shows its whole address before it is followed. */
function LeaveForLink({ url, onClose }: { url: string; onClose: () => void }): VNode {
  const at = url.startsWith('mailto:') ? '' : new URL(url).host;
  const [before, after] = at ? [url.slice(0, url.indexOf(at)), url.slice(url.indexOf(at) + at.length)] : [url, ''];
  return (
    <Dialog title={t.markdown.leaveTitle} onClose={onClose}>
      <p class="address" dir="ltr">
        {before}
        <strong>{at}</strong>
        {after}
      </p>
      <p class="hint">{t.markdown.leaveText}</p>
      <div class="dialog-actions">
        <CopyButton text={() => url} label={t.markdown.copyLink} words />
        <a
          class="button primary"
          href={url}
          target="_blank"
          rel="noopener noreferrer nofollow"
          onClick={() => setTimeout(onClose)}
        >
          {t.markdown.openLink}
          <Icon name="out" />
        </a>
      </div>
    </Dialog>
  );
}

function Help({ onClose }: { onClose: () => void }): VNode {
  const mac = isMac();
  return (
    <Dialog title={t.help.title} onClose={onClose}>
      <dl class="keys">
        {SHORTCUTS.map((s) => (
          <div key={s.action}>
            <dt>{describe(s)}</dt>
            <dd>
              {caps(s, mac).map((c) => (
                <kbd key={c}>{c}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

/** Short messages that go by themselves; each waits while the pointer or the focus is on it. */
export function Toasts(): VNode {
  const store = useStore();
  return (
    <div class="toasts" role="status">
      {store.toasts.value.map((x) => (
        <ToastView key={x.id} toast={x} />
      ))}
    </div>
  );
}

function ToastView({ toast }: { toast: Toast }): VNode {
  const store = useStore();
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (held) return;
    const timer = setTimeout(() => store.endToast(toast.id, 'gone'), toast.action ? UNDO_MS : SAID_MS);
    return () => clearTimeout(timer);
  }, [held]);
  return (
    <div
      class="toast"
      onMouseEnter={() => setHeld(true)}
      onMouseLeave={() => setHeld(false)}
      onFocusIn={() => setHeld(true)}
      onFocusOut={() => setHeld(false)}
    >
      <span class="toast-text">{toast.text}</span>
      {toast.action && (
        <button type="button" class="toast-do" onClick={() => store.endToast(toast.id, 'action')}>
          {toast.action.label}
        </button>
      )}
      <button
        type="button"
        class="icon-button small"
        aria-label={t.dismiss}
        title={t.dismiss}
        onClick={() => store.endToast(toast.id, 'gone')}
      >
        <Icon name="close" />
      </button>
    </div>
  );
}

/** What the person should know, above everything, until dismissed. */
export function Notices(): VNode | null {
  const store = useStore();
  const s = store.session.value;
  const unconfirmed = s.state === 'open' && s.kitConfirmed === false;
  const list = store.notices.value;
  const offline = s.offline && !list.some((n) => n.kind === 'offline');
  const page = store.page.value;
  const news = s.state === 'open' && page.news !== '';
  if (list.length === 0 && !unconfirmed && !offline && !news) return null;
  return (
    <section class="notices" role="status">
      {list.map((n) => (
        <div key={n.code} class={`notice ${n.kind}`}>
          <p>
            {n.kind === 'history' && <strong>{t.notices.historyTitle} </strong>}
            {n.text}
          </p>
          {n.rejoin && (
            <button type="button" class="button" onClick={() => store.askRejoin()}>
              {t.rejoin.go}
            </button>
          )}
          <button
            type="button"
            class="icon-button small"
            aria-label={t.dismiss}
            title={t.dismiss}
            onClick={() => store.dismissNotice(n.code)}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      {news && (
        <div class={page.news === 'changed' || page.news === 'refused' ? 'notice warn' : 'notice info'}>
          <p>
            {page.news === 'changed' && <strong>{t.page.changed} </strong>}
            {page.text}
          </p>
          {page.changes.length > 0 && (
            <button type="button" class="button" onClick={() => (store.overlay.value = { is: 'update' })}>
              {t.page.whatChanged}
            </button>
          )}
          {page.news === 'update' && (
            <button type="button" class="button" onClick={() => location.reload()}>
              {t.page.reload}
            </button>
          )}
          {page.news !== 'changed' && (
            <button
              type="button"
              class="icon-button small"
              aria-label={t.dismiss}
              title={t.dismiss}
              onClick={() => store.endPageNews()}
            >
              <Icon name="close" />
            </button>
          )}
        </div>
      )}
      {offline && <p class="notice offline">{t.notices.offline}</p>}
      {unconfirmed && (
        <div class="notice warn">
          <p>
            <strong>{t.notices.kitTitle}</strong> {t.notices.kit}
          </p>
          <button type="button" class="link" onClick={() => store.go({ at: 'settings' })}>
            {t.notices.kitGo}
          </button>
        </div>
      )}
    </section>
  );
}

/** Says when an answer starts and what it was; never single words as they come. */
export function Announcer(): VNode {
  const store = useStore();
  return (
    <p class="visually-hidden" aria-live="polite">
      {store.said.value}
    </p>
  );
}
