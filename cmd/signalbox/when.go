package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/signalbox-ci/signalbox/spec/when"
)

// whenCmd is `signalbox when`.
type whenCmd struct {
	ListInputs whenListInputsCmd `cmd:"" help:"List what conditions ask for; both files are JSON."`
	Reduce     whenReduceCmd     `cmd:"" help:"Put known values into conditions; both files are JSON."`
}

// whenListInputsCmd is `signalbox when list-inputs`.
type whenListInputsCmd struct {
	toolFiles
}

// whenInput is a keyword or function that a condition asks for.
type whenInput struct {
	Type   string `json:"type"` // "keyword" or "fun"
	Name   string `json:"name"`
	Params []any  `json:"params,omitempty"`
}

type whenInputs struct {
	Inputs []whenInput `json:"inputs"`
	Error  string      `json:"error"`
}

func (c *whenListInputsCmd) Run() error {
	var conditions []string
	if err := c.readJSON(&conditions); err != nil {
		return err
	}
	out := make([]whenInputs, len(conditions))
	for i, text := range conditions {
		out[i].Inputs = []whenInput{}
		e, err := when.Parse(text)
		if err != nil {
			out[i].Error = whenError(err)
			continue
		}
		for _, need := range when.Needs(e) {
			switch n := need.(type) {
			case *when.Keyword:
				out[i].Inputs = append(out[i].Inputs, whenInput{Type: "keyword", Name: n.Name})
			case *when.Call:
				out[i].Inputs = append(out[i].Inputs, whenInput{Type: "fun", Name: n.Name, Params: n.Values()})
			}
		}
	}
	return c.writeJSON(out)
}

// whenReduceCmd is `signalbox when reduce`.
type whenReduceCmd struct {
	toolFiles
}

type whenReduction struct {
	Expression string `json:"expression"`
	Inputs     struct {
		Keywords  map[string]string `json:"keywords"`
		Functions []struct {
			Name   string `json:"name"`
			Params []any  `json:"params"`
			Result bool   `json:"result"`
		} `json:"functions"`
	} `json:"inputs"`
}

type whenResult struct {
	Result string `json:"result"`
	Error  string `json:"error"`
}

func (c *whenReduceCmd) Run() error {
	var list []whenReduction
	if err := c.readJSON(&list); err != nil {
		return err
	}
	out := make([]whenResult, len(list))
	for i := range list {
		var err error
		if out[i].Result, err = list[i].reduce(); err != nil {
			out[i].Error = whenError(err)
		}
	}
	return c.writeJSON(out)
}

func (r *whenReduction) reduce() (string, error) {
	e, err := when.Parse(r.Expression)
	if err != nil {
		return "", err
	}
	results := map[string]bool{}
	key := func(name string, params []any) string {
		text, err := json.Marshal(append([]any{name}, params...))
		if err != nil {
			return ""
		}
		return string(text)
	}
	for _, f := range r.Inputs.Functions {
		results[key(f.Name, f.Params)] = f.Result
	}
	e, err = when.Reduce(e, when.Inputs{Keywords: r.Inputs.Keywords, Call: func(c *when.Call) (bool, string, error) {
		value, ok := results[key(c.Name, c.Values())]
		if !ok {
			return false, "", fmt.Errorf("the inputs have no result for %.200s", when.Render(c))
		}
		return value, "", nil
	}})
	if err != nil {
		return "", err
	}
	return when.Render(e), nil
}

// whenError returns the text existing scripts know, and ours where they know none.
func whenError(err error) string {
	var s *when.SyntaxError
	if errors.As(err, &s) && s.Code != "" {
		return s.Code
	}
	var e *when.EvaluationError
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return err.Error()
}
