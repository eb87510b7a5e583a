// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"math"
	"strings"
)

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
