// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csv } from './report.ts';

const answer = { time: 1_795_700_000, chat: 'c', message: 'm', title: 'Bread', model: 'g', machine: 'n', platform: 'snp', state: 'verified', release: 'sha256:aa', version: '1.4.3', entry: 17, witnesses: 2 };

test('a report is a table with one row per answer', () => {
  assert.equal(
    csv([answer, { ...answer, version: undefined, entry: undefined, witnesses: undefined }]),
    'time,title,model,machine,platform,state,version,release,entry,witnesses\r\n' +
      '2026-11-26T13:33:20.000Z,Bread,g,n,snp,verified,1.4.3,sha256:aa,17,2\r\n' +
      '2026-11-26T13:33:20.000Z,Bread,g,n,snp,verified,,sha256:aa,,\r\n',
  );
});

test('a title can break neither the table nor a spreadsheet', () => {
  const [, row] = csv([{ ...answer, title: '=HYPERLINK("x"),\nmore' }]).split('\r\n');
  assert.match(row, /^2026-11-26T13:33:20.000Z,"'=HYPERLINK\(""x""\),\nmore",g,/);
  assert.match(csv([{ ...answer, title: '-1' }]), /,'-1,/);
});
