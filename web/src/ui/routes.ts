// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

export type Route = { at: 'new' } | { at: 'chat'; id: string } | { at: 'settings' } | { at: 'link'; id: string };

const ID = /^[A-Za-z0-9_-]{1,128}$/;

/** The page a path names; anything unknown is a new chat. */
export function parse(path: string): Route {
  const [, first, second, ...more] = path.split('/');
  if (more.length === 0 && second && ID.test(second)) {
    if (first === 'chat') return { at: 'chat', id: second };
    if (first === 'link') return { at: 'link', id: second };
  }
  if (first === 'settings' && !second) return { at: 'settings' };
  return { at: 'new' };
}

export function path(r: Route): string {
  switch (r.at) {
    case 'new':
      return '/';
    case 'settings':
      return '/settings';
    default:
      return `/${r.at}/${r.id}`;
  }
}
