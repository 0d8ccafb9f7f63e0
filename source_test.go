package signalbox_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/signalbox-ci/signalbox"

// goFile is one parsed Go file of ours. All files are looked at, whatever system they are built for.
type goFile struct {
	path   string // with slashes, from the root: store/tx.go
	pkg    string // folder from the root, "." for the root package
	test   bool
	syntax *ast.File
	lines  int
}

func (f goFile) imports() []string {
	var list []string
	for _, spec := range f.syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// localName returns the name by which the file calls an imported package, "" when it does not import it.
func (f goFile) localName(importPath string) string {
	for _, spec := range f.syntax.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// uses returns the places where the file mentions importPath.name, for any of the names.
func (f goFile) uses(importPath string, names ...string) []token.Pos {
	local := f.localName(importPath)
	if local == "" {
		return nil
	}
	var found []token.Pos
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
			for _, name := range names {
				if sel.Sel.Name == name {
					found = append(found, sel.Pos())
				}
			}
		}
		return true
	})
	return found
}

var fileSet = token.NewFileSet()

// ours lists the packages of this module that a file imports, as folders from the root.
func (f goFile) ours() []string {
	var list []string
	for _, p := range f.imports() {
		if p == module {
			list = append(list, ".")
		} else if rest, ok := strings.CutPrefix(p, module+"/"); ok {
			list = append(list, rest)
		}
	}
	return list
}

var parseOnce = sync.OnceValues(func() ([]goFile, error) {
	var files []goFile
	err := walkTree(func(name string) error {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			return nil
		}
		syntax, err := parser.ParseFile(fileSet, filepath.FromSlash(name), nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, goFile{
			path: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			syntax: syntax, lines: fileSet.File(syntax.FileStart).LineCount(),
		})
		return nil
	})
	return files, err
})

func goFiles(t *testing.T) []goFile {
	t.Helper()
	files, err := parseOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files found: the search is broken", len(files))
	}
	return files
}

// walkTree calls fn with every file of the source tree, except what is built or belongs to git.
func walkTree(fn func(name string) error) error {
	return filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "bin", "data", "node_modules", "dist":
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return fn(filepath.ToSlash(name))
	})
}

// within tells whether pkg is one of the folders or lies below one.
func within(pkg string, folders ...string) bool {
	for _, f := range folders {
		if pkg == f || strings.HasPrefix(pkg, f+"/") {
			return true
		}
	}
	return false
}
