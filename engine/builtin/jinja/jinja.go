// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package jinja renders the chat templates that GGUF files carry.
//
// A chat template is a Jinja program that turns a list of messages into the
// exact text a model was trained to continue; a wrong line break can make a good
// model answer badly. So the language is evaluated rather than the well-known
// templates recognised: statements if, for, set, macro, call and filter blocks,
// the expressions, tests, filters and string methods that published templates
// use, with Jinja's default white-space rules for chat templates (trim_blocks
// and lstrip_blocks on). What isn't known is an error when it is reached, never
// silently empty.
//
// A template comes from a file that somebody downloaded. It can reach nothing but
// the values it is given, and Render bounds its steps, depth and output.
package jinja

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of a template and of one rendering.
const (
	maxSource = 1 << 20 // bytes
	maxDepth  = 100     // nested blocks, expressions and calls
	maxSteps  = 1 << 20
	maxOutput = 8 << 20 // bytes, also of any one string on the way
	maxItems  = 1 << 16 // of any list on the way
)

// A Template is a parsed template. It doesn't change and may be shared.
type Template struct {
	body []node
}

// Parse reads a template.
func Parse(source string) (t *Template, err error) {
	if len(source) > maxSource {
		return nil, errors.New("jinja: the template is too long")
	}
	defer catch(&err)
	tokens := lex(source)
	p := &parser{tokens: tokens}
	return &Template{body: p.statements()}, nil
}

// Render evaluates the template. Values may be nil, bool, int, float64, string,
// []any, map[string]any and *Dict, where the order of keys matters. An error
// that the template raises itself (raise_exception) is a *Raised.
func (t *Template) Render(values map[string]any) (out string, err error) {
	defer catch(&err)
	e := &evaluator{out: &strings.Builder{}}
	top := &scope{names: map[string]value{}}
	for name, v := range globals {
		top.names[name] = v
	}
	for name, v := range values {
		top.names[name] = fromGo(v, 0)
	}
	e.run(t.body, &scope{names: map[string]value{}, outer: top})
	return e.out.String(), nil
}

// Raised is an error that a template raises on purpose, with its own words:
// "conversation roles must alternate".
type Raised struct{ Message string }

func (r *Raised) Error() string { return "the chat template refuses: " + r.Message }

// failure carries an error up through the recursion; catch ends it there.
type failure struct{ err error }

func fail(format string, args ...any) {
	panic(failure{fmt.Errorf("jinja: "+format, args...)})
}

func catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case failure:
		*err = r.err
	default:
		panic(r)
	}
}

// A Dict is a mapping that remembers the order in which its keys came.
type Dict struct {
	keys   []string
	values map[string]value
}

// NewDict returns an empty mapping.
func NewDict() *Dict { return &Dict{values: map[string]value{}} }

// Set puts a value under a key; see Render for what it may be.
func (d *Dict) Set(key string, v any) { d.set(key, fromGo(v, 0)) }

func (d *Dict) set(key string, v value) {
	if _, ok := d.values[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key] = v
}

func (d *Dict) get(key string) (value, bool) {
	v, ok := d.values[key]
	return v, ok
}

// evaluator is the state of one rendering.
type evaluator struct {
	out   *strings.Builder
	steps int
	depth int
}

func (e *evaluator) step() {
	if e.steps++; e.steps > maxSteps {
		fail("the template takes too many steps")
	}
}

// charge counts the size of a value that was made or gone through, so that a few
// steps can't do unbounded work on large values.
func (e *evaluator) charge(v value) value {
	switch v := v.(type) {
	case string:
		e.steps += len(v) / 64
	case *list:
		e.steps += len(v.items) / 4
	case *Dict:
		e.steps += len(v.keys)
	}
	e.step()
	return v
}

func (e *evaluator) enter() {
	if e.depth++; e.depth > maxDepth {
		fail("the template nests too deeply")
	}
}

func (e *evaluator) leave() { e.depth-- }

func (e *evaluator) write(s string) {
	if e.out.Len()+len(s) > maxOutput {
		fail("the template writes too much")
	}
	e.out.WriteString(s)
}

// A scope holds names. Blocks make inner ones; Jinja's if doesn't.
type scope struct {
	names map[string]value
	outer *scope
}

func (s *scope) get(name string) (value, bool) {
	for ; s != nil; s = s.outer {
		if v, ok := s.names[name]; ok {
			return v, true
		}
	}
	return nil, false
}
