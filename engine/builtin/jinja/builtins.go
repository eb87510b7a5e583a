// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
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
