// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

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
