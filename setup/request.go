package setup

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox"
)

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
	p.add(FieldName, CheckName(r.Name))
	p.add(FieldEmail, CheckEmail(r.Email))
	p.add(FieldPassword, CheckPassword(r.Password, r.Name, r.Email))
	p.add(FieldOrganization, CheckOrganization(r.Organization))
	var problem string
	r.PublicURL, problem = CheckPublicURL(r.PublicURL)
	p.add(FieldPublicURL, problem)
	return r, p
}

func (p Problems) add(field, problem string) {
	if problem != "" {
		p[field] = problem
	}
}

// CheckOrganization returns what is wrong with the name of an organization, "" when it is good.
func CheckOrganization(name string) string { return line(name, 100) }

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

// CheckPublicURL returns an address without what does not belong to it, or what is wrong with it.
func CheckPublicURL(text string) (address, problem string) {
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
