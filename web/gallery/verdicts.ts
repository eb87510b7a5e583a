// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Verdicts of machines with real hardware, as the core writes them, for the
// gallery. Identifiers and sentences are those of attest/snp, tdx, tpm and nvidia.

import type { Check, Trust, TrustState, Verdict } from '../src/core/protocol.ts';

type Part = Check & { platform?: string };

const NOW = new Date(2026, 10, 23, 14, 2).getTime() / 1000;
const RELEASE = 'sha256:9b1f0c7d2e4a5b6c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e';
const MEASURED = '5b1d4f60a7c2988e6bb2f0c7d13e5a94c8870f3e2a6d1b5c9f40e7d8a3b62c115b1d4f60a7c2988e6bb2f0c7d13e5a94';

const ok = (id: string, title: string, detail: string): Part => ({ id, title, status: 'ok', detail });
const warn = (id: string, title: string, detail: string, found = ''): Part => ({
  id,
  title,
  status: 'warn',
  detail,
  ...(found ? { found } : {}),
});
const fail = (id: string, title: string, failure: string, detail: string, want = '', found = ''): Part => ({
  id,
  title,
  status: 'fail',
  failure,
  detail,
  ...(want ? { want } : {}),
  ...(found ? { found } : {}),
});
const bound = ok('key.bound', 'The proof speaks of this key', 'The hardware put the key in what it signed.');

const SNP: Part[] = [
  ok('chip.report', 'The proof can be read', 'It is a report of version 3 from a chip of AMD\'s Genoa family.'),
  ok('chip.chain', 'AMD made the chip', 'AMD\'s root key ARK-Genoa stands behind the key of the chip.'),
  ok('chip.signature', 'The chip signed the report', 'The chip\'s signature of the report is right.'),
  ok(
    'chip.revocation',
    'AMD stands by its certificates',
    'AMD\'s list of what it has taken back names nothing that this chip needs.',
  ),
  ok(
    'chip.certified',
    'The certificate is for this chip',
    'The certificate is for this chip at this level of firmware: boot loader 9, TEE 0, SNP 23, microcode 72.',
  ),
  ok('chip.masked', 'The chip can be told from others', 'The chip gives its number.'),
  ok('chip.committed', 'The firmware is settled', 'The host can\'t go back to older firmware than 1.55.40.'),
  ok('chip.firmware', 'The firmware is new enough', 'The firmware is not older than is asked for.'),
  ok('chip.debug', 'Its host can\'t look into it', 'The machine can\'t be debugged by its host.'),
  ok('chip.migration', 'Nobody can take the machine away', 'The machine can\'t be moved to another chip.'),
  {
    ...ok(
      'software.measurement',
      'It was started with the release',
      'What was measured when this machine started is what the release has.',
    ),
    found: MEASURED,
  },
  bound,
];

const TDX: Part[] = [
  ok('chip.report', 'The proof can be read', 'It is a report of version 5 of TDX 1.5.'),
  ok('chip.chain', 'Intel made the chip', 'Intel certified the key of this machine.'),
  ok('chip.signature', 'The chip signed the report', 'The chip\'s signature fits the report.'),
  ok('chip.revocation', 'Intel stands by its certificates', 'The machine\'s certificates are in none of Intel\'s revocation lists.'),
  ok('chip.collateral', 'Intel\'s list of firmware counts now', 'Intel\'s document is in force until 2026-12-14 and is number 19 in its row.'),
  {
    ...ok('chip.firmware', 'The firmware is new enough', 'By Intel\'s list of this kind of chip, its firmware is as this app asks.'),
    found: 'UpToDate, of 2026-08-13',
  },
  ok('chip.debug', 'Its host can\'t look into it', 'The machine was started so that its host can\'t look into it.'),
  ok('chip.migration', 'Nobody can take the machine away', 'The report names none that this app does not accept.'),
  {
    ...ok('software.measurement', 'It was started with the release', 'All that was measured when this machine started is as this app asks.'),
    found: `MRTD ${MEASURED}`,
  },
  ok('chip.log', 'The log of its start is what was measured', 'All 41 entries of the log are what the chip measured.'),
  bound,
];

const TPM: Part[] = [
  ok('chip.chain', 'A known maker made the security chip', 'The maker\'s certificate names the key of the chip.'),
  ok('chip.signature', 'The security chip signed the report', 'The chip\'s signature of the report is right.'),
  ok('chip.key', 'The signing key can\'t leave the chip', 'The key was made in the chip, stays in it, and signs nothing else.'),
  ok('chip.clock', 'The chip was not reset since', 'The chip\'s clock and counters are safe.'),
  ok('software.pcrs', 'It was started with the release', 'The 6 values that are asked for are those of the release.'),
  ok('chip.log', 'The log of its start is what was measured', 'All 87 entries of the log are what the chip measured.'),
  bound,
];

const NVIDIA: Part[] = [
  ok('chip.chain', 'NVIDIA made the GPU', 'NVIDIA\'s certificates name 8 GPUs.'),
  ok('chip.signature', 'The GPU signed the report', 'Each GPU signed its report itself.'),
  ok('chip.count', 'Every GPU of the machine has shown itself', '8 GPUs sent a report.'),
  ok('chip.fwid', 'The report is of the firmware that was started', 'The firmware that signed is the one that each GPU\'s boot ROM measured.'),
  ok('chip.revocation', 'NVIDIA stands by the certificates', 'No certificate of the GPUs was revoked.'),
  ok('chip.driver', 'The driver is new enough', 'The driver of each GPU is not older than is asked for.'),
  ok('chip.vbios', 'The GPU\'s own firmware is new enough', 'The firmware of each GPU is not older than is asked for.'),
  ok('software.measurement', 'The GPUs run what NVIDIA published, in confidential mode', 'The GPUs run what NVIDIA published, with confidential mode on and developers\' tools off.'),
  bound,
];

const TITLES: Record<string, string> = {
  chip: 'The chip is real',
  software: 'It runs exactly this software',
  log: 'That release is public',
  key: 'Only that machine has the key',
  page: 'This page is the published page',
};
const RANK = { ok: 1, warn: 2, fail: 3 };

/** Puts a changed part in the place of the one with its id. */
const but = (parts: Part[], ...changed: Part[]): Part[] => parts.map((p) => changed.find((c) => c.id === p.id) ?? p);

/** Makes a verdict of parts, as attest's judge does. */
function verdict(state: Verdict['state'], pieces: Record<string, Part[]>, more: Partial<Verdict> = {}): Verdict {
  const parts = Object.entries(pieces).flatMap(([platform, list]) => list.map((c) => ({ ...c, platform })));
  parts.push({ ...ok('key.valid', 'The key is valid now', 'It was made at 13:52 and is thrown away at 14:07.'), platform: '' });
  const checks = Object.entries(TITLES).map(([id, title]): Check => {
    const mine = parts
      .filter((c) => c.id.startsWith(`${id}.`))
      .map(({ platform, ...c }): Check => (platform ? { ...c, platform } : c));
    if (id === 'log') return { id, title, status: 'warn', detail: 'There is no public log of releases yet.' };
    if (id === 'page') return { id, title, status: 'warn', detail: 'A web page can be swapped by its server. To be sure, use the terminal program.' };
    const shown = mine.reduce((a, b) => (RANK[b.status] > RANK[a.status] ? b : a));
    const { failure, want, found } = shown;
    return {
      id,
      title,
      status: shown.status,
      detail: shown.detail,
      ...(failure ? { failure } : {}),
      ...(want ? { want } : {}),
      ...(found ? { found } : {}),
      redo: 'sotto verify --json https://sotto.example',
      parts: mine,
    };
  });
  return {
    v: 1,
    state,
    failure: checks.find((c) => c.failure)?.failure ?? '',
    summary: '',
    node: '5f1c9a0e77b24c38a1d2e3f405162738',
    key_id: 'ab12c34d56e78f90ab12c34d56e78f90',
    release: RELEASE,
    chip: 'a5c20f7de1b94408a5c20f7de1b94408',
    platforms: Object.keys(pieces).filter((p) => pieces[p]!.some((c) => c.id === 'key.bound')),
    models: [{ id: 'granite', digest: 'sha256:77aa0c1d2e3f405162738495a6b7c8d9eaf0b1c2d3e4f5061728394a5b6c7d8e' }],
    not_before: NOW - 600,
    not_after: NOW + 300,
    checked_at: NOW,
    checks,
    ...more,
  };
}

function trust(state: TrustState, line: string, detail: string, v: Verdict): Trust {
  return { state, line, detail, checkedAt: NOW * 1000, verdicts: [{ ...v, summary: detail }] };
}

const PRIVATE = 'Only the machine that answers can read your words, and it keeps nothing.';
const checked = (v: Verdict): Trust => trust('verified', 'Private — checked 14:02', PRIVATE, v);
const refused = (why: string, v: Verdict): Trust =>
  trust('failed', 'Not sent. This machine could not prove itself.', why, v);

const missing = fail(
  'chip.required',
  'Every kind of proof asked for is there',
  'platform_missing',
  'A kind of proof that this app asks for is missing.',
  'nvidia',
  'tdx, tpm',
);

/** A machine whose release is in the public log, shown by a page that is there, too. */
export const LOGGED: Trust = (() => {
  const v = verdict('verified', { tdx: TDX, nvidia: NVIDIA });
  const rows: Record<string, Partial<Check>> = {
    log: {
      status: 'ok',
      detail: 'Release 1.4.3 is entry 18231 of the public log, seen by w1.example and w2.example.',
      redo: 'sotto verify --json https://sotto.example',
      parts: [
        ok('log.release', 'The release is in the public log', 'Release 1.4.3 is entry 18231 of the public log, seen by w1.example and w2.example.'),
        ok('log.view', 'The public log can be read', 'The log has 18232 entries; w1.example and w2.example had seen them by 2026-11-23 13:58 UTC.'),
        ok('log.anchor', 'The key names a recent state of the public log', 'The key names the log with 18232 entries, which witnesses saw at 2026-11-23 13:50 UTC, so it is newer than that.'),
      ],
    },
    page: {
      status: 'ok',
      detail: 'This page is version 1.4.3, entry 18231 of the public log. This device keeps its files and runs nothing else.',
      redo: 'sotto verify --json https://sotto.example',
      parts: [
        ok('page.kept', 'This device runs a page that is in the public log', 'This page is version 1.4.3, entry 18231 of the public log. This device keeps its files and runs nothing else.'),
        ok('page.offered', 'The server sends no other page', 'The server sends the same page.'),
      ],
    },
  };
  return checked({
    ...v,
    checks: v.checks.map((c) => ({ ...c, ...rows[c.id] })),
    log: {
      version: '1.4.3',
      published: NOW - 3 * 86_400,
      log: 'log.sotto.example/releases',
      index: 18231,
      size: 18232,
      seen: NOW - 240,
      witnesses: ['w1.example', 'w2.example'],
    },
  });
})();

/** What is shown where the server has replaced the page. */
export const PAGE_CHANGED: Trust = (() => {
  const text =
    'The server has replaced the script that keeps this page by one that is in no release of the public log. Close this page, and use sotto app or the terminal.';
  const v = verdict('failed', { tdx: TDX, nvidia: NVIDIA });
  return refused(text, {
    ...v,
    failure: 'page_changed',
    checks: v.checks.map((c) => (c.id === 'page' ? { ...c, status: 'fail', failure: 'page_changed', detail: text } : c)),
  });
})();

export const HARDWARE = {
  'snp-verified': checked(verdict('verified', { snp: SNP })),
  'snp-note': checked(
    verdict('verified', {
      snp: but(SNP, warn('chip.masked', 'The chip can be told from others', 'The host hides which chip it is, which was allowed.')),
    }),
  ),
  'gpus-verified': checked(verdict('verified', { tdx: TDX, tpm: TPM, nvidia: NVIDIA })),
  'snp-firmware-old': refused(
    'Its firmware is older than this app asks for. Wait, or check again; other machines may be fine.',
    verdict('failed', {
      snp: but(
        SNP,
        fail(
          'chip.firmware',
          'The firmware is new enough',
          'firmware_old',
          'The firmware of this machine\'s chip is 7, and at least 8 is wanted.',
          'boot loader 8, SNP 23, microcode 72',
          'boot loader 7, SNP 23, microcode 72',
        ),
      ),
    }),
  ),
  'tdx-expired': trust(
    'unknown',
    'Can’t check right now',
    'Intel’s list of good firmware that came along is out of date. Whoever runs the server has to fetch a new one.',
    verdict('unknown', {
      tdx: but(
        TDX,
        fail(
          'chip.collateral',
          'Intel\'s list of firmware counts now',
          'collateral_expired',
          'What this machine sent to judge its firmware by is out of date. Intel\'s document does not count now.',
          'at 2026-11-23 14:02 UTC',
          'until 2026-11-19 09:30 UTC',
        ),
      ),
    }),
  ),
  'gpus-missing': refused(
    'A kind of proof that this app asks for is missing. Wait, or check again; other machines may be fine.',
    verdict('failed', { tdx: TDX, tpm: TPM, nvidia: [missing] }),
  ),
  'gpu-short': refused(
    'Not every GPU of this machine has shown itself. Wait, or check again; other machines may be fine.',
    verdict('failed', {
      tdx: TDX,
      tpm: TPM,
      nvidia: but(
        NVIDIA,
        fail(
          'chip.count',
          'Every GPU of the machine has shown itself',
          'policy_mismatch',
          'Not every GPU of this machine has shown itself, or more have than there should be.',
          '8',
          '7',
        ),
      ),
    }),
  ),
  'debug-enabled': refused(
    'Its host can look into it. Wait, or check again; other machines may be fine.',
    verdict('failed', {
      snp: but(
        SNP,
        fail(
          'chip.debug',
          'Its host can\'t look into it',
          'debug_enabled',
          'This machine was started so that its host can read its memory.',
          'debugging off',
          'on',
        ),
        fail(
          'software.measurement',
          'It was started with the release',
          'software_mismatch',
          'This machine was not started with the software that it should run.',
          MEASURED,
          MEASURED.split('').reverse().join(''),
        ),
      ),
    }),
  ),
} as const satisfies Record<string, Trust>;
