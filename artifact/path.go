package artifact

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox"
)

const (
	maxPath    = 1024 // bytes of a whole path
	maxSegment = 255  // bytes between two slashes
)

// place is a path on the wire taken apart: artifacts/<scope>/<scopeID>/<path>.
type place struct {
	scope   signalbox.ArtifactScope
	scopeID string
	path    string
}

func (p place) String() string {
	return "artifacts/" + string(p.scope) + "/" + p.scopeID + "/" + p.path
}

// parsePath takes a path apart. What it lets through has exactly one spelling and means the same everywhere: no empty,
// "." or ".." part, no backslash, no control character.
func parsePath(s string) (place, error) {
	wrong := func(why string) (place, error) {
		return place{}, signalbox.Errorf(signalbox.CodeInvalid,
			"the path %.200q is not allowed: %s; it must be artifacts/{projects,workflows,jobs}/<id>/<name>", s, why)
	}
	if len(s) > maxPath {
		return wrong("it is longer than 1024 bytes")
	}
	parts := strings.SplitN(s, "/", 4)
	if len(parts) < 4 || parts[0] != "artifacts" {
		return wrong("it does not begin with artifacts, a scope and an id")
	}
	p := place{signalbox.ArtifactScope(parts[1]), parts[2], parts[3]}
	switch p.scope {
	case signalbox.ArtifactsOfJob, signalbox.ArtifactsOfWorkflow, signalbox.ArtifactsOfProject:
	default:
		return wrong("its scope is none of projects, workflows, jobs")
	}
	if !signalbox.IsID(p.scopeID) || p.scopeID != strings.ToLower(p.scopeID) {
		return wrong("its third part is not an id")
	}
	if !utf8.ValidString(p.path) {
		return wrong("it is not UTF-8")
	}
	if strings.ContainsFunc(p.path, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) {
		return wrong("it has a backslash or a control character")
	}
	for part := range strings.SplitSeq(p.path, "/") {
		switch {
		case part == "":
			return wrong("a name in it is empty")
		case part == "." || part == "..":
			return wrong("it has . or .. for a name")
		case len(part) > maxSegment:
			return wrong("a name in it is longer than 255 bytes")
		}
	}
	return p, nil
}

// parsePaths takes all paths of a request apart; they must belong to one job, workflow or project.
func parsePaths(paths []string) ([]place, error) {
	out := make([]place, len(paths))
	for i, s := range paths {
		p, err := parsePath(s)
		if err != nil {
			return nil, err
		}
		if i > 0 && (p.scope != out[0].scope || p.scopeID != out[0].scopeID) {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "the paths of one request must belong to one job, workflow or project, unlike %.200q and %.200q", paths[0], s)
		}
		out[i] = p
	}
	return out, nil
}
