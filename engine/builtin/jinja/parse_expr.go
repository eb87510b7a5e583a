// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"slices"
	"strconv"
)

// Expressions, the loosest first.

func (p *parser) tuple() expr {
	x := p.expression()
	if !p.op(",") {
		return x
	}
	list := []expr{x}
	for p.peek().kind != tEnd && p.peek().kind != tDone {
		list = append(list, p.expression())
		if !p.op(",") {
			break
		}
	}
	return &listExpr{list}
}

func (p *parser) expression() expr {
	p.enter()
	defer func() { p.depth-- }()
	x := p.or()
	for p.word("if") {
		c := &condExpr{cond: p.or(), yes: x}
		if p.word("else") {
			c.no = p.expression()
		}
		x = c
	}
	return x
}

func (p *parser) or() expr {
	x := p.and()
	for p.word("or") {
		x = &boolExpr{"or", x, p.and()}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for p.word("and") {
		x = &boolExpr{"and", x, p.not()}
	}
	return x
}

func (p *parser) not() expr {
	if p.word("not") {
		p.enter()
		defer func() { p.depth-- }()
		return &unaryExpr{"not", p.not()}
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	x := p.sum()
	var whole expr
	for {
		op := ""
		switch t := p.peek(); {
		case t.kind == tOp && slices.Contains([]string{"==", "!=", "<", ">", "<=", ">="}, t.text):
			op = p.next().text
		case p.word("in"):
			op = "in"
		case t.kind == tName && t.text == "not" && p.tokens[p.at+1] == token{tName, "in"}:
			p.at += 2
			op = "not in"
		default:
			if whole != nil {
				return whole
			}
			return x
		}
		y := p.sum()
		var c expr = &binaryExpr{op, x, y}
		if whole != nil { // a < b < c
			c = &boolExpr{"and", whole, c}
		}
		whole, x = c, y
	}
}

func (p *parser) sum() expr {
	x := p.product()
	for {
		switch {
		case p.op("+"):
			x = &binaryExpr{"+", x, p.product()}
		case p.op("-"):
			x = &binaryExpr{"-", x, p.product()}
		case p.op("~"):
			x = &binaryExpr{"~", x, p.product()}
		default:
			return x
		}
	}
}

func (p *parser) product() expr {
	x := p.unary()
	for {
		t := p.peek()
		if t.kind != tOp || !slices.Contains([]string{"*", "/", "//", "%"}, t.text) {
			return x
		}
		p.next()
		x = &binaryExpr{t.text, x, p.unary()}
	}
}

func (p *parser) unary() expr {
	p.enter()
	defer func() { p.depth-- }()
	if p.op("-") {
		return &unaryExpr{"-", p.unary()}
	}
	if p.op("+") {
		return p.unary()
	}
	x := p.postfix(p.primary())
	if p.op("**") {
		x = &binaryExpr{"**", x, p.unary()}
	}
	return p.filtersAndTests(x)
}

func (p *parser) primary() expr {
	switch t := p.next(); t.kind {
	case tString:
		s := t.text
		for p.peek().kind == tString { // neighbours are one string
			s += p.next().text
		}
		return &constExpr{s}
	case tInt:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			fail("the number %s is too large", t.text)
		}
		return &constExpr{n}
	case tFloat:
		x, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			fail("the number %s is too large", t.text)
		}
		return &constExpr{x}
	case tName:
		switch t.text {
		case "true", "True":
			return &constExpr{true}
		case "false", "False":
			return &constExpr{false}
		case "none", "None":
			return &constExpr{nil}
		}
		return &nameExpr{t.text}
	case tOp:
		switch t.text {
		case "(":
			if p.op(")") {
				return &listExpr{}
			}
			x := p.expression()
			if p.op(",") {
				list := []expr{x}
				for !p.op(")") {
					list = append(list, p.expression())
					if !p.op(",") {
						p.expect(tOp, ")")
						break
					}
				}
				return &listExpr{list}
			}
			p.expect(tOp, ")")
			return x
		case "[":
			l := &listExpr{}
			for !p.op("]") {
				l.items = append(l.items, p.expression())
				if !p.op(",") {
					p.expect(tOp, "]")
					break
				}
			}
			return l
		case "{":
			d := &dictExpr{}
			for !p.op("}") {
				d.keys = append(d.keys, p.expression())
				p.expect(tOp, ":")
				d.values = append(d.values, p.expression())
				if !p.op(",") {
					p.expect(tOp, "}")
					break
				}
			}
			return d
		}
		fail("%q has no place in an expression", t.text)
	default:
		fail("an expression is missing")
	}
	return nil
}

// postfix reads fields, indices, slices and calls.
func (p *parser) postfix(x expr) expr {
	for {
		switch {
		case p.op("."):
			t := p.next()
			if t.kind != tName && t.kind != tInt {
				fail("%q stands where a field should", t.text)
			}
			if t.kind == tInt {
				n, _ := strconv.ParseInt(t.text, 10, 32)
				x = &indexExpr{x, &constExpr{n}}
			} else {
				x = &fieldExpr{x, t.text}
			}
		case p.op("["):
			x = p.subscript(x)
		case p.op("("):
			x = &callExpr{fn: x, args: p.args()}
		default:
			return x
		}
	}
}

func (p *parser) subscript(x expr) expr {
	var part [3]expr
	i, slice := 0, false
	for {
		if p.op("]") {
			break
		}
		if p.op(":") {
			slice = true
			if i++; i > 2 {
				fail("a slice has three parts at most")
			}
			continue
		}
		part[i] = p.expression()
	}
	if slice {
		return &sliceExpr{x, part}
	}
	if part[0] == nil {
		fail("an index is missing")
	}
	return &indexExpr{x, part[0]}
}

// arg is one argument of a call; name is "" for a positional one.
type arg struct {
	name string
	x    expr
}

// args reads arguments after the opening bracket.
func (p *parser) args() (list []arg) {
	for !p.op(")") {
		a := arg{}
		if t := p.peek(); t.kind == tName && p.tokens[p.at+1] == (token{tOp, "="}) {
			p.at += 2
			a.name = t.text
		}
		a.x = p.expression()
		list = append(list, a)
		if !p.op(",") {
			p.expect(tOp, ")")
			break
		}
	}
	return list
}

func (p *parser) filterCall(x expr) filterExpr {
	f := filterExpr{x: x, name: p.name()}
	if p.op("(") {
		f.args = p.args()
	}
	return f
}

// filtersAndTests reads "| name(args)" and "is [not] name args".
func (p *parser) filtersAndTests(x expr) expr {
	for {
		switch {
		case p.op("|"):
			f := p.filterCall(x)
			x = p.postfix(&f)
		case p.word("is"):
			t := &testExpr{x: x, not: p.word("not"), name: p.name()}
			if p.op("(") {
				t.args = p.args()
			} else if n := p.peek(); n.kind == tString || n.kind == tInt || n.kind == tFloat || n == (token{tOp, "["}) ||
				n.kind == tName && !slices.Contains([]string{"and", "or", "not", "is", "in", "if", "else"}, n.text) {
				t.args = []arg{{x: p.postfix(p.primary())}}
			}
			x = t
		default:
			return x
		}
	}
}
