package setup

import (
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
)

// MinPassword is how many characters the first administrator's password has at least.
const MinPassword = 12

// Request is what the first administrator says. Organization and PublicURL may be empty.
type Request struct {
	Name, Email, Password   string
	Organization, PublicURL string
}

// Names of the fields, as forms, bodies and problems have them.
const (
	FieldName         = "name"
	FieldEmail        = "email"
	FieldPassword     = "password"
	FieldOrganization = "organization"
	FieldPublicURL    = "public_url"
)

// DefaultOrganization is the name of an organization that got none.
const DefaultOrganization = "My organization"

// Problems says what is wrong, by field. As an error it is CodeInvalid.
type Problems map[string]string

func (p Problems) Error() string {
	var out []string
	for _, field := range slices.Sorted(maps.Keys(p)) {
		out = append(out, field+": "+p[field])
	}
	return strings.Join(out, " ")
}

// Unwrap gives the problems the code that they have.
func (p Problems) Unwrap() error {
	return &signalbox.Error{Code: signalbox.CodeInvalid, Message: p.Error()}
}

// Checked returns the request as it is used, and what is wrong with it.
func (r Request) Checked() (Request, Problems) {
	p := Problems{}
	r.Name, r.Email = strings.TrimSpace(r.Name), strings.TrimSpace(r.Email)
	r.Organization, r.PublicURL = strings.TrimSpace(r.Organization), strings.TrimSpace(r.PublicURL)
	if r.Organization == "" {
		r.Organization = DefaultOrganization
	}
	switch {
	case r.Name == "":
		p[FieldName] = "Give the name that you will sign in with."
	case r.Name == signalbox.ServerUser:
		p[FieldName] = "That name is the server's own; choose another one."
	default:
		if problem := line(r.Name, 80); problem != "" {
			p[FieldName] = problem
		}
	}
	if a, err := mail.ParseAddress(r.Email); r.Email == "" {
		p[FieldEmail] = "Give your e-mail address."
	} else if err != nil || a.Address != r.Email || len(r.Email) > 254 {
		p[FieldEmail] = "That is not an e-mail address; it looks like ana@example.com."
	}
	switch n := utf8.RuneCountInString(r.Password); {
	case n < MinPassword:
		p[FieldPassword] = fmt.Sprintf("The password has %d characters; it needs at least %d.", n, MinPassword)
	case len(r.Password) > auth.MaxPassword:
		p[FieldPassword] = fmt.Sprintf("The password is too long; at most %d bytes are used.", auth.MaxPassword)
	case strings.EqualFold(r.Password, r.Name), strings.EqualFold(r.Password, r.Email):
		p[FieldPassword] = "The password must be another word than your name or address."
	}
	if problem := line(r.Organization, 100); problem != "" {
		p[FieldOrganization] = problem
	}
	var problem string
	if r.PublicURL, problem = publicURL(r.PublicURL); problem != "" {
		p[FieldPublicURL] = problem
	}
	return r, p
}

// line checks a text of one line.
func line(text string, most int) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "It holds characters that cannot be shown; leave them out."
	}
	if n := utf8.RuneCountInString(text); n > most {
		return fmt.Sprintf("It has %d characters; at most %d are possible.", n, most)
	}
	return ""
}

// publicURL returns an address without what does not belong to it, or what is wrong with it.
func publicURL(text string) (address, problem string) {
	if text == "" {
		return "", ""
	}
	const like = "It must look like https://ci.example.com"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || len(text) > 300:
		return text, like + "."
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return text, like + ", with nothing behind the name and port."
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), ""
}

// Loopback tells whether an address leads every machine to itself.
func Loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
