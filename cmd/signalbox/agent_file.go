package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// agentConfigFlag is --config-file: a file in the shape of the official agent's, one key for each option.
type agentConfigFlag string

// BeforeResolve makes the file a source of settings.
func (agentConfigFlag) BeforeResolve(ctx *kong.Context, trace *kong.Path) error {
	path := string(ctx.FlagValue(trace.Flag).(agentConfigFlag))
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	f, err := readAgentFile(path, filepath.Ext(path), text)
	if err != nil {
		return err
	}
	ctx.AddResolver(f)
	return nil
}

// agentFile is a configuration file of the agent.
type agentFile struct {
	path    string
	entries map[string]fileEntry // by name of the option
}

// fileEntry is one key of it.
type fileEntry struct {
	key       string // as it is written
	line, col int
	value     any // string, []any of strings, or nil for "not set"
}

// sharedKeys are options of every command that the file may hold too.
var sharedKeys = []string{"ca-file", "log-level"}

// agentKeys are the keys that a configuration file may have.
var agentKeys = sync.OnceValue(func() map[string]bool {
	keys := map[string]bool{}
	app, err := kong.New(&AgentStartCmd{})
	if err != nil {
		panic(err) // the structure above is wrong, and no test has passed
	}
	for _, f := range app.Model.Flags {
		keys[f.Name] = f.Name != "help" && f.Name != "config-file"
	}
	for _, k := range sharedKeys {
		keys[k] = true
	}
	return keys
})

// isAgentShape tells whether a settings file is one of the agent: its keys stand at the top.
func isAgentShape(root *yaml.Node) bool {
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := strings.ToLower(root.Content[i].Value)
		if agentKeys()[key] && key != "ca-file" && key != "log-level" {
			return true
		}
	}
	return false
}

// readAgentFile reads a configuration file in the language that an extension says. Unknown keys, keys that come twice
// and values of the wrong shape are errors that say where.
func readAgentFile(path, ext string, text []byte) (*agentFile, error) {
	var list []fileEntry
	var err error
	switch strings.ToLower(ext) {
	case ".yaml", ".yml":
		list, err = yamlEntries(text)
	case ".json":
		list, err = jsonEntries(text)
	case ".toml":
		list, err = tomlEntries(text)
	default:
		return nil, fmt.Errorf("the configuration file %s has the extension %q; it must be .yaml, .yml, .json or .toml, which says how it is read", path, ext)
	}
	if err != nil {
		var at *positionError
		if errors.As(err, &at) {
			return nil, fmt.Errorf("%s:%d:%d: %s", path, at.line, at.col, at.text)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f := &agentFile{path: path, entries: map[string]fileEntry{}}
	for _, e := range list {
		name := strings.ToLower(e.key) // the official agent does not tell Endpoint from endpoint
		if !agentKeys()[name] {
			return nil, f.at(e, "unknown option %q: see `signalbox agent start --help` for those that there are", e.key)
		}
		if _, twice := f.entries[name]; twice {
			return nil, f.at(e, "%s stands here a second time", e.key)
		}
		f.entries[name] = e
	}
	return f, nil
}

func (f *agentFile) at(e fileEntry, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %s", f.path, e.line, e.col, fmt.Sprintf(format, args...))
}

// Validate implements kong.Resolver; reading the file has checked it.
func (*agentFile) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (f *agentFile) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if cmd := commandOf(ctx.Selected()); cmd != agentStart {
		return nil, fmt.Errorf("%s is a configuration file of `signalbox agent start`, not one for `signalbox %s`", f.path, cmd)
	}
	e, ok := f.entries[flag.Name]
	if !ok || e.value == nil {
		return nil, nil
	}
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil
		}
	}
	value := e.value
	text, single := value.(string)
	switch {
	case flag.IsSlice() && single:
		list := []any{}
		for _, v := range splitList(text, entrySeparators[flag.Name]) {
			list = append(list, v)
		}
		value = list
	case !flag.IsSlice() && !single:
		return nil, f.at(e, "%s takes one value, not a list", e.key)
	case flag.Enum != "" && !flag.EnumMap()[text]:
		return nil, f.at(e, "%s is %q; it must be one of %s", e.key, text, strings.Join(flag.EnumSlice(), ", "))
	}
	// Decoded once on the side, so that a wrong value is an error with its place.
	scratch := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), scratch); err != nil {
		return nil, f.at(e, "%s: %v", e.key, strings.TrimPrefix(err.Error(), "--"+flag.Name+": "))
	}
	return value, nil
}

// positionError is a mistake at a place in a file.
type positionError struct {
	line, col int
	text      string
}

func (e *positionError) Error() string { return e.text }

func yamlEntries(text []byte) ([]fileEntry, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("it is not YAML: %w", err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, &positionError{root.Line, root.Column, "it must be a map of options, one `name: value` a line"}
	}
	var out []fileEntry
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		e := fileEntry{key: k.Value, line: k.Line, col: k.Column}
		switch v.Kind {
		case yaml.ScalarNode:
			if v.Tag != "!!null" {
				e.value = v.Value
			}
		case yaml.SequenceNode:
			list := []any{}
			for _, s := range v.Content {
				if s.Kind != yaml.ScalarNode {
					return nil, &positionError{s.Line, s.Column, k.Value + " must be a list of plain values"}
				}
				list = append(list, s.Value)
			}
			e.value = list
		default:
			return nil, &positionError{v.Line, v.Column, k.Value + " must be a value or a list of values"}
		}
		out = append(out, e)
	}
	return out, nil
}

func jsonEntries(text []byte) ([]fileEntry, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	place := func(offset int64) (int, int) {
		before := text[:min(int(offset), len(text))]
		return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
	}
	wrong := func(text string) error {
		line, col := place(dec.InputOffset())
		return &positionError{line, col, text}
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, wrong(`it must be a JSON object of options, as in {"endpoint": "ci.example.com"}`)
	}
	var out []fileEntry
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, wrong("it is not JSON: " + err.Error())
		}
		e := fileEntry{key: k.(string)}
		e.line, e.col = place(dec.InputOffset() - int64(len(e.key)) - 2)
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, wrong("it is not JSON: " + err.Error())
		}
		if e.value, err = plain(v); err != nil {
			return nil, &positionError{e.line, e.col, e.key + " " + err.Error()}
		}
		out = append(out, e)
	}
	if _, err := dec.Token(); err != nil {
		return nil, wrong("it is not JSON: " + err.Error())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, wrong("something follows the JSON object")
	}
	return out, nil
}

func tomlEntries(text []byte) ([]fileEntry, error) {
	var values map[string]any
	meta, err := toml.Decode(string(text), &values)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, &positionError{pe.Position.Line, max(1, pe.Position.Col), "it is not TOML: " + pe.Message}
		}
		return nil, fmt.Errorf("it is not TOML: %w", err)
	}
	var out []fileEntry
	for _, k := range meta.Keys() {
		if len(k) > 1 { // of a table, which is refused below
			continue
		}
		e := fileEntry{key: k[0]}
		e.line, e.col = tomlPlace(text, e.key)
		if e.value, err = plain(values[e.key]); err != nil {
			return nil, &positionError{e.line, e.col, e.key + " " + err.Error()}
		}
		out = append(out, e)
	}
	return out, nil
}

// tomlPlace finds a key of the top table; the library does not say where it was.
func tomlPlace(text []byte, key string) (line, col int) {
	word := regexp.QuoteMeta(key)
	at := regexp.MustCompile(`(?m)^[ \t]*(\[+[ \t]*)?["']?` + word + `["']?[ \t]*[=.\]]`).FindIndex(text)
	if at == nil {
		return 1, 1
	}
	i := at[0] + bytes.Index(text[at[0]:at[1]], []byte(key))
	return 1 + bytes.Count(text[:i], []byte("\n")), i - bytes.LastIndexByte(text[:i], '\n')
}

// plain makes texts of the values that an option can have.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return v, nil
	case bool, json.Number, int64, float64:
		return fmt.Sprint(v), nil
	case []any:
		list := []any{}
		for _, e := range v {
			p, err := plain(e)
			s, ok := p.(string)
			if err != nil || !ok {
				return nil, errors.New("must be a list of plain values")
			}
			list = append(list, s)
		}
		return list, nil
	}
	return nil, errors.New("must be a value or a list of values")
}
