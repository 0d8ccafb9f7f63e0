package template

import (
	"errors"
	"fmt"
	"math"
	"regexp/syntax"
	"strings"
)

const (
	maxPattern = 1 << 10 // bytes of a regular expression
	maxWork    = 1 << 25 // steps that a regular expression may take: its size times that of the text
	maxStep    = 1 << 40 // numbers to count with, far from where they overflow
)

// guards look at the arguments of functions that could make something large of something small, or take long.
var guards = map[string]func(args []any) error{
	"repeat":                 func(a []any) error { return product(number(a, 0), len(text(a, 1))) },
	"indent":                 func(a []any) error { return product(number(a, 0), 1+strings.Count(text(a, 1), "\n")) },
	"nindent":                func(a []any) error { return product(number(a, 0), 1+strings.Count(text(a, 1), "\n")) },
	"replace":                func(a []any) error { return product(len(text(a, 1)), strings.Count(text(a, 2), text(a, 0))) },
	"join":                   func(a []any) error { return product(len(text(a, 0)), maxItems) },
	"wrapWith":               func(a []any) error { return product(len(text(a, 1)), 1+len(text(a, 2))) },
	"randAlphaNum":           func(a []any) error { return atMost(number(a, 0)) },
	"randAlpha":              func(a []any) error { return atMost(number(a, 0)) },
	"randAscii":              func(a []any) error { return atMost(number(a, 0)) },
	"randNumeric":            func(a []any) error { return atMost(number(a, 0)) },
	"until":                  func(a []any) error { return steps(0, number(a, 0), 1) },
	"untilStep":              func(a []any) error { return steps(number(a, 0), number(a, 1), number(a, 2)) },
	"seq":                    seqSteps,
	"chunk":                  chunkSize,
	"split":                  func(a []any) error { return pieces(text(a, 0), text(a, 1)) },
	"splitList":              func(a []any) error { return pieces(text(a, 0), text(a, 1)) },
	"splitn":                 func(a []any) error { return pieces(text(a, 0), text(a, 2)) },
	"regexMatch":             func(a []any) error { return patternWork(text(a, 0), text(a, 1), "") },
	"regexFind":              func(a []any) error { return patternWork(text(a, 0), text(a, 1), "") },
	"regexFindAll":           func(a []any) error { return patternWork(text(a, 0), text(a, 1), "") },
	"regexSplit":             func(a []any) error { return patternWork(text(a, 0), text(a, 1), "") },
	"regexReplaceAll":        func(a []any) error { return patternWork(text(a, 0), text(a, 1), text(a, 2)) },
	"regexReplaceAllLiteral": func(a []any) error { return patternWork(text(a, 0), text(a, 1), text(a, 2)) },
}

func number(args []any, i int) int {
	if i < len(args) {
		n, _ := args[i].(int)
		return n
	}
	return 0
}

func text(args []any, i int) string {
	if i < len(args) {
		s, _ := args[i].(string)
		return s
	}
	return ""
}

// product refuses n copies of something of a size.
func product(n, size int) error {
	if n < 0 {
		return errors.New("a count below 0 makes no sense")
	}
	if float64(n)*float64(size) > maxOutput {
		return errTooLarge
	}
	return nil
}

func atMost(n int) error {
	if n < 0 || n > maxItems {
		return fmt.Errorf("from 0 to %d characters are possible", maxItems)
	}
	return nil
}

// steps bounds a count from one number to another.
func steps(start, stop, step int) error {
	for _, n := range []int{start, stop, step} {
		if n > maxStep || n < -maxStep {
			return errors.New("the numbers to count with are too large")
		}
	}
	if step == 0 {
		return errors.New("a step of 0 leads nowhere")
	}
	if math.Abs(float64(stop)-float64(start))/math.Abs(float64(step)) > maxItems {
		return fmt.Errorf("more than %d numbers are too many", maxItems)
	}
	return nil
}

func seqSteps(a []any) error {
	switch len(a) {
	case 0:
		return nil
	case 1:
		return steps(1, number(a, 0), 1)
	case 2:
		return steps(number(a, 0), number(a, 1), 1)
	}
	return steps(number(a, 0), number(a, 2), number(a, 1))
}

func chunkSize(a []any) error {
	if number(a, 0) < 1 {
		return errors.New("a chunk has at least 1 item")
	}
	if number(a, 0) > maxItems {
		return fmt.Errorf("a chunk has at most %d items", maxItems)
	}
	return nil
}

func pieces(separator, s string) error {
	if strings.Count(s, separator) >= maxItems {
		return fmt.Errorf("more than %d parts are too many", maxItems)
	}
	return nil
}

// patternWork bounds the size of a regular expression times that of the text, and what replacing can make of it.
func patternWork(pattern, s, replacement string) error {
	if len(pattern) > maxPattern {
		return fmt.Errorf("a regular expression of more than %d bytes is too long", maxPattern)
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err
	}
	if weight(re)*float64(len(s)+1) > maxWork {
		return errors.New("searching this text for this regular expression would take too long")
	}
	// Every match may be empty, and every reference may stand for all that matched.
	if float64(len(s)+1)*float64(len(replacement)*(1+strings.Count(replacement, "$"))) > 16*maxOutput {
		return errTooLarge
	}
	return nil
}

// weight estimates how many steps one character may cost: repetitions are written out.
func weight(re *syntax.Regexp) float64 {
	w := 1.0 + float64(len(re.Rune))/8
	for _, sub := range re.Sub {
		w += weight(sub)
	}
	if re.Op == syntax.OpRepeat {
		w *= float64(max(re.Min, re.Max, 1))
	}
	return w
}
