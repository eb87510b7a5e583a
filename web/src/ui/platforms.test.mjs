// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kinds, plain, platformNames, sentenceOf, standing, worstFirst } from './platforms.ts';

const part = (id, status, platform, more = {}) => ({ id, title: id, status, detail: `${id} detail`, platform, ...more });

test('a check that failed is told from one that was not possible', () => {
  assert.equal(standing(undefined), 'none');
  assert.equal(standing(part('a', 'ok')), 'ok');
  assert.equal(standing(part('a', 'fail', '', { failure: 'firmware_old' })), 'fail');
  for (const failure of ['collateral_expired', 'collateral_missing', 'platform_unknown', 'key_expired'])
    assert.equal(standing(part('a', 'fail', '', { failure })), 'unknown');
  assert.equal(standing(part('a', 'warn', '', { failure: 'collateral_expired' })), 'warn');
});

test('parts stand by kind of hardware, in the verdict’s order, the app’s own last', () => {
  const row = {
    ...part('chip', 'fail'),
    parts: [
      part('own', 'ok'),
      part('n1', 'ok', 'nvidia'),
      part('t1', 'ok', 'tdx'),
      part('t2', 'fail', 'tdx', { failure: 'revoked' }),
      part('t3', 'fail', 'tdx', { failure: 'collateral_expired' }),
      part('m', 'fail', 'tpm', { failure: 'platform_missing' }),
      part('x', 'warn', 'new-kind'),
    ],
  };
  const found = kinds(row, ['tdx', 'nvidia']);
  assert.deepEqual(
    found.map((k) => [k.name, k.standing, k.parts.length, k.bad]),
    [
      ['Intel processor', 'fail', 2 + 1, 2],
      ['NVIDIA accelerators', 'ok', 1, 0],
      ['TPM', 'fail', 1, 1],
      ['new-kind', 'warn', 1, 0],
      ['This app’s own checks', 'ok', 1, 0],
    ],
    'one that is asked for and missing is there too',
  );
  assert.deepEqual(worstFirst(found[0].parts).map((c) => c.id), ['t2', 't3', 't1']);
  assert.deepEqual(kinds(undefined, ['tdx']), []);
});

test('a row sums up only where all is well', () => {
  const row = (status) => ({ ...part('chip', status), parts: [part('a', 'ok', 'snp'), part('b', status, 'nvidia')] });
  const say = (r) => sentenceOf('chip', r, kinds(r, ['snp', 'nvidia']));
  assert.match(say(row('ok')), /AMD and NVIDIA/);
  assert.equal(say(row('warn')), 'chip detail');
  assert.equal(say(row('fail')), 'chip detail');
  assert.equal(sentenceOf('chip', part('chip', 'ok'), []), 'chip detail', 'the core’s word where there is no proof to name');
});

test('only values that say something by themselves are shown at once', () => {
  assert.ok(plain('boot loader 7, SNP 23') && plain('8') && plain('off'));
  assert.ok(!plain('') && !plain(undefined));
  assert.ok(!plain('5b1d4f60a7c2988e6bb2') && !plain('word '.repeat(20)));
});

test('a receipt’s kinds have people’s names', () => {
  assert.equal(platformNames('tdx+nvidia'), 'Intel processor and NVIDIA accelerators');
  assert.equal(platformNames('software'), 'Ordinary hardware');
  assert.equal(platformNames(''), '');
});
