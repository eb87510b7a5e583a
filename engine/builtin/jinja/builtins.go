// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

type (
	filter func(e *evaluator, v value, args []value, named map[string]value) value
	method = filter
)

// pick returns an argument by position or by name.
func pick(args []value, i int, named map[string]value, name string) (value, bool) {
	if i < len(args) {
		return args[i], true
	}
	v, ok := named[name]
	return v, ok
}

func pickString(args []value, i int, named map[string]value, name, otherwise string) string {
	v, ok := pick(args, i, named, name)
	if !ok || v == nil {
		return otherwise
	}
	s, ok := v.(string)
	if !ok {
		fail("%s must be a string", name)
	}
	return s
}

// str insists on a string.
func str(v value, what string) string {
	s, ok := v.(string)
	if !ok {
		fail("%s needs a string, not %s", what, kindOf(v))
	}
	return s
}

var globals = map[string]value{
	"namespace": function(func(e *evaluator, args []value, named map[string]value) value {
		n := &namespace{fields: map[string]value{}}
		for _, a := range args {
			if d, ok := a.(*Dict); ok {
				for _, k := range d.keys {
					n.fields[k] = d.values[k]
				}
			}
		}
		for k, v := range named {
			n.fields[k] = v
		}
		return n
	}),
	"dict": function(func(e *evaluator, args []value, named map[string]value) value {
		d := NewDict()
		keys := make([]string, 0, len(named))
		for k := range named {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			d.set(k, named[k])
		}
		return d
	}),
	"range": function(func(e *evaluator, args []value, named map[string]value) value {
		var n [3]int64
		for i, a := range args {
			v, ok := a.(int64)
			if !ok || i > 2 {
				fail("range needs one to three whole numbers")
			}
			n[i] = v
		}
		from, to, step := n[0], n[1], int64(1)
		switch len(args) {
		case 0:
			fail("range needs a number")
		case 1:
			from, to = 0, n[0]
		case 3:
			if step = n[2]; step == 0 {
				fail("range can't stand still")
			}
		}
		l := &list{}
		for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
			if len(l.items) >= maxItems || step > 0 && i > math.MaxInt64-step || step < 0 && i < math.MinInt64-step {
				fail("a range is too long")
			}
			l.items = append(l.items, i)
		}
		return l
	}),
	"raise_exception": function(func(e *evaluator, args []value, named map[string]value) value {
		message := ""
		if len(args) > 0 {
			message = text(args[0])
		}
		panic(failure{&Raised{Message: message}})
	}),
	"strftime_now": function(func(e *evaluator, args []value, named map[string]value) value {
		return strftime(time.Now(), pickString(args, 0, named, "format", ""))
	}),
}

// strftime knows what templates ask for to tell a model the date.
func strftime(t time.Time, format string) string {
	var b strings.Builder
	layouts := map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'A': "Monday", 'a': "Mon",
		'H': "15", 'M': "04", 'S': "05", 'y': "06", 'I': "03", 'p': "PM", 'j': "002"}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		switch layout, ok := layouts[format[i]]; {
		case ok:
			b.WriteString(t.Format(layout))
		case format[i] == '-' && i+1 < len(format) && format[i+1] == 'd':
			i++
			b.WriteString(strconv.Itoa(t.Day()))
		case format[i] == '%':
			b.WriteByte('%')
		default:
			fail("strftime_now doesn't know %%%c", format[i])
		}
	}
	return b.String()
}

func test(e *evaluator, name string, v value, args []value) bool {
	first := func() value {
		if len(args) == 0 {
			fail("the test %q needs something to compare with", name)
		}
		return args[0]
	}
	_, isUndefined := v.(undefined)
	_, i, whole, isNumber := number(v)
	_, isBool := v.(bool)
	_, isString := v.(string)
	_, isList := v.(*list)
	_, isDict := v.(*Dict)
	switch name {
	case "defined":
		return !isUndefined
	case "undefined":
		return isUndefined
	case "none":
		return v == nil
	case "string":
		return isString
	case "mapping":
		return isDict
	case "sequence", "iterable":
		return isList || isString || isDict
	case "number":
		return isNumber && !isBool
	case "integer":
		return whole && !isBool
	case "float":
		_, ok := v.(float64)
		return ok
	case "boolean":
		return isBool
	case "true":
		return isBool && v.(bool)
	case "false":
		return isBool && !v.(bool)
	case "callable":
		_, ok := v.(function)
		return ok
	case "odd":
		return whole && i%2 != 0
	case "even":
		return whole && i%2 == 0
	case "divisibleby":
		n, _ := first().(int64)
		return whole && n != 0 && i%n == 0
	case "eq", "equalto", "==":
		return e.equal(v, first(), 0)
	case "ne", "!=":
		return !e.equal(v, first(), 0)
	case "gt", "greaterthan", ">":
		return compare(v, first()) > 0
	case "ge", ">=":
		return compare(v, first()) >= 0
	case "lt", "lessthan", "<":
		return compare(v, first()) < 0
	case "le", "<=":
		return compare(v, first()) <= 0
	case "in":
		return e.contains(first(), v)
	case "lower":
		return isString && v.(string) == strings.ToLower(v.(string))
	case "upper":
		return isString && v.(string) == strings.ToUpper(v.(string))
	}
	fail("the test %q isn't known", name)
	return false
}

var filters map[string]filter

func init() { // not a literal: some filters look others up
	filters = map[string]filter{
		"trim": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strip(text(v), args, named, true, true)
		},
		"string": func(e *evaluator, v value, args []value, named map[string]value) value { return text(v) },
		"safe":   func(e *evaluator, v value, args []value, named map[string]value) value { return v },
		"upper": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strings.ToUpper(text(v))
		},
		"lower": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strings.ToLower(text(v))
		},
		"capitalize": func(e *evaluator, v value, args []value, named map[string]value) value { return capitalize(text(v)) },
		"title":      func(e *evaluator, v value, args []value, named map[string]value) value { return title(text(v)) },
		"length":     length,
		"count":      length,
		"default":    byDefault,
		"d":          byDefault,
		"tojson":     tojson,
		"list": func(e *evaluator, v value, args []value, named map[string]value) value {
			return newList(slices.Clone(iterate(v)))
		},
		"items": func(e *evaluator, v value, args []value, named map[string]value) value {
			return methods["items"](e, v, nil, nil)
		},
		"dictsort": func(e *evaluator, v value, args []value, named map[string]value) value {
			l := methods["items"](e, v, nil, nil).(*list)
			slices.SortStableFunc(l.items, func(a, b value) int {
				return strings.Compare(strings.ToLower(text(a.(*list).items[0])), strings.ToLower(text(b.(*list).items[0])))
			})
			return l
		},
		"join":    join,
		"first":   func(e *evaluator, v value, args []value, named map[string]value) value { return end(iterate(v), 0) },
		"last":    func(e *evaluator, v value, args []value, named map[string]value) value { return end(iterate(v), -1) },
		"reverse": reverse,
		"sort":    sorted,
		"unique":  unique,
		"int":     toInt,
		"float":   toFloat,
		"abs":     absolute,
		"round":   round,
		"replace": func(e *evaluator, v value, args []value, named map[string]value) value {
			return replace(e, text(v), args, named)
		},
		"indent": indent,
		"map":    mapItems,
		"select": func(e *evaluator, v value, args []value, named map[string]value) value {
			return choose(e, v, args, true, false)
		},
		"reject": func(e *evaluator, v value, args []value, named map[string]value) value {
			return choose(e, v, args, false, false)
		},
		"selectattr": func(e *evaluator, v value, args []value, named map[string]value) value {
			return choose(e, v, args, true, true)
		},
		"rejectattr": func(e *evaluator, v value, args []value, named map[string]value) value {
			return choose(e, v, args, false, true)
		},
		"max": func(e *evaluator, v value, args []value, named map[string]value) value { return extreme(iterate(v), 1) },
		"min": func(e *evaluator, v value, args []value, named map[string]value) value {
			return extreme(iterate(v), -1)
		},
		"split": func(e *evaluator, v value, args []value, named map[string]value) value {
			return methods["split"](e, v, args, named)
		},
	}
}

func length(e *evaluator, v value, args []value, named map[string]value) value {
	switch v := v.(type) {
	case string:
		n := 0
		for range v {
			n++
		}
		return int64(n)
	case *list:
		return int64(len(v.items))
	case *Dict:
		return int64(len(v.keys))
	case undefined:
		return int64(0)
	}
	fail("%s has no length", kindOf(v))
	return nil
}

func byDefault(e *evaluator, v value, args []value, named map[string]value) value {
	otherwise, ok := pick(args, 0, named, "default_value")
	if !ok {
		otherwise = ""
	}
	falsy, _ := pick(args, 1, named, "boolean")
	if _, missing := v.(undefined); missing || truth(falsy) && !truth(v) {
		return otherwise
	}
	return v
}

func tojson(e *evaluator, v value, args []value, named map[string]value) value {
	var step *int
	if in, ok := pick(args, 0, named, "indent"); ok && in != nil {
		n, ok := in.(int64)
		if !ok || n < 0 || n > 16 {
			fail("the indent of tojson must be a small number")
		}
		width := int(n)
		step = &width
	}
	var b strings.Builder
	toJSON(&b, v, step, 0)
	return b.String()
}

func join(e *evaluator, v value, args []value, named map[string]value) value {
	sep := pickString(args, 0, named, "d", "")
	attribute := pickString(args, 1, named, "attribute", "")
	var b strings.Builder
	for i, item := range iterate(v) {
		if i > 0 {
			b.WriteString(sep)
		}
		if attribute != "" {
			item = field(item, attribute)
		}
		b.WriteString(text(item))
		bounded(b.String())
	}
	return b.String()
}

func end(items []value, i int) value {
	if len(items) == 0 {
		return undefined{"the item of an empty list"}
	}
	if i < 0 {
		i += len(items)
	}
	return items[i]
}

func reverse(e *evaluator, v value, args []value, named map[string]value) value {
	items := slices.Clone(iterate(v))
	slices.Reverse(items)
	if _, ok := v.(string); ok {
		return join(e, &list{items}, nil, nil)
	}
	return newList(items)
}

func sorted(e *evaluator, v value, args []value, named map[string]value) value {
	items := slices.Clone(iterate(v))
	down, _ := pick(args, 0, named, "reverse")
	attribute := pickString(args, 2, named, "attribute", "")
	slices.SortStableFunc(items, func(a, b value) int {
		if attribute != "" {
			a, b = field(a, attribute), field(b, attribute)
		}
		if truth(down) {
			a, b = b, a
		}
		return compare(a, b)
	})
	return newList(items)
}

func unique(e *evaluator, v value, args []value, named map[string]value) value {
	var items []value
	for _, x := range iterate(v) {
		if !slices.ContainsFunc(items, func(y value) bool { return e.equal(x, y, 0) }) {
			items = append(items, x)
		}
	}
	return newList(items)
}

func toInt(e *evaluator, v value, args []value, named map[string]value) value {
	switch v := v.(type) {
	case int64:
		return v
	case float64:
		if math.Abs(v) < 1<<62 {
			return int64(v)
		}
	case bool:
		_, n, _, _ := number(v)
		return n
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n
		}
	}
	if d, ok := pick(args, 0, named, "default"); ok {
		return d
	}
	return int64(0)
}

func toFloat(e *evaluator, v value, args []value, named map[string]value) value {
	if s, ok := v.(string); ok {
		x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return 0.0
		}
		return x
	}
	x, _, _, _ := number(v)
	return x
}

func absolute(e *evaluator, v value, args []value, named map[string]value) value {
	x, n, whole, ok := number(v)
	if !ok {
		fail("abs needs a number")
	}
	if whole {
		return max(n, -n)
	}
	return math.Abs(x)
}

func round(e *evaluator, v value, args []value, named map[string]value) value {
	x, _, _, ok := number(v)
	if !ok {
		fail("round needs a number")
	}
	digits := 0.0
	if d, ok := pick(args, 0, named, "precision"); ok {
		digits, _, _, _ = number(d)
	}
	p := math.Pow(10, min(max(digits, -15), 15))
	return math.RoundToEven(x*p) / p
}

func indent(e *evaluator, v value, args []value, named map[string]value) value {
	width := int64(4)
	if w, ok := pick(args, 0, named, "width"); ok {
		width, _ = w.(int64)
	}
	first, _ := pick(args, 1, named, "first")
	blank, _ := pick(args, 2, named, "blank")
	pad := strings.Repeat(" ", int(min(max(width, 0), 256)))
	lines := strings.Split(text(v), "\n")
	for i, l := range lines {
		if (i > 0 || truth(first)) && (l != "" || truth(blank)) {
			lines[i] = pad + l
		}
	}
	return bounded(strings.Join(lines, "\n"))
}

// mapItems is map('filter', args…) and map(attribute='name').
func mapItems(e *evaluator, v value, args []value, named map[string]value) value {
	items := slices.Clone(iterate(v))
	if attribute, ok := named["attribute"]; ok {
		for i, x := range items {
			e.step()
			if items[i] = field(x, text(attribute)); test(e, "undefined", items[i], nil) {
				if d, ok := named["default"]; ok {
					items[i] = d
				}
			}
		}
		return newList(items)
	}
	if len(args) == 0 {
		fail("map needs a filter or an attribute")
	}
	f, ok := filters[text(args[0])]
	if !ok {
		fail("the filter %q isn't known", text(args[0]))
	}
	e.enter()
	defer e.leave()
	for i, x := range items {
		e.step()
		items[i] = f(e, x, args[1:], named)
	}
	return newList(items)
}

// choose is select, reject and their attr forms.
func choose(e *evaluator, v value, args []value, want, byAttribute bool) value {
	attribute := ""
	if byAttribute {
		if len(args) == 0 {
			fail("an attribute is missing")
		}
		attribute, args = text(args[0]), args[1:]
	}
	var out []value
	for _, x := range iterate(v) {
		e.step()
		y := x
		if byAttribute {
			y = field(x, attribute)
		}
		ok := truth(y)
		if len(args) > 0 {
			ok = test(e, text(args[0]), y, args[1:])
		}
		if ok == want {
			out = append(out, x)
		}
	}
	return newList(out)
}

func extreme(items []value, sign int) value {
	best := end(items, 0)
	for _, x := range items {
		if compare(x, best)*sign > 0 {
			best = x
		}
	}
	return best
}

func capitalize(s string) string {
	for i, r := range s {
		return string(unicode.ToUpper(r)) + strings.ToLower(s[i+len(string(r)):])
	}
	return s
}

func title(s string) string {
	var b strings.Builder
	start := true
	for _, r := range s {
		if start {
			b.WriteRune(unicode.ToUpper(r))
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		start = !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
	}
	return b.String()
}

// strip is Python's: without characters it takes white space.
func strip(s string, args []value, named map[string]value, left, right bool) string {
	is := unicode.IsSpace
	if chars := pickString(args, 0, named, "chars", ""); chars != "" {
		is = func(r rune) bool { return strings.ContainsRune(chars, r) }
	}
	if left {
		s = strings.TrimLeftFunc(s, is)
	}
	if right {
		s = strings.TrimRightFunc(s, is)
	}
	return s
}

func replace(e *evaluator, s string, args []value, named map[string]value) value {
	from, to := pickString(args, 0, named, "old", ""), pickString(args, 1, named, "new", "")
	n := -1
	if c, ok := pick(args, 2, named, "count"); ok {
		if k, ok := c.(int64); ok && k >= 0 {
			n = int(min(k, maxOutput))
		}
	}
	times := strings.Count(s, from)
	if n >= 0 {
		times = min(times, n)
	}
	if len(s)+times*len(to) > maxOutput {
		fail("a string is too long")
	}
	return strings.Replace(s, from, to, n)
}

// methods are those of strings, mappings and lists; each checks its receiver.
var methods map[string]method

func init() {
	methods = map[string]method{
		"strip": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strip(str(v, "strip"), args, named, true, true)
		},
		"lstrip": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strip(str(v, "lstrip"), args, named, true, false)
		},
		"rstrip": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strip(str(v, "rstrip"), args, named, false, true)
		},
		"upper": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strings.ToUpper(str(v, "upper"))
		},
		"lower": func(e *evaluator, v value, args []value, named map[string]value) value {
			return strings.ToLower(str(v, "lower"))
		},
		"capitalize": func(e *evaluator, v value, args []value, named map[string]value) value {
			return capitalize(str(v, "capitalize"))
		},
		"title": func(e *evaluator, v value, args []value, named map[string]value) value {
			return title(str(v, "title"))
		},
		"startswith": func(e *evaluator, v value, args []value, named map[string]value) value {
			return affix(str(v, "startswith"), args, strings.HasPrefix)
		},
		"endswith": func(e *evaluator, v value, args []value, named map[string]value) value {
			return affix(str(v, "endswith"), args, strings.HasSuffix)
		},
		"replace": func(e *evaluator, v value, args []value, named map[string]value) value {
			return replace(e, str(v, "replace"), args, named)
		},
		"find": func(e *evaluator, v value, args []value, named map[string]value) value {
			s := str(v, "find")
			i := strings.Index(s, pickString(args, 0, named, "sub", ""))
			if i < 0 {
				return int64(-1)
			}
			return int64(len([]rune(s[:i])))
		},
		"count": func(e *evaluator, v value, args []value, named map[string]value) value {
			return int64(strings.Count(str(v, "count"), pickString(args, 0, named, "sub", "")))
		},
		"split":  split,
		"rsplit": rsplit,
		"splitlines": func(e *evaluator, v value, args []value, named map[string]value) value {
			return stringList(strings.Split(strings.TrimSuffix(str(v, "splitlines"), "\n"), "\n"))
		},
		"join": func(e *evaluator, v value, args []value, named map[string]value) value {
			if len(args) == 0 {
				fail("join needs a list")
			}
			return join(e, args[0], []value{str(v, "join")}, nil)
		},
		"items": func(e *evaluator, v value, args []value, named map[string]value) value {
			d := dict(v, "items")
			l := &list{}
			for _, k := range d.keys {
				l.items = append(l.items, &list{[]value{k, d.values[k]}})
			}
			return l
		},
		"keys": func(e *evaluator, v value, args []value, named map[string]value) value {
			return &list{iterate(dict(v, "keys"))}
		},
		"values": func(e *evaluator, v value, args []value, named map[string]value) value {
			d := dict(v, "values")
			l := &list{}
			for _, k := range d.keys {
				l.items = append(l.items, d.values[k])
			}
			return l
		},
		"get": func(e *evaluator, v value, args []value, named map[string]value) value {
			d := dict(v, "get")
			if len(args) == 0 {
				fail("get needs a key")
			}
			if k, ok := args[0].(string); ok {
				if x, ok := d.get(k); ok {
					return x
				}
			}
			otherwise, _ := pick(args, 1, named, "default")
			return otherwise
		},
		"append": func(e *evaluator, v value, args []value, named map[string]value) value {
			l, ok := v.(*list)
			if !ok || len(args) != 1 {
				fail("append needs a list and one item")
			}
			if len(l.items) >= maxItems {
				fail("a list has too many items")
			}
			l.items = append(l.items, args[0])
			return nil
		},
	}
}

func dict(v value, what string) *Dict {
	switch v := v.(type) {
	case *Dict:
		return v
	case undefined:
		return NewDict()
	}
	fail("%s needs a mapping, not %s", what, kindOf(v))
	return nil
}

func stringList(parts []string) *list {
	if len(parts) > maxItems {
		fail("a list has too many items")
	}
	l := &list{}
	for _, p := range parts {
		l.items = append(l.items, p)
	}
	return l
}

// affix is startswith and endswith, with one string or a list of them.
func affix(s string, args []value, has func(s, part string) bool) value {
	if len(args) == 0 {
		fail("a string is missing")
	}
	if l, ok := args[0].(*list); ok {
		return slices.ContainsFunc(l.items, func(p value) bool { return has(s, text(p)) })
	}
	return has(s, str(args[0], "the comparison"))
}

func split(e *evaluator, v value, args []value, named map[string]value) value {
	s := str(v, "split")
	sep := pickString(args, 0, named, "sep", "")
	if sep == "" {
		return stringList(strings.Fields(s))
	}
	n := int64(-1)
	if m, ok := pick(args, 1, named, "maxsplit"); ok {
		n, _ = m.(int64)
	}
	if n < 0 || n > maxItems {
		n = maxItems
	}
	return stringList(strings.SplitN(s, sep, int(n)+1))
}

func rsplit(e *evaluator, v value, args []value, named map[string]value) value {
	s := str(v, "rsplit")
	sep := pickString(args, 0, named, "sep", "")
	limit, limited := pick(args, 1, named, "maxsplit")
	n, _ := limit.(int64)
	if sep == "" || !limited || n < 0 {
		return split(e, v, args[:min(len(args), 1)], named)
	}
	var parts []string
	for ; n > 0; n-- {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		parts = append(parts, s[i+len(sep):])
		s = s[:i]
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	return stringList(parts)
}
