// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import "slices"

// Statements.
type (
	node interface {
		exec(e *evaluator, s *scope) flow
	}

	textNode  struct{ text string }
	printNode struct{ x expr }
	ifNode    struct {
		conds  []expr
		bodies [][]node
		orElse []node
	}
	forNode struct {
		names        []string
		in, filter   expr // filter may be nil
		body, orElse []node
	}
	setNode struct {
		targets []target
		x       expr   // nil for the block form
		body    []node // of the block form
	}
	macroNode struct {
		name   string
		params []param
		body   []node
	}
	filterNode struct {
		calls []filterExpr // applied to the body's text, the first first
		body  []node
	}
	callNode struct {
		params []param
		call   *callExpr
		body   []node
	}
	flowNode struct{ flow flow }
	bodyNode struct{ body []node }
)

type param struct {
	name      string
	byDefault expr // nil if there is none
}

// A target of set is a name, or a field of a namespace.
type target struct{ name, field string }

type parser struct {
	tokens []token
	at     int
	depth  int
	loops  int
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tEOF {
		p.at++
	}
	return t
}

func (p *parser) op(s string) bool {
	if t := p.peek(); t.kind == tOp && t.text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) word(s string) bool {
	if t := p.peek(); t.kind == tName && t.text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(kind tokenKind, text string) {
	if t := p.next(); t.kind != kind || text != "" && t.text != text {
		fail("%q stands where %q should", t.text, text)
	}
}

func (p *parser) name() string {
	t := p.next()
	if t.kind != tName {
		fail("%q stands where a name should", t.text)
	}
	return t.text
}

func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		fail("the template nests too deeply")
	}
}

// statements reads until the end of the template or one of the closing words,
// whose {% and word are consumed.
func (p *parser) statements(closing ...string) []node {
	list, _ := p.statementsUntil(closing...)
	return list
}

func (p *parser) statementsUntil(closing ...string) (list []node, word string) {
	p.enter()
	defer func() { p.depth-- }()
	for {
		switch t := p.next(); t.kind {
		case tText:
			list = append(list, textNode{t.text})
		case tPrint:
			list = append(list, printNode{p.expression()})
			p.expect(tDone, "}}")
		case tBegin:
			w := p.name()
			if slices.Contains(closing, w) {
				return list, w
			}
			list = append(list, p.statement(w))
		default:
			if len(closing) > 0 {
				fail("%q is missing", closing[len(closing)-1])
			}
			return list, ""
		}
	}
}

func (p *parser) end() { p.expect(tEnd, "%}") }

func (p *parser) statement(word string) node {
	switch word {
	case "if":
		return p.ifStatement()
	case "for":
		return p.forStatement()
	case "set":
		return p.setStatement()
	case "macro":
		m := &macroNode{name: p.name(), params: p.params()}
		p.end()
		m.body = p.statements("endmacro")
		if p.peek().kind == tName {
			p.next()
		}
		p.end()
		return m
	case "call":
		c := &callNode{}
		if t := p.peek(); t.kind == tOp && t.text == "(" {
			c.params = p.params()
		}
		call, ok := p.expression().(*callExpr)
		if !ok {
			fail("call needs a call")
		}
		c.call = call
		p.end()
		c.body = p.statements("endcall")
		p.end()
		return c
	case "filter":
		f := &filterNode{}
		for {
			f.calls = append(f.calls, p.filterCall(nil))
			if !p.op("|") {
				break
			}
		}
		p.end()
		f.body = p.statements("endfilter")
		p.end()
		return f
	case "generation": // marks the assistant's words for training
		p.end()
		body := p.statements("endgeneration")
		p.end()
		return bodyNode{body}
	case "break", "continue":
		if p.loops == 0 {
			fail("%s stands outside a loop", word)
		}
		p.end()
		return flowNode{map[string]flow{"break": flowBreak, "continue": flowContinue}[word]}
	}
	fail("the statement %q isn't known", word)
	return nil
}

func (p *parser) ifStatement() node {
	n := &ifNode{}
	for word := "if"; ; {
		if word == "else" {
			p.end()
			n.orElse = p.statements("endif")
			p.end()
			return n
		}
		n.conds = append(n.conds, p.expression())
		p.end()
		var body []node
		body, word = p.statementsUntil("elif", "else", "endif")
		n.bodies = append(n.bodies, body)
		if word == "endif" {
			p.end()
			return n
		}
	}
}

func (p *parser) forStatement() node {
	n := &forNode{}
	paren := p.op("(")
	for {
		n.names = append(n.names, p.name())
		if !p.op(",") {
			break
		}
	}
	if paren {
		p.expect(tOp, ")")
	}
	p.expect(tName, "in")
	n.in = p.or() // no conditional here: its "if" is the loop's
	if p.word("if") {
		n.filter = p.expression()
	}
	if p.word("recursive") {
		fail("recursive loops aren't known")
	}
	p.end()
	p.loops++
	body, word := p.statementsUntil("else", "endfor")
	p.loops--
	n.body = body
	if word == "else" {
		p.end()
		n.orElse = p.statements("endfor")
	}
	p.end()
	return n
}

func (p *parser) setStatement() node {
	n := &setNode{}
	for {
		t := target{name: p.name()}
		if p.op(".") {
			t.field = p.name()
		}
		n.targets = append(n.targets, t)
		if !p.op(",") {
			break
		}
	}
	if p.op("=") {
		n.x = p.tuple()
		p.end()
		return n
	}
	p.end()
	n.body = p.statements("endset")
	p.end()
	return n
}

func (p *parser) params() (list []param) {
	p.expect(tOp, "(")
	for !p.op(")") {
		a := param{name: p.name()}
		if p.op("=") {
			a.byDefault = p.expression()
		}
		list = append(list, a)
		if !p.op(",") {
			p.expect(tOp, ")")
			break
		}
	}
	return list
}
