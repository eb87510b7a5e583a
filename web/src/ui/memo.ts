// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

import { Component, h, type ComponentChildren, type ComponentType, type VNode } from 'preact';

/** A component that is drawn again only when `same` says its props differ. */
export function memo<P extends object>(
  Inner: (props: P) => VNode | null,
  same: (a: P, b: P) => boolean = shallow,
): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return !same(this.props as P, next);
    }
    override render(): ComponentChildren {
      return h(Inner as ComponentType<object>, this.props as object);
    }
  } as unknown as ComponentType<P>;
}

function shallow(a: object, b: object): boolean {
  const ka = Object.keys(a);
  return ka.length === Object.keys(b).length && ka.every((k) => (a as never)[k] === (b as never)[k]);
}
