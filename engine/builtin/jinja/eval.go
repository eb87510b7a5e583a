// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import "strings"

// flow says how a statement ended.
type flow byte

const (
	flowOn flow = iota
	flowBreak
	flowContinue
)

func (e *evaluator) run(body []node, s *scope) flow {
	e.enter()
	defer e.leave()
	for _, n := range body {
		e.step()
		if f := n.exec(e, s); f != flowOn {
			return f
		}
	}
	return flowOn
}

// capture runs a body and returns what it writes.
func (e *evaluator) capture(body []node, s *scope) string {
	outer, inner := e.out, &strings.Builder{}
	e.out = inner
	e.run(body, s)
	e.out = outer
	return inner.String()
}

func (n textNode) exec(e *evaluator, s *scope) flow { e.write(n.text); return flowOn }

func (n printNode) exec(e *evaluator, s *scope) flow { e.write(text(n.x.eval(e, s))); return flowOn }

func (n flowNode) exec(e *evaluator, s *scope) flow { return n.flow }

func (n bodyNode) exec(e *evaluator, s *scope) flow { return e.run(n.body, s) }

func (n *ifNode) exec(e *evaluator, s *scope) flow {
	for i, c := range n.conds {
		if truth(c.eval(e, s)) {
			return e.run(n.bodies[i], s)
		}
	}
	return e.run(n.orElse, s)
}

// loopCost is what a turn of a loop costs in steps: its scope and loop variable
// take about that much longer than another step.
const loopCost = 20

func (n *forNode) exec(e *evaluator, s *scope) flow {
	items := iterate(e.charge(n.in.eval(e, s)))
	bind := func(inner *scope, item value) {
		if len(n.names) == 1 {
			inner.names[n.names[0]] = item
			return
		}
		parts := iterate(item)
		if len(parts) != len(n.names) {
			fail("%d values can't be taken apart into %d names", len(parts), len(n.names))
		}
		for i, name := range n.names {
			inner.names[name] = parts[i]
		}
	}
	if n.filter != nil {
		var kept []value
		for _, item := range items {
			e.step()
			inner := &scope{map[string]value{}, s}
			if bind(inner, item); truth(n.filter.eval(e, inner)) {
				kept = append(kept, item)
			}
		}
		items = kept
	}
	if len(items) == 0 {
		return e.run(n.orElse, s)
	}
	for i, item := range items {
		e.step()
		e.steps += loopCost
		inner := &scope{map[string]value{}, s}
		bind(inner, item)
		loop := NewDict()
		loop.set("index", int64(i+1))
		loop.set("index0", int64(i))
		loop.set("revindex", int64(len(items)-i))
		loop.set("revindex0", int64(len(items)-i-1))
		loop.set("first", i == 0)
		loop.set("last", i == len(items)-1)
		loop.set("length", int64(len(items)))
		loop.set("previtem", value(undefined{"previtem"}))
		loop.set("nextitem", value(undefined{"nextitem"}))
		if i > 0 {
			loop.set("previtem", items[i-1])
		}
		if i+1 < len(items) {
			loop.set("nextitem", items[i+1])
		}
		loop.set("cycle", function(func(e *evaluator, args []value, named map[string]value) value {
			if len(args) == 0 {
				fail("cycle needs something to cycle through")
			}
			return args[i%len(args)]
		}))
		inner.names["loop"] = loop
		if e.run(n.body, inner) == flowBreak {
			break
		}
	}
	return flowOn
}

func (n *setNode) exec(e *evaluator, s *scope) flow {
	var v value
	if n.x != nil {
		v = n.x.eval(e, s)
	} else {
		v = e.capture(n.body, &scope{map[string]value{}, s})
	}
	values := []value{v}
	if len(n.targets) > 1 {
		if values = iterate(v); len(values) != len(n.targets) {
			fail("%d values can't be taken apart into %d names", len(values), len(n.targets))
		}
	}
	for i, t := range n.targets {
		if t.field == "" {
			s.names[t.name] = values[i]
			continue
		}
		held, _ := s.get(t.name)
		switch held := held.(type) {
		case *namespace:
			held.fields[t.field] = values[i]
		default:
			fail("%s isn't a namespace", t.name)
		}
	}
	return flowOn
}

func (n *macroNode) exec(e *evaluator, s *scope) flow {
	s.names[n.name] = n.bind(s, nil)
	return flowOn
}

// bind makes the macro a function that sees the scope it was defined in.
func (n *macroNode) bind(outer *scope, caller value) function {
	return func(e *evaluator, args []value, named map[string]value) value {
		e.enter()
		defer e.leave()
		inner := &scope{map[string]value{}, outer}
		if len(args) > len(n.params) {
			fail("%s takes %d arguments", n.name, len(n.params))
		}
		for i, p := range n.params {
			v, ok := named[p.name]
			switch {
			case i < len(args):
				v = args[i]
			case ok:
			case p.byDefault != nil:
				v = p.byDefault.eval(e, inner)
			default:
				v = undefined{p.name}
			}
			inner.names[p.name] = v
		}
		if c, ok := named["caller"]; ok {
			inner.names["caller"] = c
		}
		return e.capture(n.body, inner)
	}
}

func (n *filterNode) exec(e *evaluator, s *scope) flow {
	var v value = e.capture(n.body, &scope{map[string]value{}, s})
	for _, f := range n.calls {
		f.x = &constExpr{v}
		v = f.eval(e, s)
	}
	e.write(text(v))
	return flowOn
}

func (n *callNode) exec(e *evaluator, s *scope) flow {
	body := &macroNode{name: "caller", params: n.params, body: n.body}
	fn, ok := n.call.fn.eval(e, s).(function)
	if !ok {
		fail("call needs a macro")
	}
	args, named := evalArgs(n.call.args, e, s)
	named["caller"] = body.bind(s, nil)
	e.write(text(fn(e, args, named)))
	return flowOn
}
