package signalbox

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DeploymentTarget is a place that pipelines deploy to: who may promote to it, from which refs, and what is handed to the
// jobs of pipelines that were promoted through it. Names are unique among the targets of a project that are not deleted.
type DeploymentTarget struct {
	ID          string
	ProjectID   string
	Name        string
	Description string
	URL         string
	Bookmarks   [3]string // names of promotion parameters that the history can be searched by; "" is none
	Subjects    []SubjectRule
	Objects     []ObjectRule
	Cordoned    bool // nobody may promote to it for now
	SecretID    string
	Version     int // counts changes
	CreatedBy   string
	UpdatedBy   string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DeletedAt   time.Time
}

// DeploymentTargetState is how a target is shown.
type DeploymentTargetState string

const (
	TargetUsable   DeploymentTargetState = "USABLE"
	TargetCordoned DeploymentTargetState = "CORDONED"
)

// State tells whether a target can be promoted to at all.
func (t *DeploymentTarget) State() DeploymentTargetState {
	if t.Cordoned {
		return TargetCordoned
	}
	return TargetUsable
}

// TargetSecretName is what the secret of a target is called. Nobody can give a secret of their own such a name.
func TargetSecretName(targetID string) string { return "deployment-target/" + targetID }

// SubjectRule lets somebody promote to a target.
type SubjectRule struct {
	Type SubjectType `json:"type"`
	ID   string      `json:"id,omitempty"` // a user's id or a role, for the types that name one
}

// SubjectType is whom a rule is about.
type SubjectType string

const (
	SubjectAny   SubjectType = "ANY"  // everybody, and automatic promotions
	SubjectAuto  SubjectType = "AUTO" // automatic promotions
	SubjectUser  SubjectType = "USER"
	SubjectRole  SubjectType = "ROLE"
	SubjectGroup SubjectType = "GROUP" // accepted, and applies to nobody: there are no groups
)

// ObjectRule lets workflows of a ref be promoted to a target.
type ObjectRule struct {
	Type    ObjectType `json:"type"`
	Match   MatchMode  `json:"match"`
	Pattern string     `json:"pattern,omitempty"`
}

// ObjectType is what kind of ref a rule is about.
type ObjectType string

const (
	ObjectBranch ObjectType = "BRANCH"
	ObjectTag    ObjectType = "TAG"
	ObjectPR     ObjectType = "PR"
)

// MatchMode says how a pattern is compared with the name of a branch or tag, or the number of a pull request.
type MatchMode string

const (
	MatchAll   MatchMode = "ALL"
	MatchExact MatchMode = "EXACT"
	MatchRegex MatchMode = "REGEX" // anywhere in it, unless the pattern has anchors
)

// AnySubject and AnyObject are the rules of a target whose maker says nothing. A list that is empty lets nobody in.
func AnySubject() []SubjectRule { return []SubjectRule{{Type: SubjectAny}} }

func AnyObject() []ObjectRule {
	return []ObjectRule{{Type: ObjectBranch, Match: MatchAll}, {Type: ObjectTag, Match: MatchAll}, {Type: ObjectPR, Match: MatchAll}}
}

// Promoter is who asks a target to let a promotion through: a user, or the condition of an automatic promotion.
type Promoter struct {
	User *User
	Auto bool
}

// TargetRefusal is why a target lets a promotion not through; "" is that it does.
type TargetRefusal string

const (
	RefusedNotFound TargetRefusal = "deployment target not found"
	RefusedCordoned TargetRefusal = "deployment target is cordoned"
	RefusedSubject  TargetRefusal = "subject not allowed"
	RefusedObject   TargetRefusal = "object not allowed"
)

// Permit decides whether somebody may promote a workflow to a target.
func (t *DeploymentTarget) Permit(by Promoter, w *Workflow) TargetRefusal {
	switch {
	case t == nil || !t.DeletedAt.IsZero():
		return RefusedNotFound
	case !by.Auto && (by.User == nil || !by.User.DisabledAt.IsZero()):
		return RefusedSubject
	case t.Cordoned:
		return RefusedCordoned
	case !slices.ContainsFunc(t.Objects, func(r ObjectRule) bool { return r.applies(w) }):
		return RefusedObject
	case !slices.ContainsFunc(t.Subjects, func(r SubjectRule) bool { return r.applies(by) }):
		return RefusedSubject
	}
	return ""
}

func (r SubjectRule) applies(by Promoter) bool {
	switch r.Type {
	case SubjectAny:
		return true
	case SubjectAuto:
		return by.Auto
	case SubjectUser:
		return !by.Auto && r.ID == by.User.ID
	case SubjectRole:
		return !by.Auto && r.ID == string(by.User.Role)
	}
	return false
}

// ObjectTypeOf tells which rules are about a workflow, "" when none can be.
func ObjectTypeOf(w *Workflow) ObjectType {
	switch w.RefType {
	case "branch":
		return ObjectBranch
	case "tag":
		return ObjectTag
	case "pull-request":
		return ObjectPR
	}
	return ""
}

func (r ObjectRule) applies(w *Workflow) bool {
	if r.Type == "" || r.Type != ObjectTypeOf(w) {
		return false
	}
	switch r.Match {
	case MatchAll:
		return true
	case MatchExact:
		return r.Pattern == w.Label
	case MatchRegex:
		re, err := regexp.Compile(r.Pattern)
		return err == nil && re.MatchString(w.Label)
	}
	return false
}

var targetName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// maxTargetRules bounds each list of rules, maxTargetText each text.
const (
	maxTargetRules = 200
	maxTargetText  = 2000
)

// FieldProblem is what is wrong with one field of something that somebody filled in.
type FieldProblem struct {
	Field string
	Err   error
}

// Validate checks everything but whether the name is free and the users of rules exist.
func (t *DeploymentTarget) Validate() error {
	problems := t.Problems()
	if len(problems) == 0 {
		return nil
	}
	first := problems[0]
	kind, n, numbered := strings.Cut(first.Field, ".")
	if i, err := strconv.Atoi(n); err == nil && numbered && kind != "bookmarks" {
		return Errorf(CodeInvalid, "%s rule %d: %s", strings.TrimSuffix(kind, "s"), i+1, ErrorMessage(first.Err))
	}
	return first.Err
}

// Problems is all that Validate finds, by field: name, description, url, bookmarks.N, rules, subjects.N and objects.N with N from 0.
func (t *DeploymentTarget) Problems() (out []FieldProblem) {
	note := func(field string, err error) {
		if err != nil {
			out = append(out, FieldProblem{field, err})
		}
	}
	note("name", t.validateName())
	if len(t.Description) > maxTargetText {
		note("description", Errorf(CodeInvalid, "description is %d bytes long; at most %d are allowed", len(t.Description), maxTargetText))
	}
	if t.URL != "" {
		u, err := url.Parse(t.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || len(t.URL) > maxTargetText {
			note("url", Errorf(CodeInvalid, "url must be where people look at what was deployed, such as https://app.example.com, without a password"))
		}
	}
	for i, b := range t.Bookmarks {
		field := "bookmarks." + strconv.Itoa(i)
		switch {
		case len(b) > 255:
			note(field, Errorf(CodeInvalid, "bookmark_parameter%d is %d bytes long; at most 255 are allowed", i+1, len(b)))
		case b != "" && slices.Index(t.Bookmarks[:], b) < i:
			note(field, Errorf(CodeInvalid, "bookmark_parameter%d repeats the parameter %.60q", i+1, b))
		}
	}
	if len(t.Subjects) > maxTargetRules || len(t.Objects) > maxTargetRules {
		note("rules", Errorf(CodeInvalid, "at most %d subject rules and %d object rules are allowed", maxTargetRules, maxTargetRules))
		return out
	}
	for i, r := range t.Subjects {
		note("subjects."+strconv.Itoa(i), r.validate())
	}
	for i, r := range t.Objects {
		note("objects."+strconv.Itoa(i), r.validate())
	}
	return out
}

func (t *DeploymentTarget) validateName() error {
	switch {
	case t.Name == "":
		return Errorf(CodeInvalid, "a deployment target needs a name")
	case len(t.Name) > 255:
		return Errorf(CodeInvalid, "name is %d characters long; at most 255 are allowed", len(t.Name))
	case !targetName.MatchString(t.Name):
		return Errorf(CodeInvalid, "name %.60q must contain only alphanumericals, dashes, underscores or dots", t.Name)
	case IsID(t.Name):
		return Errorf(CodeInvalid, "name %s looks like an id; choose a name", t.Name)
	}
	return nil
}

func (r SubjectRule) validate() error {
	switch r.Type {
	case SubjectAny, SubjectAuto, SubjectGroup:
		return nil
	case SubjectUser, SubjectRole:
		if r.ID == "" {
			return Errorf(CodeInvalid, "a rule of type %s must say which %s", r.Type, strings.ToLower(string(r.Type)))
		}
		return nil
	}
	return Errorf(CodeInvalid, "type %.40q is not known; use ANY, USER, ROLE or AUTO", r.Type)
}

func (r ObjectRule) validate() error {
	switch r.Type {
	case ObjectBranch, ObjectTag, ObjectPR:
	default:
		return Errorf(CodeInvalid, "type %.40q is not known; use BRANCH, TAG or PR", r.Type)
	}
	switch {
	case r.Match == MatchAll:
		return nil
	case r.Match != MatchExact && r.Match != MatchRegex:
		return Errorf(CodeInvalid, "match_mode %.40q is not known; use ALL, EXACT or REGEX", r.Match)
	case r.Pattern == "":
		return Errorf(CodeInvalid, "a rule with match_mode %s needs a pattern", r.Match)
	case len(r.Pattern) > maxTargetText:
		return Errorf(CodeInvalid, "the pattern is %d bytes long; at most %d are allowed", len(r.Pattern), maxTargetText)
	case r.Match == MatchRegex:
		if _, err := regexp.Compile(r.Pattern); err != nil {
			return Errorf(CodeInvalid, "the pattern %.200q is no regular expression of RE2, which has no look-around and no back references: %v", r.Pattern, err)
		}
	}
	return nil
}
