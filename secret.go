package signalbox

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Secret is a named set of environment variables and files. Its name is unique among those of its scope, the
// organization or one project, that are not deleted.
type Secret struct {
	ID          string
	ProjectID   string // "" for one of the organization
	TargetID    string // the deployment target that it belongs to; such a one has the project's id too, and cannot be named
	Name        string
	Description string
	Version     int // of the content, from 1
	Access      SecretAccess
	EnvVars     []SecretVar  // without their values where only the secret was read
	Files       []SecretFile // the same
	CreatedAt   time.Time
	UpdatedAt   time.Time
	UsedAt      time.Time // when it was last handed to a job, give or take a minute
	DeletedAt   time.Time
}

// SecretAccess is what an organization's secret may be used for. Those of a project may be used for everything there.
type SecretAccess struct {
	Projects   ProjectsAccess
	ProjectIDs []string // with ProjectsAllowed
	NoDebug    bool     // no debug session of a job that has it
	NoAttach   bool     // nobody attaches to a job that has it
}

// ProjectsAccess says which projects may use an organization's secret.
type ProjectsAccess string

const (
	ProjectsAll     ProjectsAccess = "ALL"
	ProjectsAllowed ProjectsAccess = "ALLOWED"
	ProjectsNone    ProjectsAccess = "NONE"
)

// Permits tells whether a project may use a secret.
func (s *Secret) Permits(projectID string) bool {
	if s.TargetID != "" {
		return false
	}
	if s.ProjectID != "" {
		return s.ProjectID == projectID
	}
	return s.Access.Projects == ProjectsAll || s.Access.Projects == ProjectsAllowed && slices.Contains(s.Access.ProjectIDs, projectID)
}

// SecretVar is one environment variable of a secret. Keep is said by whoever changes one without knowing its value: the value that
// there is stays.
type SecretVar struct {
	Name  string
	Value SecretValue
	Keep  bool
}

// SecretFile is one file of a secret. Path is absolute or relative to the home directory.
type SecretFile struct {
	Path    string
	Content SecretValue
	Keep    bool
}

// SecretVersion is one content of a secret, encrypted. It never changes, but for the seal of its key.
type SecretVersion struct {
	SecretID string
	Version  int
	EnvVars  []string // names
	Files    []string // paths
	Key      []byte   // the data key, sealed by the master key
	Data     []byte   // the content, sealed by the data key
}

// SecretValue is text that must not be shown: whatever prints or encodes it writes ***. The pointer is what fmt shows of
// a value in an unexported field, where it calls no methods.
type SecretValue struct{ text *string }

// NewSecretValue hides a text.
func NewSecretValue(text string) SecretValue { return SecretValue{&text} }

// Reveal returns the text, for the few places that use it.
func (v SecretValue) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// Hidden is what stands in the place of a secret.
const Hidden = "***"

func (SecretValue) String() string               { return Hidden }
func (SecretValue) GoString() string             { return Hidden }
func (SecretValue) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(Hidden)) }
func (SecretValue) MarshalText() ([]byte, error) { return []byte(Hidden), nil }

// MaxSecretSize bounds the sum of a secret's values and file contents.
const MaxSecretSize = 6 << 20

var (
	secretName = regexp.MustCompile(`^[@: -._a-zA-Z0-9]+$`) // from space to dot is a range
	secretVar  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// ValidateSecretName refuses names that existing clients do not know or that look like an id.
func ValidateSecretName(name string) error {
	switch {
	case !secretName.MatchString(name):
		return Errorf(CodeInvalid, "name can only include alpha-numeric characters, dashes, underscores and dots")
	case IsID(name):
		return Errorf(CodeInvalid, "name should not be in uuid format")
	case len(name) > 255:
		return Errorf(CodeInvalid, "name is %d characters long; at most 255 are allowed", len(name))
	}
	return nil
}

// Validate checks everything but whether the name is free. No error quotes a value.
func (s *Secret) Validate() error {
	if s.TargetID == "" {
		if err := ValidateSecretName(s.Name); err != nil {
			return err
		}
	}
	if len(s.Description) > 1000 {
		return Errorf(CodeInvalid, "description is %d bytes long; at most 1000 are allowed", len(s.Description))
	}
	switch s.Access.Projects {
	case ProjectsAll, ProjectsAllowed, ProjectsNone:
	default:
		return Errorf(CodeInvalid, "projects_access %.40q is not known; use ALL, ALLOWED or NONE", s.Access.Projects)
	}
	if problems := s.ContentProblems(); len(problems) > 0 {
		return problems[0].Err
	}
	return nil
}

// ContentProblems is what is wrong with what a secret holds: env_vars.N, files.N with N from 0, or content. No error quotes a value.
func (s *Secret) ContentProblems() (out []FieldProblem) {
	note := func(kind string, i int, format string, args ...any) {
		out = append(out, FieldProblem{kind + "." + strconv.Itoa(i), Errorf(CodeInvalid, format, args...)})
	}
	size := 0
	names := map[string]bool{}
	for i, v := range s.EnvVars {
		switch {
		case !secretVar.MatchString(v.Name):
			note("env_vars", i, "%.100q is not a name for an environment variable: use letters, digits and _, not beginning with a digit", v.Name)
		case names[v.Name]:
			note("env_vars", i, "the environment variable %s is there twice", v.Name)
		case strings.ContainsRune(v.Value.Reveal(), 0):
			note("env_vars", i, "the value of %s holds a zero byte, which no environment variable can", v.Name)
		}
		names[v.Name] = true
		size += len(v.Value.Reveal())
	}
	paths := map[string]bool{}
	for i, f := range s.Files {
		switch {
		case f.Path == "" || len(f.Path) > 4096 || strings.ContainsRune(f.Path, 0) || strings.HasSuffix(f.Path, "/"):
			note("files", i, "%.100q is not a path for a file", f.Path)
		case slices.Contains(strings.Split(f.Path, "/"), ".."):
			note("files", i, "the path %.100q leads upwards; write it from the home directory on, or absolute", f.Path)
		case paths[f.Path]:
			note("files", i, "the file %s is there twice", f.Path)
		}
		paths[f.Path] = true
		size += len(f.Content.Reveal())
	}
	if size > MaxSecretSize {
		out = append(out, FieldProblem{"content", Errorf(CodeInvalid, "content is too big")})
	}
	return out
}
