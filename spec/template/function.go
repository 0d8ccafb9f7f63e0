package template

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	texttemplate "text/template"

	"github.com/Masterminds/sprig/v3"
)

// names are the functions of expressions. Where the library has one that returns an error instead of swallowing it, that
// one is taken.
var names = strings.Fields(`
	default empty coalesce all any compact ternary fromJson toJson toPrettyJson toRawJson deepCopy
	b64enc b64dec b32enc b32dec
	list dict get set unset chunk hasKey pluck keys pick omit values concat dig merge mergeOverwrite append prepend reverse
	first rest last initial uniq without has slice
	regexMatch regexFindAll regexFind regexReplaceAll regexReplaceAllLiteral regexSplit regexQuoteMeta
	ellipsis ellipsisBoth trunc trim upper lower title untitle substr repeat join sortAlpha trimAll trimSuffix trimPrefix
	nospace initials randAlphaNum randAlpha randAscii randNumeric swapcase shuffle snakecase camelcase kebabcase wrap
	wrapWith contains hasPrefix hasSuffix quote squote cat indent nindent replace plural sha1sum sha256sum adler32sum
	toString int64 int float64 seq toDecimal until untilStep split splitList splitn toStrings
	add1 add sub div mod mul randInt add1f addf subf divf mulf max maxf min minf ceil floor round`)

// elsewhere are the functions that the library has under another name.
var elsewhere = map[string]string{"ellipsis": "abbrev", "ellipsisBoth": "abbrevboth"}

// own are those that the library does in no particular order, or to the end even where the result is far too large.
var own = map[string]any{
	"regexFindAll": func(pattern, s string, n int) ([]string, error) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return re.FindAllString(s, atMostItems(n)), nil
	},
	"regexSplit": func(pattern, s string, n int) ([]string, error) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return re.Split(s, atMostItems(n)), nil
	},
	"keys": func(dicts ...map[string]any) []string {
		out := []string{}
		for _, d := range dicts {
			out = append(out, sortedKeys(d)...)
		}
		return out
	},
	"values": func(d map[string]any) []any {
		out := []any{}
		for _, k := range sortedKeys(d) {
			out = append(out, d[k])
		}
		return out
	},
}

// atMostItems returns n, where below 0 is all, or what is one more than allowed.
func atMostItems(n int) int {
	if n < 0 || n > maxItems+1 {
		return maxItems + 1
	}
	return n
}

func sortedKeys(d map[string]any) []string {
	out := make([]string, 0, len(d))
	for k := range d {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func allowed(name string) bool { return functions[name] != nil }

// functions are the listed ones, each bounded.
var functions = func() texttemplate.FuncMap {
	library := sprig.GenericFuncMap()
	out := texttemplate.FuncMap{}
	for _, name := range names {
		source := name
		if other := elsewhere[name]; other != "" {
			source = other
		}
		f := own[name]
		if f == nil {
			f = library["must"+strings.ToUpper(source[:1])+source[1:]]
		}
		if f == nil {
			f = library[source]
		}
		out[name] = bounded(f, guards[name])
	}
	return out
}()

// bounded returns f with the same parameters and results, but with arguments that pass the guard and results that are
// not too large. The template engine turns the panic into an error.
func bounded(f any, guard func(args []any) error) any {
	v := reflect.ValueOf(f)
	return reflect.MakeFunc(v.Type(), func(in []reflect.Value) []reflect.Value {
		if guard != nil {
			if err := guard(arguments(in, v.Type().IsVariadic())); err != nil {
				panic(err)
			}
		}
		var out []reflect.Value
		if v.Type().IsVariadic() {
			out = v.CallSlice(in)
		} else {
			out = v.Call(in)
		}
		if err := small(out[0].Interface()); err != nil {
			panic(err)
		}
		return out
	}).Interface()
}

func arguments(in []reflect.Value, variadic bool) []any {
	var out []any
	for i, a := range in {
		if variadic && i == len(in)-1 {
			for j := range a.Len() {
				out = append(out, a.Index(j).Interface())
			}
			break
		}
		out = append(out, a.Interface())
	}
	return out
}

// small refuses a value that is too large or too deep to go on with.
func small(v any) error {
	m := &measure{}
	return m.add(reflect.ValueOf(v), 0)
}

type measure struct{ bytes, items int }

func (m *measure) add(v reflect.Value, depth int) error {
	if m.items++; m.items > maxItems+1 {
		return fmt.Errorf("a list or map of more than %d values is too large", maxItems)
	}
	if depth > maxNesting {
		return fmt.Errorf("lists and maps are nested more than %d levels deep", maxNesting)
	}
	switch v.Kind() {
	case reflect.String:
		if m.bytes += v.Len(); m.bytes > maxOutput {
			return fmt.Errorf("a result of more than %d bytes is too large", maxOutput)
		}
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			m.items--
			return m.add(v.Elem(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := m.add(v.Index(i), depth+1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			m.items--
			if err := m.add(it.Key(), depth+1); err != nil {
				return err
			}
			if err := m.add(it.Value(), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

var errTooLarge = errors.New("the result would be too large")
