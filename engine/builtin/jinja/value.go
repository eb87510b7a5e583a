// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A value is nil (none), undefined, bool, int64, float64, string, *list, *Dict,
// *namespace, *macroNode bound to a scope, or a function.
type value any

type (
	undefined struct{ what string }
	list      struct{ items []value }
	namespace struct{ fields map[string]value }
	function  func(e *evaluator, args []value, named map[string]value) value
)

// fromGo converts what a caller of Render gives.
func fromGo(v any, depth int) value {
	if depth > maxDepth {
		fail("a value nests too deeply")
	}
	switch v := v.(type) {
	case nil, bool, int64, float64, string, *Dict, *list, function, undefined, *namespace:
		return v
	case int:
		return int64(v)
	case []any:
		l := &list{items: make([]value, len(v))}
		for i, x := range v {
			l.items[i] = fromGo(x, depth+1)
		}
		return l
	case map[string]any:
		d := NewDict()
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			d.set(k, fromGo(v[k], depth+1))
		}
		return d
	}
	fail("a value of type %T can't be used in a template", v)
	return nil
}

func kindOf(v value) string {
	switch v.(type) {
	case nil:
		return "none"
	case undefined:
		return "undefined"
	case bool:
		return "a truth value"
	case int64, float64:
		return "a number"
	case string:
		return "a string"
	case *list:
		return "a list"
	case *Dict:
		return "a mapping"
	case *namespace:
		return "a namespace"
	}
	return "a function"
}

func truth(v value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *list:
		return len(v.items) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// text is how a value is printed: as Python's str.
func text(v value) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return ""
	}
	var b strings.Builder
	repr(&b, v, 0)
	return b.String()
}

// repr writes a value as Python's repr.
func repr(b *strings.Builder, v value, depth int) {
	if depth > maxDepth || b.Len() > maxOutput {
		fail("a value is too large to print")
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case undefined:
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(formatFloat(v))
	case string:
		quote := "'"
		if strings.Contains(v, "'") && !strings.Contains(v, `"`) {
			quote = `"`
		}
		b.WriteString(quote + strings.NewReplacer(`\`, `\\`, quote, `\`+quote, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(v) + quote)
	case *list:
		b.WriteByte('[')
		for i, x := range v.items {
			if i > 0 {
				b.WriteString(", ")
			}
			repr(b, x, depth+1)
		}
		b.WriteByte(']')
	case *Dict:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			repr(b, k, depth+1)
			b.WriteString(": ")
			repr(b, v.values[k], depth+1)
		}
		b.WriteByte('}')
	default:
		fail("%s can't be printed", kindOf(v))
	}
}

func formatFloat(x float64) string {
	s := strconv.FormatFloat(x, 'g', -1, 64)
	if !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return s
}

// toJSON writes a value as Python's json.dumps with ensure_ascii off; indent is
// nil for one line.
func toJSON(b *strings.Builder, v value, indent *int, depth int) {
	if depth > maxDepth || b.Len() > maxOutput {
		fail("a value is too large for tojson")
	}
	sep := func(i int) {
		if i > 0 {
			b.WriteByte(',')
			if indent == nil {
				b.WriteByte(' ')
			}
		}
		if indent != nil {
			b.WriteString("\n" + strings.Repeat(" ", *indent*(depth+1)))
		}
	}
	closing := func(n int, c byte) {
		if n > 0 && indent != nil {
			b.WriteString("\n" + strings.Repeat(" ", *indent*depth))
		}
		b.WriteByte(c)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool, int64:
		b.WriteString(strings.ToLower(text(v)))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			fail("%v can't be JSON", v)
		}
		b.WriteString(formatFloat(v))
	case string:
		writeJSONString(b, v)
	case *list:
		b.WriteByte('[')
		for i, x := range v.items {
			sep(i)
			toJSON(b, x, indent, depth+1)
		}
		closing(len(v.items), ']')
	case *Dict:
		b.WriteByte('{')
		for i, k := range v.keys {
			sep(i)
			writeJSONString(b, k)
			b.WriteString(": ")
			toJSON(b, v.values[k], indent, depth+1)
		}
		closing(len(v.keys), '}')
	default:
		fail("%s can't be JSON", kindOf(v))
	}
}

func writeJSONString(b *strings.Builder, s string) {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.Encode(s) // a string always encodes
	b.WriteString(strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSuffix(out.String(), "\n")))
}

// number returns v as a float64, and as an int64 if it is whole.
func number(v value) (f float64, i int64, whole, ok bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), v, true, true
	case float64:
		return v, 0, false, true
	case bool:
		if v {
			return 1, 1, true, true
		}
		return 0, 0, true, true
	}
	return 0, 0, false, false
}

func (e *evaluator) equal(a, b value, depth int) bool {
	e.step()
	if depth > maxDepth {
		fail("values nest too deeply to compare")
	}
	if x, _, _, ok := number(a); ok {
		y, _, _, ok := number(b)
		return ok && x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case string:
		s, ok := b.(string)
		return ok && a == s
	case *list:
		l, ok := b.(*list)
		return ok && slices.EqualFunc(a.items, l.items, func(x, y value) bool { return e.equal(x, y, depth+1) })
	case *Dict:
		d, ok := b.(*Dict)
		if !ok || len(a.keys) != len(d.keys) {
			return false
		}
		for _, k := range a.keys {
			if y, ok := d.values[k]; !ok || !e.equal(a.values[k], y, depth+1) {
				return false
			}
		}
		return true
	case *namespace:
		return a == b
	}
	return false
}

// compare orders numbers and strings.
func compare(a, b value) int {
	if x, _, _, ok := number(a); ok {
		if y, _, _, ok := number(b); ok {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return strings.Compare(x, y)
		}
	}
	fail("%s and %s can't be ordered", kindOf(a), kindOf(b))
	return 0
}

func (e *evaluator) contains(container, x value) bool {
	switch c := container.(type) {
	case string:
		s, ok := x.(string)
		if !ok {
			fail("only a string can be in a string")
		}
		return strings.Contains(c, s)
	case *list:
		return slices.ContainsFunc(c.items, func(y value) bool { return e.equal(x, y, 0) })
	case *Dict:
		s, ok := x.(string)
		_, found := c.values[s]
		return ok && found
	case undefined:
		return false
	}
	fail("nothing can be in %s", kindOf(container))
	return false
}

// iterate returns what a loop over a value visits.
func iterate(v value) []value {
	switch v := v.(type) {
	case *list:
		return v.items
	case *Dict:
		items := make([]value, len(v.keys))
		for i, k := range v.keys {
			items[i] = k
		}
		return items
	case string:
		if len(v) > maxItems {
			fail("a string is too long to take apart")
		}
		var items []value
		for _, r := range v {
			items = append(items, string(r))
		}
		return items
	case undefined:
		return nil
	}
	fail("%s can't be looped over", kindOf(v))
	return nil
}

// newList bounds the lists that a template makes.
func newList(items []value) *list {
	if len(items) > maxItems {
		fail("a list has too many items")
	}
	return &list{items}
}

// bounded bounds the strings that a template makes.
func bounded(s string) string {
	if len(s) > maxOutput {
		fail("a string is too long")
	}
	return s
}
