// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package jinja

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func messages(pairs ...string) []any {
	var out []any
	for i := 0; i < len(pairs); i += 2 {
		m := NewDict()
		m.Set("role", pairs[i])
		m.Set("content", pairs[i+1])
		out = append(out, m)
	}
	return out
}

func render(t *testing.T, source string) string {
	t.Helper()
	tmpl, err := Parse(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	out, err := tmpl.Render(map[string]any{
		"messages": messages("system", "Be brief.", "user", "Hi", "assistant", " Hello. "),
		"bos":      "<s>", "yes": true, "n": 3, "x": 2.5, "nothing": nil,
		"list": []any{3, 1, 2, 1}, "map": map[string]any{"b": 1, "a": "two"},
	})
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return out
}

// TestExpressions holds what Jinja2 (3.1, as transformers sets it up) gives.
func TestExpressions(t *testing.T) {
	for source, want := range map[string]string{
		"{{ 1 + 2 * 3 }}":   "7",
		"{{ (1 + 2) * 3 }}": "9",
		"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}":                                                                     "3 -4 2 3.5",
		"{{ 2 ** 10 }} {{ x }} {{ 1.0 }}":                                                                                         "1024 2.5 1.0",
		"{{ 'a' ~ 1 ~ none ~ true }}":                                                                                             "a1NoneTrue",
		"{{ 'a' 'b' + 'c' }}":                                                                                                     "abc",
		"{{ not yes or n > 2 and n <= 3 }}":                                                                                       "True",
		"{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }}":                                                                                         "True False",
		"{{ 'ell' in 'hello' }} {{ 4 not in list }}":                                                                              "True True",
		"{{ 'x' if n == 3 else 'y' }}{{ 'z' if n == 4 }}":                                                                         "x",
		"{{ missing is defined }} {{ missing }} {{ nothing is none }}":                                                            "False  True",
		"{{ missing | default('d') }} {{ '' | default('d', true) }}":                                                              "d d",
		"{{ list | sort | join(',') }} {{ list | unique | list }}":                                                                "1,1,2,3 [3, 1, 2]",
		"{{ list[0] }} {{ list[-1] }} {{ list[1:] }} {{ list[::-1] }}":                                                            "3 1 [1, 2, 1] [1, 2, 1, 3]",
		"{{ 'hello'[1:3] }} {{ 'hello'[::-1] }} {{ 'hello'[-1] }}":                                                                "el olleh o",
		"{{ map }} {{ map.b }} {{ map['a'] }} {{ map.get('c', 9) }}":                                                              "{'a': 'two', 'b': 1} 1 two 9",
		"{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}":                                                               "a=two;b=1;",
		"{{ map | tojson }} {{ list | tojson }} {{ 'é\"<' | tojson }}":                                                            `{"a": "two", "b": 1} [3, 1, 2, 1] "é\"<"`,
		"{{ [1, [2]] | tojson(indent=2) }}":                                                                                       "[\n  1,\n  [\n    2\n  ]\n]",
		"{{ ' x ' | trim }}|{{ 'xxaxx'.strip('x') }}|{{ ' a'.lstrip() }}":                                                         "x|a|a",
		"{{ 'a-b-c'.split('-') }} {{ 'a-b-c'.split('-', 1)[1] }} {{ 'a b'.split() }}":                                             "['a', 'b', 'c'] b-c ['a', 'b']",
		"{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }}":                                                           "True True",
		"{{ 'hELLO wORLD' | title }} {{ 'hELLO' | capitalize }}":                                                                  "Hello World Hello",
		"{{ messages | map(attribute='role') | join(' ') }}":                                                                      "system user assistant",
		"{{ messages | selectattr('role', 'equalto', 'user') | list | length }}":                                                  "1",
		"{{ (messages | rejectattr('role', 'in', ['user', 'system']) | first).content | trim }}":                                  "Hello.",
		"{{ messages[0].role is string and messages is sequence and map is mapping }}":                                            "True",
		"{{ range(3) | list }} {{ range(5, 1, -2) | list }}":                                                                      "[0, 1, 2] [5, 3]",
		"{{ n is odd }} {{ n is divisibleby 3 }} {{ n is eq(3) }} {{ 'a' is in ['a'] }}":                                          "True True True True",
		"{% set ns = namespace(i=0) %}{% for m in messages %}{% set ns.i = ns.i + 1 %}{% endfor %}{{ ns.i }}":                     "3",
		"{% set i = 0 %}{% for m in messages %}{% set i = i + 1 %}{% endfor %}{{ i }}":                                            "0",
		"{% for m in messages if m.role != 'system' %}{{ loop.index0 }}{{ loop.last }}{% endfor %}":                               "0False1True",
		"{% for m in [] %}x{% else %}none{% endfor %}":                                                                            "none",
		"{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}": "013",
		"{% macro m(a, b='y') %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m('p', b='q') }}":                                      "[1y][pq]",
		"{% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}in{% endcall %}":                                              "<in>",
		"{% set block %}a{{ n }}{% endset %}{{ block ~ block }}":                                                                  "a3a3",
		"{% filter upper %}abc{% endfilter %}":                                                                                    "ABC",
		"{# note #}{{ {'a': {'b': 1}}.a.b }}":                                                                                     "1",
		"{{ 'a\\nb' | indent(2) }} {{ 'it\\'s' }}":                                                                                "a\n  b it's",
		"{{ [1,2] + [3] }} {{ (1,) }} {{ 'ab' * 2 }}":                                                                             "[1, 2, 3] [1] abab",
		"{{ '%s' | replace('s', 'd') }} {{ 'abc' | length }} {{ '12' | int + 1 }}":                                                "%d 3 13",
	} {
		if got := render(t, source); got != want {
			t.Errorf("%s\n got %q\nwant %q", source, got, want)
		}
	}
}

// TestWhiteSpace: trim_blocks and lstrip_blocks are on.
func TestWhiteSpace(t *testing.T) {
	for source, want := range map[string]string{
		"a\n{% if yes %}\nb\n{% endif %}\nc\n":                  "a\nb\nc",
		"a\n  {% if yes %}\n  b\n  {% endif %}\nc":              "a\n  b\nc",
		"a {%- if yes -%} b {%- endif -%} c":                    "abc",
		"a {{- ' x ' -}} b":                                     "a x b",
		"a\n  {{ n }}\n b":                                      "a\n  3\n b",
		"x  {% if yes %}y{% endif %}":                           "x  y",
		"  {# c #}\nx":                                          "x",
		"  {%+ if yes %}x{% endif %}":                           "  x",
		"{% if yes +%}\nx{% endif %}":                           "\nx",
		"{% if yes %}\n  {% if yes %}\nx{% endif %}{% endif %}": "x",
		"{{ n }}  {% if yes %}x{% endif %}":                     "3  x",
		"{% if yes %}  {% if yes %}x{% endif %}{% endif %}":     "  x",
		"a\r\n{% if yes %}\r\nb{% endif %}":                     "a\nb",
	} {
		if got := render(t, source); got != want {
			t.Errorf("%q\n got %q\nwant %q", source, got, want)
		}
	}
}

func TestRaised(t *testing.T) {
	tmpl, err := Parse("{% if messages[0].role != 'user' %}{{ raise_exception('start with ' + 'user') }}{% endif %}")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tmpl.Render(map[string]any{"messages": messages("system", "x")})
	var raised *Raised
	if !errors.As(err, &raised) || raised.Message != "start with user" {
		t.Fatalf("got %v", err)
	}
}

func TestErrors(t *testing.T) {
	for _, source := range []string{
		"{% if %}x{% endif %}", "{% if yes %}", "{{ ", "{% nonsense %}", "{{ 'x }}", "{# x", "{{ a b }}", "{% for in x %}{% endfor %}",
		"{% break %}", "{{ (1 }}", "{{ [1 }}", "{% endif %}", "{{ a.'b' }}", "{{ ! }}", "{% set = 1 %}", "{{ 99999999999999999999 }}",
		strings.Repeat("{{ (", 1), "{{ " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000) + " }}",
		strings.Repeat("{% if yes %}", 5000) + strings.Repeat("{% endif %}", 5000), "{{ " + strings.Repeat("-", 5000) + "1 }}",
		"{{ " + strings.Repeat("not ", 5000) + "1 }}",
	} {
		if _, err := Parse(source); err == nil {
			t.Errorf("%.60q was accepted", source)
		}
	}
	for _, source := range []string{
		"{{ missing.x }}", "{{ missing() }}", "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ 1 | nofilter }}", "{{ 1 is notest }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}",
		"{{ 'a' < 1 }}", "{% for a, b in [1] %}{% endfor %}", "{% for a in 1 %}{% endfor %}", "{{ range(10**9) }}", "{{ 'a' * 10**12 }}",
		"{% set x.y = 1 %}", "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"{{ 1[::0] }}", "{{ strftime_now('%Q') }}", "{{ 'abc'.items() }}",
	} {
		tmpl, err := Parse(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if out, err := tmpl.Render(map[string]any{"yes": true}); err == nil {
			t.Errorf("%s gave %q", source, out)
		}
	}
}

// TestBounds: templates that would run or grow for ever end with an error, and soon.
func TestBounds(t *testing.T) {
	for _, source := range []string{
		"{% for a in range(60000) %}{% for b in range(60000) %}{% endfor %}{% endfor %}",
		"{% set ns = namespace(s='x') %}{% for a in range(60000) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
		"{% set ns = namespace(s='x' * 8000000) %}{% for a in range(60000) %}{{ ns.s == ns.s }}{{ ns.s[0] }}{{ ns.s | upper | length }}{% endfor %}",
		"{% set ns = namespace(l=[1]) %}{% for a in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == ns.l }}",
		"{% set ns = namespace(l=[]) %}{% for a in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
		"{% set ns = namespace(l=[]) %}{% for a in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}",
		"{% for a in range(60000) %}{{ 'x' * 1000 }}{% endfor %}",
		"{% set l = range(60000) | list %}{% for a in l %}{{ a in l }}{% endfor %}",
		"{% set l = range(60000) | list | unique %}",
	} {
		tmpl, err := Parse(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := tmpl.Render(nil)
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: no error", source)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: still running", source)
		}
	}
}

// FuzzRender: no template panics or runs away.
func FuzzRender(f *testing.F) {
	for _, s := range []string{
		"{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}",
		"{%- set ns = namespace(a=1) -%}{% macro f(x, y=2) %}{{ x ~ y }}{% endmacro %}{{ f(1)[::-1] }}",
		"{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(', ') | tojson(indent=1) }}",
		"{% set x %}a{% endset %}{% call(y) x() %}{% endcall %}{{ 1 if x is defined else 2 ** 3 // 4 % 5 }}",
		"{{ messages[1:2][0].content.split('x', 1)[-1] not in {'a': [1, 2.5, none]} }}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 2000 {
			return
		}
		tmpl, err := Parse(source)
		if err != nil {
			return
		}
		tmpl.Render(map[string]any{"messages": messages("user", "hi", "assistant", "yo"), "add_generation_prompt": true, "bos_token": "<s>"})
	})
}
