package signalbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestASecretValueShowsItselfNowhere(t *testing.T) {
	const text = "hunter2-hunter2"
	v := NewSecretValue(text)
	type outer struct {
		Exported   SecretValue
		unexported SecretValue
		list       []SecretValue
		byName     map[string]SecretValue
	}
	o := outer{v, v, []SecretValue{v}, map[string]SecretValue{"a": v}}
	s := &Secret{Name: "n", EnvVars: []SecretVar{{Name: "A", Value: v}}, Files: []SecretFile{{Path: "f", Content: v}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v", "%10v", "%T"} {
		for _, x := range []any{v, &v, o, &o, s, *s, []any{v}, error(Errorf(CodeInternal, "it is %v", v))} {
			args := []any{x}
			if verb == "%T %v" {
				args = []any{x, x}
			}
			got := fmt.Sprintf(verb, args...)
			if strings.Contains(got, text) || strings.Contains(got, fmt.Sprintf("%x", text)) || strings.Contains(got, fmt.Sprintf("%X", text)) {
				t.Errorf("%s of %T shows it: %s", verb, x, got)
			}
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s", v, v, v, v); got != "*** *** *** ***" {
		t.Errorf("got %q", got)
	}
	b, err := json.Marshal(map[string]any{"a": v, "b": s, "c": &v})
	if err != nil || strings.Contains(string(b), text) || !strings.Contains(string(b), `"a":"***"`) {
		t.Errorf("JSON: %s, %v", b, err)
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "value", v, "secret", s, "outer", o)
	}
	if strings.Contains(log.String(), text) {
		t.Errorf("a log shows it: %s", log.String())
	}
	if v.Reveal() != text || (SecretValue{}).Reveal() != "" {
		t.Error("the text is lost")
	}
}

func TestValidateSecret(t *testing.T) {
	with := func(fn func(*Secret)) *Secret {
		s := &Secret{Name: "n", Access: SecretAccess{Projects: ProjectsAll}}
		fn(s)
		return s
	}
	value := func(n int) SecretValue { return NewSecretValue(strings.Repeat("x", n)) }
	for _, c := range []struct {
		s    *Secret
		want string // "" is fine
	}{
		{with(func(s *Secret) { s.Name = "a-b_c.d@e:f 1%*'" }), ""},
		{with(func(s *Secret) { s.Name = "" }), "name can only include alpha-numeric characters, dashes, underscores and dots"},
		{with(func(s *Secret) { s.Name = "a/b" }), "name can only include alpha-numeric characters, dashes, underscores and dots"},
		{with(func(s *Secret) { s.Name = "ä" }), "name can only include alpha-numeric characters, dashes, underscores and dots"},
		{with(func(s *Secret) { s.Name = NewID() }), "name should not be in uuid format"},
		{with(func(s *Secret) { s.EnvVars = []SecretVar{{Name: "A", Value: value(MaxSecretSize)}} }), ""},
		{with(func(s *Secret) {
			s.EnvVars, s.Files = []SecretVar{{Name: "A", Value: value(MaxSecretSize)}}, []SecretFile{{Path: "f", Content: value(1)}}
		}), "content is too big"},
		{with(func(s *Secret) { s.EnvVars = []SecretVar{{Name: "A-B", Value: value(1)}} }), "is not a name"},
		{with(func(s *Secret) { s.EnvVars = []SecretVar{{Name: "A", Value: value(1)}, {Name: "A", Value: value(1)}} }), "twice"},
		{with(func(s *Secret) { s.EnvVars = []SecretVar{{Name: "A", Value: NewSecretValue("a\x00b")}} }), "zero byte"},
		{with(func(s *Secret) { s.Files = []SecretFile{{Path: "a/../b", Content: value(1)}} }), "leads upwards"},
		{with(func(s *Secret) { s.Files = []SecretFile{{Path: "", Content: value(1)}} }), "is not a path"},
		{with(func(s *Secret) { s.Access.Projects = "SOME" }), "projects_access"},
	} {
		err := c.s.Validate()
		if c.want == "" && err != nil || c.want != "" && (ErrorCode(err) != CodeInvalid || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.s.Name, err, c.want)
		}
	}
}

func TestSecretPermits(t *testing.T) {
	for _, c := range []struct {
		s    Secret
		want bool
	}{
		{Secret{ProjectID: "p"}, true},
		{Secret{ProjectID: "q", Access: SecretAccess{Projects: ProjectsAll}}, false},
		{Secret{Access: SecretAccess{Projects: ProjectsAll}}, true},
		{Secret{Access: SecretAccess{Projects: ProjectsNone, ProjectIDs: []string{"p"}}}, false},
		{Secret{Access: SecretAccess{Projects: ProjectsAllowed, ProjectIDs: []string{"q", "p"}}}, true},
		{Secret{Access: SecretAccess{Projects: ProjectsAllowed, ProjectIDs: []string{"q"}}}, false},
		{Secret{}, false},
	} {
		if got := c.s.Permits("p"); got != c.want {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
}
