package artifact

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
)

// objectBase has an underscore on purpose: without it the official client could take the URL itself for the address of
// an object store it knows, see named.
const objectBase = "/_store/v1/"

const (
	urlPurpose = "artifact-url"
	urlLife    = 6 * time.Hour
)

// grant is what a signed URL lets its bearer do.
type grant struct {
	method     string
	project    string
	path       string // the whole one: artifacts/...
	attempt    string
	expires    int64 // Unix seconds
	createOnly bool  // PUT must not replace
}

func (g grant) message() string {
	// No part can hold a line end, so no two grants have one text.
	return strings.Join([]string{
		"1", g.method, g.project, g.path, g.attempt, strconv.FormatInt(g.expires, 10), strconv.FormatBool(g.createOnly),
	}, "\n")
}

// sign returns the URL of a grant below base.
func (g grant) sign(keys *auth.Keyring, base string) string {
	var b strings.Builder
	b.WriteString(base)
	b.WriteString(objectBase)
	b.WriteString(g.project)
	for part := range strings.SplitSeq(g.path, "/") {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(part))
	}
	b.WriteString("?m=" + g.method + "&e=" + strconv.FormatInt(g.expires, 10) + "&a=" + g.attempt)
	if g.createOnly {
		b.WriteString("&n=1")
	}
	b.WriteString("&s=" + keys.Sign(urlPurpose, g.message()))
	return b.String()
}

// parseGrant checks the signature of a request's URL. Parameters that it does not know do not matter.
func parseGrant(keys *auth.Keyring, project, path string, q url.Values, now time.Time) (grant, error) {
	if q.Get("s") == "" {
		return grant{}, signalbox.Errorf(signalbox.CodeUnauthorized, "this URL is not signed")
	}
	g := grant{method: q.Get("m"), project: project, path: path, attempt: q.Get("a"), createOnly: q.Get("n") == "1"}
	var err error
	g.expires, err = strconv.ParseInt(q.Get("e"), 10, 64)
	if err != nil || !keys.Verify(urlPurpose, g.message(), q.Get("s")) {
		return grant{}, signalbox.Errorf(signalbox.CodeForbidden, "the signature of this URL is not right")
	}
	if now.Unix() >= g.expires {
		return grant{}, signalbox.Errorf(signalbox.CodeForbidden, "this URL has expired")
	}
	return g, nil
}

// allows tells whether a request may use the method with the grant.
func (g grant) allows(method string) bool {
	return method == g.method || method == http.MethodHead && g.method == http.MethodGet
}

// named makes the official client find the name of a file that it pulls. It reads names from URLs, and knows those of
// some object stores only: https://host/bucket/prefix/<path>? without a port, anywhere in the URL. So such a text is
// appended where no server sees it, in the fragment. Of its path the client cuts off as many bytes as the path has that
// it asked for; what is left of the file's own path must then be readable as it is.
func named(signed, asked, object string) string {
	const store = "https://o/b/p/"
	rest := strings.TrimPrefix(object, asked)
	text := store + strings.Repeat("f", len(asked)) + rest + "?"
	switch {
	case !strings.ContainsFunc(rest, needsEscape):
		return signed + "#" + text
	case !strings.ContainsAny(rest, " #?"):
		return signed + "&o=" + text // not encoded again by the client, unlike the fragment
	}
	return signed + "#" + store + strings.Repeat("f", len(asked)) + (&url.URL{Path: rest}).EscapedPath() + "?"
}

// needsEscape tells whether a character cannot stand in a fragment as it is.
func needsEscape(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~/!$&'()*+,;=:@", r))
}

// byName returns base with a host that the official client takes files from: of one that begins with 127.0.0.1 it
// would read the name of a file in another way.
func byName(base string) string {
	scheme, host, ok := strings.Cut(base, "://")
	if rest, is := strings.CutPrefix(host, "127.0.0.1"); ok && is && (rest == "" || rest[0] == ':') {
		return scheme + "://localhost" + rest
	}
	return base
}
