// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// The panel: everything that is known of the machine that answers, and of the one
// that answered. It loads when it is opened.

import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Answered, Check, Receipt, TrustState, Verdict } from '../core/protocol.ts';
import { useTask } from './async.ts';
import { CopyButton, saveFile } from './copy.tsx';
import { longTime, shortDay, shortTime } from './dates.ts';
import { Dialog } from './dialog.tsx';
import { Problem } from './entry.tsx';
import { Icon, type IconName } from './icons.tsx';
import { kinds, list, plain, platformName, platformNames, sentenceOf, standing, worstFirst, type Kind } from './platforms.ts';
import { csv } from './report.ts';
import { pageFailed, useStore } from './store.ts';
import { t } from './strings.ts';
import { p as plans } from './strings-plan.ts';

const ROWS = ['chip', 'software', 'log', 'key', 'page'] as const;

/** Everything that is known of the machine that would answer next. */
export function TrustPanel({ onClose }: { onClose: () => void }): VNode {
  const store = useStore();
  const trust = store.trust.value;
  const [at, setAt] = useState(0);
  const again = useTask();
  const proof = useTask();
  const verdicts = trust.verdicts;
  const verdict = verdicts[Math.min(at, verdicts.length - 1)];
  const demo = trust.state === 'demo' || trust.state === 'consent';
  const command = `sotto verify ${demo ? '--insecure-software-node ' : ''}${location.origin}`;

  return (
    <Dialog title={t.trust.panelTitle} shape="sheet" onClose={onClose} class="panel">
      <Headline state={trust.state} words={pageFailed(trust) ? t.trust.pageHeadline : ''} detail={trust.detail || verdict?.summary || ''}>
        {trust.checkedAt > 0 ? t.trust.checkedAt(shortTime(trust.checkedAt)) : t.trust.never}
      </Headline>
      {verdict && verdict.platforms.length > 0 && (
        <ul class="panel-hardware" aria-label={t.trust.platform}>
          {verdict.platforms.map((p) => (
            <li key={p} class="tag">
              {platformName(p)}
            </li>
          ))}
        </ul>
      )}
      {verdicts.length > 1 && (
        <div class="panel-machines" role="group" aria-label={t.trust.node}>
          <button
            type="button"
            class="icon-button small"
            aria-label={t.message.previous}
            disabled={at === 0}
            onClick={() => setAt(at - 1)}
          >
            <Icon name="left" />
          </button>
          <span>{t.trust.machine(at + 1, verdicts.length)}</span>
          <button
            type="button"
            class="icon-button small"
            aria-label={t.message.next}
            disabled={at >= verdicts.length - 1}
            onClick={() => setAt(at + 1)}
          >
            <Icon name="right" />
          </button>
        </div>
      )}
      <ol class="checks">
        {ROWS.map((id) => (
          <Row key={id} id={id} check={verdict?.checks.find((c) => c.id === id)} verdict={verdict} />
        ))}
        {verdict?.checks
          .filter((c) => !(ROWS as readonly string[]).includes(c.id))
          .map((c) => (
            <Row key={c.id} id={c.id} check={c} verdict={verdict} />
          ))}
        <AddressRow />
      </ol>
      <div class="panel-actions">
        <button
          type="button"
          class="button"
          disabled={again.busy}
          onClick={() => again.run(() => store.core!.checkAgain())}
        >
          <Icon name="again" />
          {again.busy ? t.trust.checkingAgain : t.trust.again}
        </button>
        <button
          type="button"
          class="button"
          disabled={proof.busy || verdicts.length === 0}
          onClick={() =>
            proof.run(async () => saveFile('sotto-proof.json', await store.core!.exportProof(), 'application/json'))
          }
        >
          <Icon name="download" />
          {t.trust.exportProof}
        </button>
      </div>
      <Problem text={again.error || proof.error} />
      <section class="panel-part" aria-labelledby="panel-command">
        <h3 id="panel-command" class="overline">
          {t.trust.command}
        </h3>
        <div class="command">
          <code>{command}</code>
          <CopyButton text={() => command} label={t.trust.copyCommand} small />
        </div>
      </section>
      <Limits />
    </Dialog>
  );
}

/** How one answer was checked, as it was then. */
export function ReceiptPanel({ receipt, onClose }: { receipt: Receipt; onClose: () => void }): VNode {
  const demo = receipt.state === 'demo';
  const state = (receipt.state in t.trust.headline ? receipt.state : 'unknown') as TrustState;
  const when = longTime(milliseconds(receipt.time));
  return (
    <Dialog title={t.trust.receiptTitle} shape="sheet" onClose={onClose} class="panel">
      <Headline state={state} detail={demo ? t.trust.receiptText.demo(when) : t.trust.receiptText.other(when)} />
      {receipt.checks && (
        <ol class="checks">
          {receipt.checks.map((c) => (
            <Row key={c.id} id={c.id} check={{ ...c, title: '' }} />
          ))}
        </ol>
      )}
      <Facts
        rows={[
          [t.trust.node, receipt.node],
          [t.trust.platform, platformNames(receipt.platform)],
          [t.trust.version, receipt.version ?? ''],
          [t.trust.release, receipt.release],
          [t.trust.logIndex, receipt.log_index === undefined ? t.trust.none : receipt.log_index.toLocaleString()],
          [t.trust.witnesses, receipt.witnesses ? receipt.witnesses.toLocaleString() : t.trust.none],
          [t.trust.key, receipt.key_id],
          [t.trust.valid, range(receipt.not_before, receipt.not_after)],
          [t.trust.chip, receipt.chip || t.trust.none],
        ]}
      />
      <div class="panel-actions">
        <button
          type="button"
          class="button"
          onClick={() => saveFile('sotto-receipt.json', JSON.stringify(receipt, null, 2), 'application/json')}
        >
          <Icon name="download" />
          {t.trust.exportProof}
        </button>
      </div>
      <Limits />
    </Dialog>
  );
}

function Headline({
  state,
  words,
  detail,
  children,
}: {
  state: TrustState;
  /** In place of the state's own. */
  words?: string;
  detail: string;
  children?: ComponentChildren;
}): VNode {
  return (
    <div class={`panel-head trust-${state}`}>
      <p class="panel-state">
        <Icon name={`trust-${state}` as IconName} />
        {words || t.trust.headline[state]}
      </p>
      {detail && <p>{detail}</p>}
      {children && <p class="hint">{children}</p>}
    </div>
  );
}

const STANDING_ICON = { ok: 'check', note: 'check', warn: 'dash', fail: 'close', unknown: 'question', none: 'more' } as const;

function Stands({ as }: { as: keyof typeof STANDING_ICON }): VNode {
  return (
    <span class="check-icon">
      <Icon name={STANDING_ICON[as]} />
    </span>
  );
}

/** One question about the machine: the answer in a sentence, then whose proof it rests on, then every single finding. */
function Row({ id, check, verdict }: { id: string; check?: Check; verdict?: Verdict }): VNode {
  const as = standing(check);
  const all = kinds(check, verdict?.platforms ?? []);
  const proofs = all.filter((k) => k.platform !== '');
  const bad = as === 'fail' || as === 'unknown';
  // A warning in a machine that proved itself is worth saying, and no more.
  const noted = as === 'warn' && verdict?.state === 'verified' && proofs.some((k) => k.parts.some((c) => c.status === 'ok'));
  const compared = bad && plain(check?.want) && plain(check?.found);
  const more: [string, string][] = [];
  // Where there are parts, the values stand beside them.
  if (all.length === 0) {
    if (check?.want) more.push([t.trust.want, check.want]);
    if (check?.found) more.push([t.trust.found, check.found]);
  }
  if (verdict && id === 'chip') {
    more.push([t.trust.node, verdict.node], [t.trust.platform, platformNames(verdict.platforms.join('+'))]);
    if (verdict.chip) more.push([t.trust.chip, verdict.chip]);
  }
  if (verdict && id === 'software') {
    more.push([t.trust.release, verdict.release]);
    for (const m of verdict.models ?? []) more.push([m.id, m.digest]);
  }
  if (verdict?.log && id === 'log') {
    const l = verdict.log;
    more.push(
      [t.trust.version, l.version],
      [t.trust.logIndex, t.trust.entryOf(l.index, l.size)],
      [t.trust.published, longTime(milliseconds(l.published))],
      [t.trust.witnesses, list(l.witnesses)],
      [t.trust.log, l.log],
    );
  }
  if (verdict && id === 'key')
    more.push([t.trust.key, verdict.key_id], [t.trust.valid, range(verdict.not_before, verdict.not_after)]);
  return (
    <li class={`check check-${noted ? 'note' : as}`}>
      <Stands as={noted ? 'note' : as} />
      <div class="check-text">
        <h3>
          {t.trust.rows[id] ?? check?.title ?? id} <span class="check-word">{t.trust.status[noted ? 'note' : as]}</span>
        </h3>
        <p>{check ? sentenceOf(id, check, all) : id === 'page' ? t.trust.pageRow : t.trust.notChecked}</p>
        {id === 'log' && verdict?.log && as === 'ok' && (
          <p class="hint">{t.trust.publishedOn(shortDay(milliseconds(verdict.log.published)))}</p>
        )}
        {id === 'page' && <PageNote />}
        {compared && (
          <dl class="compared">
            <div>
              <dt>{t.trust.found}</dt>
              <dd>{readable(check!, check!.found!)}</dd>
            </div>
            <div>
              <dt>{t.trust.want}</dt>
              <dd>{readable(check!, check!.want!)}</dd>
            </div>
          </dl>
        )}
        {(bad ? proofs.length > 0 : id === 'chip' && proofs.length > 1) && (
          <ul class="kinds">
            {proofs.map((k) => (
              <li key={k.platform} class={`kind check-${k.standing}`}>
                <Stands as={k.standing} />
                <span class="kind-name">{k.name}</span>
                <span class="check-word">{kindNote(k)}</span>
              </li>
            ))}
          </ul>
        )}
        {(all.length > 0 || more.length > 0 || check?.redo) && (
          <details>
            <summary>{t.trust.showMe}</summary>
            {all.map((k) => (
              <Parts key={k.platform} kind={k} />
            ))}
            <Facts rows={more} />
            {check?.redo && (
              <>
                <p class="overline">{t.trust.redo}</p>
                <p class="redo">{check.redo}</p>
              </>
            )}
          </details>
        )}
      </div>
    </li>
  );
}

/** Who sees where the person is: about the way to the machine, and not the machine. */
function AddressRow(): VNode {
  const { plan } = useStore();
  const { known, relay } = plan.value;
  const r = plans.relay;
  const [as, word, words] = !known
    ? (['none', r.words.none, r.none] as const)
    : !relay
      ? (['note', r.words.visible, r.visible] as const)
      : relay.error
        ? (['fail', r.words.failed, r.failed(relay.host)] as const)
        : relay.local
          ? (['warn', r.words.demo, r.demo(relay.host)] as const)
          : (['ok', r.words.hidden, r.hidden(relay.host, relay.operator)] as const);
  return (
    <li class={`check check-${as === 'note' ? 'none' : as} check-address`}>
      <span class="check-icon">
        <Icon name={as === 'note' ? 'dash' : STANDING_ICON[as]} />
      </span>
      <div class="check-text">
        <h3>
          {r.row} <span class="check-word">{word}</span>
        </h3>
        <p>{words}</p>
        {relay && !relay.error && !relay.local && <p class="hint">{r.account}</p>}
      </div>
    </li>
  );
}

const MISSING = 'platform_missing';

/** Where whole kinds of proof are missing, the values are their names. */
function readable(c: Check, value: string): string {
  return c.failure === MISSING ? platformNames(value.replaceAll(', ', '+')) : value;
}

function kindNote(k: Kind): string {
  if (k.bad === 0) return t.trust.checks(k.parts.length);
  if (k.parts.every((c) => c.failure === MISSING)) return t.trust.missing;
  return k.standing === 'unknown' ? t.trust.checksUnknown(k.bad, k.parts.length) : t.trust.checksFailed(k.bad, k.parts.length);
}

/** Everything that was looked at in one kind of hardware's proof. */
function Parts({ kind }: { kind: Kind }): VNode {
  return (
    <section class="parts">
      <h4>{kind.name}</h4>
      <ul>
        {worstFirst(kind.parts).map((c, i) => (
          <li key={`${c.id} ${i}`} class={`part check-${standing(c)}`}>
            <Stands as={standing(c)} />
            <div>
              <p class="part-title">
                {c.title} <span class="visually-hidden">{t.trust.status[standing(c)]}.</span>
              </p>
              <p>{c.detail}</p>
              {(c.want || c.found) && (
                <dl class="facts">
                  {c.found && (
                    <div>
                      <dt>{t.trust.found}</dt>
                      <dd>{c.found}</dd>
                    </div>
                  )}
                  {c.want && (
                    <div>
                      <dt>{t.trust.want}</dt>
                      <dd>{c.want}</dd>
                    </div>
                  )}
                </dl>
              )}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Facts({ rows }: { rows: [string, string][] }): VNode | null {
  if (rows.length === 0) return null;
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value || t.trust.none}</dd>
        </div>
      ))}
    </dl>
  );
}

function Limits(): VNode {
  return (
    <section class="panel-part" aria-labelledby="panel-limits">
      <h3 id="panel-limits" class="overline">
        {t.trust.limitsTitle}
      </h3>
      <ul class="limits">
        {t.trust.limits.map((l) => (
          <li key={l}>{l}</li>
        ))}
      </ul>
    </section>
  );
}

function range(from: number, to: number): string {
  return from ? t.trust.validRange(shortTime(milliseconds(from)), shortTime(milliseconds(to))) : t.trust.none;
}

/** Verdicts and receipts count seconds (spec/verdict.md); the page counts milliseconds. */
function milliseconds(seconds: number): number {
  return seconds * 1000;
}

/** What changed in the page, and the way to the list. */
function PageNote(): VNode | null {
  const store = useStore();
  const p = store.page.value;
  if (p.changes.length === 0) return null;
  return (
    <p>
      <button type="button" class="link" onClick={() => (store.overlay.value = { is: 'update' })}>
        {t.page.whatChanged}
      </button>
    </p>
  );
}

/** What is different in the new version of this page. */
export function UpdateSheet({ onClose }: { onClose: () => void }): VNode {
  const { page } = useStore();
  const p = page.value;
  return (
    <Dialog title={t.page.title(p.from, p.version)} shape="sheet" onClose={onClose} class="panel">
      <p>{p.text}</p>
      <ul class="limits changes">
        {p.changes.map((c) => (
          <li key={c}>{c}</li>
        ))}
      </ul>
      <p class="hint">{t.page.about}</p>
      {p.news === 'update' && (
        <div class="dialog-actions">
          <button type="button" class="button quiet" onClick={onClose}>
            {t.page.later}
          </button>
          <button type="button" class="button primary" onClick={() => location.reload()}>
            {t.page.reload}
          </button>
        </div>
      )}
    </Dialog>
  );
}

/** How far back a report reaches, in days; 0 for all of it. */
const SPANS = [1, 7, 30, 0] as const;

/** Who answered what and how it was checked: made on this device, out of the receipts. */
export function ReportSheet({ onClose }: { onClose: () => void }): VNode {
  const store = useStore();
  const task = useTask();
  const [all, setAll] = useState<Answered[] | null>(null);
  const [days, setDays] = useState<number>(7);
  useEffect(() => task.run(async () => setAll(await store.core!.report())), []);
  const since = days === 0 ? 0 : Date.now() / 1000 - days * 86_400;
  const rows = (all ?? []).filter((a) => a.time >= since);
  return (
    <Dialog title={t.report.title} shape="sheet" onClose={onClose} class="panel report">
      <p>{t.report.lead}</p>
      <div class="report-spans" role="group" aria-label={t.report.span}>
        {SPANS.map((d) => (
          <button key={d} type="button" class="button" aria-pressed={days === d} onClick={() => setDays(d)}>
            {t.report.spans[d]}
          </button>
        ))}
      </div>
      <Problem text={task.error} />
      {all && <p class="hint">{t.report.count(rows.length)}</p>}
      <ol class="report-list">
        {rows.slice(0, REPORT_SHOWN).map((a) => (
          <li key={a.message}>
            <h3>{a.title || t.sidebar.untitled}</h3>
            <p>
              {longTime(milliseconds(a.time))} · {a.state in t.trust.headline ? t.trust.headline[a.state as TrustState] : a.state}
            </p>
            <p class="hint">
              {t.report.line(platformNames(a.platform), a.version || a.release.slice(0, 19), a.entry, a.witnesses ?? 0)}
            </p>
          </li>
        ))}
      </ol>
      {rows.length > REPORT_SHOWN && <p class="hint">{t.report.more(rows.length - REPORT_SHOWN)}</p>}
      <div class="panel-actions">
        <button type="button" class="button" disabled={rows.length === 0} onClick={() => saveFile('sotto-report.csv', csv(rows), 'text/csv')}>
          <Icon name="download" />
          {t.report.csv}
        </button>
        <button
          type="button"
          class="button"
          disabled={rows.length === 0}
          onClick={() => saveFile('sotto-report.json', JSON.stringify({ v: 1, answers: rows }, null, 2), 'application/json')}
        >
          <Icon name="download" />
          {t.report.json}
        </button>
      </div>
      <p class="hint">{t.report.warning}</p>
    </Dialog>
  );
}

/** Rows on the screen; the files have all of them. */
const REPORT_SHOWN = 200;
