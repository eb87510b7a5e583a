// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"math"
	"strings"
)

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

// Expressions.
type (
	expr interface {
		eval(e *evaluator, s *scope) value
	}

	constExpr struct{ v value }
	nameExpr  struct{ name string }
	listExpr  struct{ items []expr }
	dictExpr  struct{ keys, values []expr }
	fieldExpr struct {
		x    expr
		name string
	}
	indexExpr struct{ x, index expr }
	sliceExpr struct {
		x    expr
		part [3]expr // from, to, step; nil where left out
	}
	callExpr struct {
		fn   expr
		args []arg
	}
	filterExpr struct {
		x    expr
		name string
		args []arg
	}
	testExpr struct {
		x    expr
		not  bool
		name string
		args []arg
	}
	condExpr  struct{ cond, yes, no expr }
	unaryExpr struct {
		op string
		x  expr
	}
	boolExpr struct {
		op   string
		x, y expr
	}
	binaryExpr struct {
		op   string
		x, y expr
	}
)

func (x *constExpr) eval(e *evaluator, s *scope) value { e.step(); return x.v }

func (x *nameExpr) eval(e *evaluator, s *scope) value {
	e.step()
	if v, ok := s.get(x.name); ok {
		return v
	}
	return undefined{x.name}
}

func (x *listExpr) eval(e *evaluator, s *scope) value {
	l := &list{}
	for _, item := range x.items {
		l.items = append(l.items, item.eval(e, s))
	}
	return l
}

func (x *dictExpr) eval(e *evaluator, s *scope) value {
	d := NewDict()
	for i, k := range x.keys {
		d.set(text(k.eval(e, s)), x.values[i].eval(e, s))
	}
	return d
}

func (x *fieldExpr) eval(e *evaluator, s *scope) value {
	e.step()
	return field(x.x.eval(e, s), x.name)
}

func field(v value, name string) value {
	switch v := v.(type) {
	case *Dict:
		// As in Python, where a mapping's methods come before its items.
		if item, ok := v.get(name); ok && name != "items" && name != "keys" && name != "values" && name != "get" {
			return item
		}
	case *namespace:
		if item, ok := v.fields[name]; ok {
			return item
		}
	case undefined:
		fail("%s isn't defined, so it has no %s", v.what, name)
	}
	if m, ok := methods[name]; ok {
		return function(func(e *evaluator, args []value, named map[string]value) value {
			return m(e, v, args, named)
		})
	}
	return undefined{name}
}

func (x *indexExpr) eval(e *evaluator, s *scope) value {
	v, i := x.x.eval(e, s), x.index.eval(e, s)
	if _, long := v.(string); long {
		e.charge(v)
	}
	if name, ok := i.(string); ok {
		switch v := v.(type) {
		case *Dict:
			if item, ok := v.get(name); ok {
				return item
			}
			return undefined{name}
		case *namespace, undefined:
			return field(v, name)
		}
		return undefined{name}
	}
	_, n, whole, ok := number(i)
	if !ok || !whole {
		return undefined{"item"}
	}
	switch v := v.(type) {
	case *list:
		if n < 0 {
			n += int64(len(v.items))
		}
		if n >= 0 && n < int64(len(v.items)) {
			return v.items[n]
		}
	case string:
		items := iterate(v)
		if n < 0 {
			n += int64(len(items))
		}
		if n >= 0 && n < int64(len(items)) {
			return items[n]
		}
	case undefined:
		fail("%s isn't defined, so it has no items", v.what)
	}
	return undefined{"item"}
}

func (x *sliceExpr) eval(e *evaluator, s *scope) value {
	v := e.charge(x.x.eval(e, s))
	_, isString := v.(string)
	items := iterate(v)
	bound := [3]*int64{}
	for i, p := range x.part {
		if p == nil {
			continue
		}
		switch b := p.eval(e, s).(type) {
		case int64:
			bound[i] = &b
		case nil:
		default:
			fail("a slice needs whole numbers")
		}
	}
	n, step := int64(len(items)), int64(1)
	if bound[2] != nil {
		if step = *bound[2]; step == 0 {
			fail("a slice can't stand still")
		}
	}
	from, to := int64(0), n
	if step < 0 {
		from, to = n-1, -1
	}
	clampTo := func(b *int64, otherwise int64) int64 {
		if b == nil {
			return otherwise
		}
		i := *b
		if i < 0 {
			i += n
		}
		if step < 0 {
			return min(max(i, -1), n-1)
		}
		return min(max(i, 0), n)
	}
	from, to = clampTo(bound[0], from), clampTo(bound[1], to)
	var out []value
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		out = append(out, items[i])
		if step > n || step < -n {
			break
		}
	}
	if isString {
		var b strings.Builder
		for _, c := range out {
			b.WriteString(c.(string))
		}
		return b.String()
	}
	return newList(out)
}

func evalArgs(list []arg, e *evaluator, s *scope) (args []value, named map[string]value) {
	named = map[string]value{}
	for _, a := range list {
		v := a.x.eval(e, s)
		if a.name != "" {
			named[a.name] = v
		} else {
			args = append(args, v)
		}
	}
	return args, named
}

func (x *callExpr) eval(e *evaluator, s *scope) value {
	e.step()
	e.enter()
	defer e.leave()
	fn, ok := x.fn.eval(e, s).(function)
	if !ok {
		name := "this"
		switch f := x.fn.(type) {
		case *nameExpr:
			name = f.name
		case *fieldExpr:
			name = f.name
		}
		fail("%s isn't a function", name)
	}
	args, named := evalArgs(x.args, e, s)
	return e.charge(fn(e, args, named))
}

func (x *filterExpr) eval(e *evaluator, s *scope) value {
	v := e.charge(x.x.eval(e, s))
	f, ok := filters[x.name]
	if !ok {
		fail("the filter %q isn't known", x.name)
	}
	args, named := evalArgs(x.args, e, s)
	return e.charge(f(e, v, args, named))
}

func (x *testExpr) eval(e *evaluator, s *scope) value {
	v := e.charge(x.x.eval(e, s))
	args, _ := evalArgs(x.args, e, s)
	return test(e, x.name, v, args) != x.not
}

func (x *condExpr) eval(e *evaluator, s *scope) value {
	if truth(x.cond.eval(e, s)) {
		return x.yes.eval(e, s)
	}
	if x.no == nil {
		return undefined{"the other case"}
	}
	return x.no.eval(e, s)
}

func (x *unaryExpr) eval(e *evaluator, s *scope) value {
	v := x.x.eval(e, s)
	if x.op == "not" {
		return !truth(v)
	}
	f, i, whole, ok := number(v)
	if !ok {
		fail("%s can't be negative", kindOf(v))
	}
	if whole {
		return -i
	}
	return -f
}

func (x *boolExpr) eval(e *evaluator, s *scope) value {
	v := x.x.eval(e, s)
	if truth(v) == (x.op == "or") {
		return v
	}
	return x.y.eval(e, s)
}

func (x *binaryExpr) eval(e *evaluator, s *scope) value {
	a, b := e.charge(x.x.eval(e, s)), e.charge(x.y.eval(e, s))
	switch x.op {
	case "==":
		return e.equal(a, b, 0)
	case "!=":
		return !e.equal(a, b, 0)
	case "<":
		return compare(a, b) < 0
	case ">":
		return compare(a, b) > 0
	case "<=":
		return compare(a, b) <= 0
	case ">=":
		return compare(a, b) >= 0
	case "in":
		return e.contains(b, a)
	case "not in":
		return !e.contains(b, a)
	case "~":
		return bounded(text(a) + text(b))
	case "+":
		if s, ok := a.(string); ok {
			t, ok := b.(string)
			if !ok {
				fail("a string and %s can't be joined with +", kindOf(b))
			}
			return bounded(s + t)
		}
		if l, ok := a.(*list); ok {
			m, ok := b.(*list)
			if !ok {
				fail("a list and %s can't be joined with +", kindOf(b))
			}
			return newList(append(append([]value{}, l.items...), m.items...))
		}
	case "*":
		if s, ok := a.(string); ok {
			if n, ok := b.(int64); ok {
				if n > 0 && int64(len(s)) > maxOutput/n {
					fail("a string is too long")
				}
				return strings.Repeat(s, int(max(n, 0)))
			}
		}
	case "%":
		if _, ok := a.(string); ok {
			fail("formatting with %% isn't known")
		}
	}
	return arithmetic(x.op, a, b)
}

// arithmetic follows Python: / gives a float, // and % round down.
func arithmetic(op string, a, b value) value {
	x, i, wholeA, okA := number(a)
	y, j, wholeB, okB := number(b)
	if !okA || !okB {
		fail("%s and %s can't be calculated with %s", kindOf(a), kindOf(b), op)
	}
	if (op == "/" || op == "//" || op == "%") && y == 0 {
		fail("division by zero")
	}
	whole := wholeA && wholeB
	switch op {
	case "+":
		if whole {
			return i + j
		}
		return x + y
	case "-":
		if whole {
			return i - j
		}
		return x - y
	case "*":
		if whole {
			return i * j
		}
		return x * y
	case "/":
		return x / y
	case "//":
		if whole {
			return floorDiv(i, j)
		}
		return math.Floor(x / y)
	case "%":
		if whole {
			return i - floorDiv(i, j)*j
		}
		return x - math.Floor(x/y)*y
	}
	p := math.Pow(x, y)
	if whole && j >= 0 && math.Abs(p) < 1<<53 {
		return int64(p)
	}
	return p
}

func floorDiv(i, j int64) int64 {
	q := i / j
	if i%j != 0 && (i < 0) != (j < 0) {
		q--
	}
	return q
}
