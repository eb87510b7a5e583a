// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import type { Tokens } from 'marked';
import type { ComponentChildren, VNode } from 'preact';
import { CopyButton } from '../ui/copy.tsx';
import { t } from '../ui/strings.ts';

type Align = 'center' | 'left' | 'right' | null;

const ALIGN = { center: 'md-center', right: 'md-end', left: undefined } as const;

interface Props {
  head: Tokens.TableCell[];
  rows: Tokens.TableCell[][];
  align: Align[];
  cell: (c: Tokens.TableCell) => ComponentChildren;
}

/** A table that scrolls inside its own box and can be copied. */
export function Table({ head, rows, align, cell }: Props): VNode {
  const cls = (i: number): string | undefined => ALIGN[align[i] ?? 'left'];
  return (
    <div class="md-table">
      <div class="md-table-scroll" role="region" aria-label={t.markdown.table} tabIndex={0}>
        <table>
          <thead>
            <tr>
              {head.map((c, i) => (
                <th scope="col" class={cls(i)}>
                  {cell(c)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr>
                {row.map((c, i) => (
                  <td class={cls(i)}>{cell(c)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="md-table-tools">
        <CopyButton text={() => toCSV(head, rows)} label={t.markdown.copyCSV} words />
        <CopyButton text={() => toMarkdown(head, rows)} label={t.markdown.copyMarkdown} words />
      </div>
    </div>
  );
}

function toCSV(head: Tokens.TableCell[], rows: Tokens.TableCell[][]): string {
  const field = (c: Tokens.TableCell): string => (/[",\n]/.test(c.text) ? `"${c.text.replaceAll('"', '""')}"` : c.text);
  return [head, ...rows].map((r) => r.map(field).join(',')).join('\r\n') + '\r\n';
}

function toMarkdown(head: Tokens.TableCell[], rows: Tokens.TableCell[][]): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`;
  const text = (r: Tokens.TableCell[]): string => line(r.map((c) => c.text.replaceAll('|', '\\|')));
  return [text(head), line(head.map(() => '---')), ...rows.map(text)].join('\n') + '\n';
}
