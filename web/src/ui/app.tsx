// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { AskToLeave } from '../markdown/link.tsx';
import { Chat } from './chat.tsx';
import { copyText } from './copy.tsx';
import { Entry } from './entry.tsx';
import { Icon, Mark } from './icons.tsx';
import { LinkPage } from './link.tsx';
import { Announcer, Notices, Overlays, Toasts } from './overlays.tsx';
import { SettingsPage } from './part.tsx';
import { actionOf, isMac, type Action } from './shortcuts.ts';
import { Sidebar } from './sidebar.tsx';
import { StoreContext, type Store } from './store.ts';
import { t } from './strings.ts';

/** The whole page. */
export function App({ store }: { store: Store }): VNode {
  useTheme(store);
  useTitle(store);
  useKeys(store);
  return (
    <StoreContext.Provider value={store}>
      <AskToLeave.Provider value={(url) => (store.overlay.value = { is: 'link', url })}>
        <Screen store={store} />
        <Overlays />
        <Toasts />
        <Announcer />
      </AskToLeave.Provider>
    </StoreContext.Provider>
  );
}

function Screen({ store }: { store: Store }): VNode {
  if (store.fatal.value) return <Fatal text={store.fatal.value} />;
  switch (store.session.value.state) {
    case 'starting':
      return <Starting />;
    case 'open':
      return <Main store={store} />;
    default:
      return <Entry />;
  }
}

function Main({ store }: { store: Store }): VNode {
  const route = store.route.value;
  const open = store.sidebar.value;
  const drawer = store.drawer.value;
  useEffect(() => {
    if (drawer) document.querySelector<HTMLElement>('.sidebar .side-link')?.focus();
  }, [drawer]);
  return (
    <div class={`app${open ? '' : ' no-side'}${drawer ? ' drawer-open' : ''}`}>
      <a class="skip" href="#composer">
        {t.skip}
      </a>
      <Sidebar />
      {drawer && (
        <button
          type="button"
          class="drawer-veil"
          aria-label={t.sidebar.close}
          onClick={() => (store.drawer.value = false)}
        />
      )}
      <div class="page" inert={drawer}>
        <Notices />
        {route.at === 'settings' ? <SettingsPage failed={() => store.toast(t.trust.notLoaded)} /> : route.at === 'link' ? <LinkPage id={route.id} /> : <Chat />}
      </div>
    </div>
  );
}

/** Before the core has said who is here: the shape of the page, without words that may be wrong. */
function Starting(): VNode {
  return (
    <main class="entry starting" aria-busy="true">
      <p class="wordmark">
        <Mark />
        {t.name}
      </p>
      <p class="hint" role="status">
        {t.loading}
      </p>
    </main>
  );
}

function Fatal({ text }: { text: string }): VNode {
  return (
    <main class="entry">
      <div class="entry-in">
        <p class="wordmark">
          <Mark />
          {t.name}
        </p>
        <h1>{t.fatal.title}</h1>
        <p class="lead" role="alert">
          {text}
        </p>
        <button type="button" class="button primary large" onClick={() => location.reload()}>
          <Icon name="again" />
          {t.reload}
        </button>
      </div>
    </main>
  );
}

function useTheme(store: Store): void {
  const theme = store.settings.value.theme;
  useEffect(() => {
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
}

// The window's title never names a chat: browsers write titles into their
// history, in clear, and may sync them.
function useTitle(store: Store): void {
  const settings = store.session.value.state === 'open' && store.route.value.at === 'settings';
  useEffect(() => {
    document.title = settings ? `${t.settings.title} · ${t.name}` : t.name;
  }, [settings]);
}

function useKeys(store: Store): void {
  useEffect(() => {
    const mac = isMac();
    const on = (e: KeyboardEvent): void => {
      if (e.defaultPrevented || store.session.value.state !== 'open') return;
      const action = actionOf(e, mac);
      if (action && run(store, action)) e.preventDefault();
    };
    addEventListener('keydown', on);
    return () => removeEventListener('keydown', on);
  }, [store]);
}

/** Does what a key asks for; false leaves the key to the browser. */
function run(store: Store, action: Action): boolean {
  const dialog = store.overlay.value;
  switch (action) {
    case 'search':
    case 'help':
      if (dialog && dialog.is !== 'search' && dialog.is !== 'help') return false;
      store.overlay.value = dialog?.is === action ? null : { is: action };
      return true;
    case 'newChat':
      if (dialog) return false;
      store.newChat();
      return true;
    case 'sidebar':
      if (matchMedia('(max-width: 760px)').matches) store.drawer.value = !store.drawer.value;
      else store.sidebar.value = !store.sidebar.value;
      return true;
    case 'stop':
      if (dialog || document.querySelector('dialog[open]')) return false;
      if (store.drawer.value) {
        store.drawer.value = false;
        return true;
      }
      if (!store.busy.value) return false;
      store.stop();
      return true;
    case 'copyLast': {
      const last = store.path.value.findLast((m) => m.role === 'assistant');
      if (!last) return false;
      void copyText(store.live.whole(last)).then((ok) => ok && store.toast(t.copied));
      return true;
    }
    default:
      return false;
  }
}
