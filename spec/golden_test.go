package spec

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

var update = flag.Bool("update", false, "write the expected results instead of comparing with them")

// TestGolden compares everything Parse says about the files in testdata with the .want file beside each.
func TestGolden(t *testing.T) {
	var files []string
	for _, dir := range []string{"examples", "examples/invalid", "mistakes"} {
		found, err := filepath.Glob(filepath.Join("testdata", dir, "*.yml"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			res := Compile(data, Options{File: filepath.Base(file)}, testBuild(filepath.Dir(file)))
			checkInvariants(t, data, res)
			checkProblems(t, data, Parse(data, Options{File: filepath.Base(file)}))
			got := render(t, res)
			want := strings.TrimSuffix(file, ".yml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(expected), got); d != "" {
				t.Errorf("want -, got +:\n%s", d)
			}
		})
	}
}

// testBuild is a push to the default branch, of a repository whose .semaphore folder is dir and in which everything below
// /lib changed.
func testBuild(dir string) Build {
	return Build{
		Branch: "main", DefaultBranch: "main", Parameters: map[string]string{"ENVIRONMENT": "staging", "REGIONS": "eu,us", "SHARDS": "2"},
		File: func(path string) ([]byte, error) {
			data, err := os.ReadFile(filepath.Join(dir, strings.TrimPrefix(path, ".semaphore/")))
			if err != nil {
				return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no file %s", path)
			}
			return data, nil
		},
		Call: func(c *when.Call, promotion bool) (bool, string, error) {
			return strings.Contains(when.Render(c), "/lib"), "the test says so", nil
		},
	}
}

func render(t *testing.T, res *Result) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\n", res.Name)
	for _, p := range res.Problems {
		fmt.Fprintf(&b, "%s\n\t%s %s\n", p, p.Severity, p.Path)
		if p.Code != "" {
			fmt.Fprintf(&b, "\t%s\n", strings.ReplaceAll(p.Code, "\n", `\n`))
		}
	}
	if res.Plan != nil {
		plan, err := json.MarshalIndent(res.Plan, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(plan, '\n'))
	}
	return b.String()
}

// TestCompatibleTexts pins the texts that existing clients look for, whatever else the golden files say.
func TestCompatibleTexts(t *testing.T) {
	tests := []struct {
		file         string
		line, column int
		code         string
	}{
		{"01-bad-version", 2, 10, "Version: 'v2.0' is not supported!"},
		{"02-missing-version", 2, 1, "Required property 'version' missing or not string"},
		{"03-unknown-keys-and-types", 6, 1, "Schema does not allow additional properties."},
		{"03-unknown-keys-and-types", 11, 18, "Type mismatch. Expected String but got Integer."},
		{"04-commands-and-file", 9, 11, "Expected exactly one of the schemata to match, but the schemata at the following indexes did: 0, 1."},
		{"05-skip-and-run", 9, 5, "Expected schema not to match but it did."},
		{"06-mixed-dependencies", 10, 5, "There are blocks with both explicitly and implicitly defined dependencies.\nThis is not allowed, please use only one of this formats.\n"},
		{"07-unknown-dependency", 11, 20, `{:unknown_block_name, "Bild"}`},
		{"08-dependency-cycle", 8, 19, "Circular dependency between blocks detected: 'A' → 'C' → 'B' → 'A'. Blocks cannot depend on each other in a cycle."},
		{"09-bad-when", 8, 39, "Invalid 'when' condition on path '#/blocks/0/run/when': Syntax error on line 1. - Invalid or incomplete expression at the end of the line."},
		{"10-result-outside-promotion", 8, 19, "Invalid 'when' condition on path '#/blocks/0/skip/when': Missing value of keyword parameter 'result'."},
		{"11-duplicate-names", 8, 57, `{:duplicate_names, [["j", "j"]]}`},
		{"11-duplicate-names", 9, 11, "There are at least two blocks with same name: A"},
		{"12-matrix-too-big", 12, 13, "Matrix product size exceeds maximum allowed size (100) in job matrix (block 'Big', job 'm'). The matrix product size is calculated as the product of the number of values for each environment variable."},
		{"13-job-longer-than-pipeline", 10, 11, "Job on path '#/blocks/0/task/jobs/0' has an execution_time_limit of 2 hours which is longer than execution_time_limit of a whole pipeline which is 1 hour. This would cause that job to stop when pipeline level time limit is reached."},
		{"14-matrix-and-parallelism", 10, 24, "Expected exactly one of the schemata to match, but none of them did."},
		{"14-matrix-and-parallelism", 11, 11, "Expected schema not to match but it did."},
		{"15-promotion-parameter", 15, 26, "Invalid parameter: 'NOTE' - it can either be optional or have default value."},
	}
	for _, tt := range tests {
		data, err := os.ReadFile(filepath.Join("testdata", "examples", "invalid", tt.file+".yml"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		res := Parse(data, Options{})
		for _, p := range res.Problems {
			found = found || p.Code == tt.code && p.Line == tt.line && p.Column == tt.column && p.Severity == SeverityError
		}
		if !found {
			t.Errorf("%s: no error at %d:%d with the code\n%s\nin\n%s", tt.file, tt.line, tt.column, tt.code, render(t, res))
		}
	}
}
