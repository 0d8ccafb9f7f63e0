package signalbox_test

import (
	"bytes"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

func TestLicense(t *testing.T) {
	text, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"} {
		if !bytes.Contains(text, []byte(part)) {
			t.Errorf("LICENSE lacks %q", part)
		}
	}
}

// The tree must not depend on the machine it was written on, nor on where packages are fetched from.
func TestNoMachineInTheTree(t *testing.T) {
	var needles [][]byte
	for _, s := range []string{
		"/work" + "/", "proxy.golang" + ".org", "sum.golang" + ".org", "registry.npmjs" + ".org",
		"pypi" + ".org", "pythonhosted" + ".org", "rubygems" + ".org", "static.crates" + ".io", "index.crates" + ".io",
	} {
		needles = append(needles, []byte(s))
	}
	err := walkTree(func(name string) error {
		text, err := os.ReadFile(name)
		if err != nil || bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 {
			return err
		}
		for _, needle := range needles {
			if i := bytes.Index(text, needle); i >= 0 {
				t.Errorf("%s:%d contains %q, which means nothing on another machine", name, 1+bytes.Count(text[:i], []byte("\n")), needle)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksInDocs(t *testing.T) {
	n := 0
	err := walkTree(func(name string) error {
		if !strings.HasSuffix(name, ".md") || strings.Contains("/"+name, "/testdata/") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range markdownLink.FindAllSubmatch(text, -1) {
			target, err := url.Parse(string(m[1]))
			if err != nil || target.Scheme != "" || target.Path == "" {
				continue
			}
			n++
			if _, err := os.Stat(path.Join(path.Dir(name), target.Path)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Error("no link found: the search is broken")
	}
}
