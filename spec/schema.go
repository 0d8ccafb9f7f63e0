package spec

import "strings"

// kind is a set of the forms a value may take.
type kind uint8

const (
	text kind = 1 << iota
	integer
	boolean
	list
	mapping
)

// object is a map of the pipeline file: which keys it has and which of them go together.
type object struct {
	name  string   // in the table
	place string   // in messages: "a block"
	keys  []key    // in the order of the manual
	oneOf []string // exactly one of these must be there
	anyOf []string // at least one of these must be there
	apart [][]string
	doc   string
}

// key is one row of the table: one key of one object.
type key struct {
	name     string
	kind     kind
	object   string // what a mapping, or each item of a list, is
	item     kind   // what each item of a list is; with object set it is a mapping
	required bool
	min, max int      // length of a text, items of a list, or value of an integer; max 0 is no bound
	enum     []string // allowed texts
	role     role
	later    string // "" when it can be run, else what to do instead
	doc      string
}

// role marks values with rules of their own.
type role int

const (
	plain     role = iota
	commands       // texts are shell commands, so templates in them are left alone
	condition      // a text is a condition
	template       // a text must be a template that yields the value
)

func (o *object) key(name string) *key {
	for i := range o.keys {
		if o.keys[i].name == name {
			return &o.keys[i]
		}
	}
	return nil
}

func (o *object) keyNames() []string {
	names := make([]string, len(o.keys))
	for i, k := range o.keys {
		names[i] = k.name
	}
	return names
}

// what describes the value a key takes, for messages and the manual.
func (k *key) what() string {
	switch {
	case len(k.enum) > 0:
		return "one of " + quoteAll(k.enum)
	case k.role == condition:
		return "a condition in text, or true or false"
	case k.role == template && k.kind&integer != 0:
		return "a whole number from " + span(k.min, k.max) + ", or a template"
	case k.role == template:
		return "a list of texts, or a template"
	case k.kind == list|mapping:
		return "a map or a list of maps"
	case k.kind == list && k.object != "":
		return "a list of maps"
	case k.kind == list:
		return "a list of texts"
	case k.kind == mapping:
		return "a map"
	case k.kind == integer && k.max == 0:
		return "a whole number"
	case k.kind == integer:
		return "a whole number from " + span(k.min, k.max)
	case k.kind == boolean:
		return "true or false"
	}
	return "text"
}

// objects holds the table by name.
var objects = func() map[string]*object {
	m := map[string]*object{}
	for i := range table {
		m[table[i].name] = &table[i]
	}
	return m
}()

// holders returns the keys under which an object may stand: every row of the table that leads to it.
func holders(name string) []holder {
	var out []holder
	for i := range table {
		for j := range table[i].keys {
			if k := &table[i].keys[j]; k.object == name {
				out = append(out, holder{&table[i], k})
			}
		}
	}
	return out
}

type holder struct {
	in  *object
	key *key
}

func quoteAll(ss []string) string {
	out := make([]string, len(ss))
	for i, s := range ss {
		out[i] = `"` + s + `"`
	}
	return joinOr(out)
}

// joinOr returns "a", "a or b", "a, b or c".
func joinOr(ss []string) string {
	if len(ss) < 2 {
		return strings.Join(ss, "")
	}
	return strings.Join(ss[:len(ss)-1], ", ") + " or " + ss[len(ss)-1]
}
