// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Shows the state that the address names (?state=…), or lists them all.

import { render } from 'preact';
import '../src/styles/index.css';
import { connectFake, NOW } from './fake.ts';
import { split } from '../src/markdown/blocks.ts';
import { ready } from '../src/markdown/lex.ts';
import { Blocks } from '../src/markdown/render.tsx';
import { STATES, type State } from './states.ts';
import { start } from '../src/ui/start.tsx';

const wanted = new URLSearchParams(location.search).get('state');
const state = STATES.find((s) => s.name === wanted);

/** The clock stands still where a photograph would change with it. */
const RealDate = Date;
class FixedDate extends RealDate {
  constructor(...args: unknown[]) {
    super(...((args.length ? args : [NOW]) as [number]));
  }
  static override now(): number {
    return NOW;
  }
}
globalThis.Date = FixedDate as DateConstructor;

if (location.pathname === '/markdown') drawing();
else if (state) show(state);
else list();

/** Lets a test draw any Markdown: `await draw(text)` answers the box it is in. */
function drawing(): void {
  const box = document.createElement('div');
  box.className = 'md';
  document.body.replaceChildren(box);
  const draw = async (text: string): Promise<HTMLElement> => {
    await ready();
    render(<Blocks blocks={split(text)} />, box);
    return box;
  };
  Object.assign(globalThis, { draw });
  document.documentElement.dataset.ready = 'yes';
}

function list(): void {
  const ul = document.createElement('ul');
  for (const s of STATES) {
    const a = document.createElement('a');
    a.href = `${s.path}?state=${s.name}`;
    a.textContent = s.name;
    const li = document.createElement('li');
    li.append(a);
    ul.append(li);
  }
  document.body.replaceChildren(ul);
}

function show(s: State): void {
  if (s.name === 'drawer' && innerWidth > 760) s.acts = [];
  start(() => {
    const core = connectFake(s.scene);
    Object.assign(globalThis, { core });
    return core;
  });
  void act(s).then(() => (document.documentElement.dataset.ready = 'yes'));
}

async function act(s: State): Promise<void> {
  // The keys are bound after the first paint.
  await find(s.scene.session.state === 'open' ? '.app' : '.entry');
  await painted();
  await pause(60);
  for (const a of s.acts) {
    if (a === '^') {
      const log = await find('.log');
      log.scrollTop -= 1500;
      await pause(300);
      log.scrollTop -= 10;
    } else if (/^@\d+$/.test(a)) await pause(Number(a.slice(1)));
    else if (a.startsWith('@'))
      dispatchEvent(new KeyboardEvent('keydown', { key: a.slice(1), ctrlKey: true, cancelable: true }));
    else {
      const [, selector, text] = /^((?:\[[^\]]*\]|[^=])+)(?:=(.*))?$/s.exec(a)!;
      const el = await find(selector!);
      if (text === undefined) {
        el.focus();
        el.click();
      } else {
        (el as HTMLInputElement).value = text;
        el.dispatchEvent(new Event('input', { bubbles: true }));
      }
    }
    await pause(60);
  }
  await painted();
  await pause(120);
}

/** The next two frames have been drawn, and what waits for them has run. */
function painted(): Promise<void> {
  return new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(r))));
}

async function find(selector: string): Promise<HTMLElement> {
  for (let i = 0; i < 1000; i++) {
    const el = document.querySelector<HTMLElement>(selector);
    if (el) return el;
    await pause(50);
  }
  throw new Error(`nothing matches ${selector}`);
}

function pause(ms: number): Promise<void> {
  return new Promise((r) => setTimeout(r, ms));
}
