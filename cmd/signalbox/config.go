package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// loadConfig reads settings from YAML. Keys are flag names; those of one command stand under its name, words joined by
// dashes ("agent-start: {endpoint: ...}"), or at the top for all. A file with options of the agent at its top is one of the
// official agent's shape. "server" is both: with settings under it, those of the
// command, otherwise the address to talk to. An unknown key is an error that names its line.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil, err
	}
	name := "the settings file"
	if f, ok := r.(*os.File); ok {
		name = f.Name()
		if ext := filepath.Ext(name); strings.EqualFold(ext, ".toml") { // only the agent's may be TOML
			return readAgentFile(name, ext, text)
		}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("the settings file is not YAML: %w", err)
	}
	c := &configFile{}
	if len(doc.Content) == 0 {
		return c, nil
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("the settings file must be a map of settings")
	}
	c.root = doc.Content[0]
	if isAgentShape(c.root) {
		return readAgentFile(name, ".yaml", text)
	}
	return c, nil
}

type configFile struct{ root *yaml.Node }

// Validate refuses keys that no flag has.
func (c *configFile) Validate(app *kong.Application) error {
	if c.root == nil {
		return nil
	}
	known := map[string]map[string]bool{"": {}}
	walk(app.Node, "", known)
	for i := 0; i+1 < len(c.root.Content); i += 2 {
		k, v := c.root.Content[i], c.root.Content[i+1]
		flags, ok := known[k.Value]
		if known[""][k.Value] && !ok && v.Kind == yaml.MappingNode {
			return fmt.Errorf("settings file, line %d: %s must be a value or a list", k.Line, k.Value)
		}
		if known[""][k.Value] && (!ok || v.Kind != yaml.MappingNode) {
			continue
		}
		if !ok {
			return fmt.Errorf("settings file, line %d: unknown setting %q", k.Line, k.Value)
		}
		if v.Kind != yaml.MappingNode {
			return fmt.Errorf("settings file, line %d: %q is a command; its settings stand under it", k.Line, k.Value)
		}
		for j := 0; j+1 < len(v.Content); j += 2 {
			if s := v.Content[j]; !flags[s.Value] {
				return fmt.Errorf("settings file, line %d: %s has no setting %q", s.Line, k.Value, s.Value)
			}
		}
	}
	return nil
}

// walk collects the flags of each command; those of the program itself stand under "".
func walk(n *kong.Node, path string, known map[string]map[string]bool) {
	for _, f := range n.Flags {
		if f.Name == "help" || f.Name == "config" {
			continue
		}
		if known[path] == nil {
			known[path] = map[string]bool{}
		}
		known[path][f.Name] = true
	}
	for _, c := range n.Children {
		walk(c, strings.TrimPrefix(path+"-"+c.Name, "-"), known)
	}
}

// Resolve returns the value of a flag for the command that runs. A flag whose environment variable is set has its value
// already, and keeps it.
func (c *configFile) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if c.root == nil {
		return nil, nil
	}
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil
		}
	}
	path := ""
	if parent != nil && parent.Node() != nil {
		for n := parent.Node(); n != nil && n.Type != kong.ApplicationNode; n = n.Parent {
			path = strings.TrimSuffix(n.Name+"-"+path, "-")
		}
	}
	from := c.root
	if path != "" {
		if from = find(c.root, path); from == nil || from.Kind != yaml.MappingNode {
			return nil, nil
		}
	}
	v := find(from, flag.Name)
	switch {
	case v == nil, path == "" && v.Kind == yaml.MappingNode: // the settings of a command that has a flag's name
		return nil, nil
	case v.Kind == yaml.ScalarNode:
		return v.Value, nil
	case v.Kind == yaml.SequenceNode:
		var out []any
		for _, e := range v.Content {
			out = append(out, e.Value)
		}
		return out, nil
	}
	return nil, fmt.Errorf("settings file, line %d: %s must be a value or a list", v.Line, flag.Name)
}

func find(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}
