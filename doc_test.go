package signalbox_test

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"
)

var sentenceEnd = regexp.MustCompile(`[.:!?](\s|$)`)

// Every package says in two or three sentences what it is for.
func TestPackagesAreDocumented(t *testing.T) {
	docs := map[string]string{}
	for _, f := range goFiles(t) {
		docs[f.pkg] += ""
		if f.syntax.Doc != nil {
			docs[f.pkg] += f.syntax.Doc.Text()
		}
	}
	for pkg, doc := range docs {
		if n := len(sentenceEnd.FindAllString(doc, -1)); n < 2 {
			t.Errorf("package %s has a package comment of %d sentences (%q); write two or three that say what it is for, "+
				"because a reader decides from them whether to read on", pkg, n, strings.TrimSpace(doc))
		}
	}
}

const (
	longFile    = 600
	tooLongFile = 800
)

func TestFilesStayShort(t *testing.T) {
	for _, f := range goFiles(t) {
		switch {
		case f.lines > tooLongFile:
			t.Errorf("%s has %d lines, more than %d: split it by nouns, because files decay first where they are giant",
				f.path, f.lines, tooLongFile)
		case f.lines > longFile:
			t.Logf("%s has %d lines; about 400 is the aim", f.path, f.lines)
		}
	}
}

var testName = regexp.MustCompile("`(Test[A-Z][A-Za-z0-9_]*)(/[^`]*)?`")

// What the documents call a test is one.
func TestNamedTestsExist(t *testing.T) {
	tests := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	named := 0
	if err := walkTree(func(name string) error {
		if !strings.HasSuffix(name, ".md") {
			return nil
		}
		text, err := os.ReadFile(name)
		for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
			if named++; !tests[m[1]] {
				t.Errorf("%s names the test %s, which does not exist", name, m[1])
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if named < 100 {
		t.Errorf("only %d tests are named: the search is broken", named)
	}
}
