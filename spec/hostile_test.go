package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// checkInvariants checks what holds for every file.
func checkInvariants(t *testing.T, data []byte, res *Result) {
	t.Helper()
	if (res.Plan != nil) == res.Problems.HasErrors() {
		t.Errorf("plan %v with problems\n%v", res.Plan, res.Problems.Error())
	}
	checkProblems(t, data, res)
}

func checkProblems(t *testing.T, data []byte, res *Result) {
	t.Helper()
	if len(res.Problems) > 2*maxProblems+2 {
		t.Errorf("%d problems", len(res.Problems))
	}
	var lines []string
	if utf8.Valid(data) {
		lines = strings.Split(breaks.Replace(strings.TrimPrefix(string(data), "\ufeff")), "\n")
	}
	for i, p := range res.Problems {
		if i > 0 && (p.Line < res.Problems[i-1].Line || p.Line == res.Problems[i-1].Line && p.Column < res.Problems[i-1].Column) {
			t.Errorf("not sorted: %v after %v", p, res.Problems[i-1])
		}
		if p.File == "" || p.Message == "" || !strings.HasPrefix(p.Path, "#") || p.Severity == "" {
			t.Errorf("incomplete: %#v", p)
		}
		if p.Line < 1 || p.Column < 1 || lines != nil && (p.Line > len(lines) || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1) {
			t.Errorf("outside of the file: %v", p)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/examples/*.yml", "testdata/examples/invalid/*.yml", "testdata/mistakes/*.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		res := Compile(data, Options{File: "fuzz.yml"}, testBuild("testdata"))
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("took %s", d)
		}
		checkInvariants(t, data, res)
	})
}

// patience is how long a hostile file may take: as long as 200 ordinary ones of 300 KB take on this machine now, which is 5 s
// where nothing else runs.
func patience() time.Duration {
	start := time.Now()
	Compile(generated(), Options{}, testBuild("testdata"))
	return max(5*time.Second, 200*time.Since(start))
}

// TestHostile gives Parse files that try to make it slow, large or deep.
func TestHostile(t *testing.T) {
	head := "version: v1.0\nagent: {machine: {type: a}}\n"
	block := "blocks: [{task: {jobs: [{commands: [x]}]}}]\n"
	long := strings.Repeat("x", 500_000)
	bomb := ".a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf(".a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10))
	}
	wide := ".c: &c [" + strings.Repeat("x,", 5000) + "]\n.j: &j {commands: *c}\n.t: &t {jobs: [" + strings.Repeat("*j,", 50) + "]}\n"
	merged := ".m0: &m0 {a: 1, b: 2}\n"
	for i := 1; i < 30; i++ {
		merged += fmt.Sprintf(".m%d: &m%d {<<: [*m%d, *m%d], k%d: 1}\n", i, i, i-1, i-1, i)
	}
	tests := []struct{ name, text, want string }{
		{"2 MiB", strings.Repeat("# x\n", 512<<10), "1 MiB"},
		{"alias bomb", head + bomb + "blocks: *a8\n", "must be a map"},
		{"alias bomb of jobs", head + wide + "blocks: [" + strings.Repeat("{task: *t},", 300) + "]\n", "200000 values or"},
		{"alias bomb of text", head + ".t: &t " + long + "\nblocks: [{task: {jobs: [{commands: [" + strings.Repeat("*t,", 5000) + "]}]}}]\n", "16 MiB of text"},
		{"plan bomb", head + "blocks: [{task: {prologue: {commands: [" + long + "]}, jobs: [" + strings.Repeat("{commands: [x]},", 50) + "]}}]\n", "16 MiB of commands"},
		{"merge bomb", head + merged + block + "queue: *m29\n", "values or"},
		{"deep flow", head + "name: " + strings.Repeat("[", 100_000), "100 levels"},
		{"deep block", head + "name:\n" + strings.Repeat("- ", 100_000), "100 levels"},
		{"many keys", head + block + manyKeys(60_000), "more errors"},
		{"many wrong items on one line", head + "blocks: [{task: {jobs: [{commands: [" + strings.Repeat("{a: 1},", 40_000) + "]}]}}]\n", "more errors"},
		{"long unknown key", head + block + long + ": 1\n", "is not a key"},
		{"many escapes", head + "name: \"" + strings.Repeat(`\d`, 400_000) + "\"\n" + block, "more warnings"},
		{"many dependencies", head + "blocks: [" + strings.Repeat("{dependencies: [aaa, bbb], task: {jobs: [{commands: [x]}]}},", 5000) + "]\n", "more errors"},
		{"ring of blocks", head + ring(3000), "wait for each other"},
		{"long condition", head + "blocks: [{run: {when: \"true" + strings.Repeat(" or true and true", 40_000) + "\"}, task: {jobs: [{commands: [x]}]}}]\n", "more warnings"},
		{"deep condition", head + "blocks: [{run: {when: \"" + strings.Repeat("(", 500_000) + "\"}, task: {jobs: [{commands: [x]}]}}]\n", "200 levels"},
		{"alias to itself", head + "blocks: &b [*b]\n", ""},
		{"all private characters", privateUse(), "escape"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limit := patience()
			start := time.Now()
			res := Compile([]byte(tt.text), Options{}, testBuild("testdata"))
			if d := time.Since(start); d > limit {
				t.Errorf("took %s, longer than %s", d, limit)
			}
			checkInvariants(t, []byte(tt.text), res)
			if all := res.Problems.Error(); !strings.Contains(all, tt.want) || len(res.Problems) == 0 {
				t.Errorf("no %q in %d problems, such as\n%.2000s", tt.want, len(res.Problems), all)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func ring(n int) string {
	var b strings.Builder
	b.WriteString("blocks:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {name: b%d, dependencies: [b%d], task: {jobs: [{commands: [x]}]}}\n", i, (i+1)%n)
	}
	return b.String()
}

func privateUse() string {
	var b strings.Builder
	b.WriteString("a: \"\\d")
	for r := rune(0xe000); r <= 0xf8ff; r++ {
		b.WriteRune(r)
	}
	return b.String() + "\"\n"
}

// generated returns a file of the size of the largest seen in use: about 300 KB, 164 blocks, 357 jobs.
func generated() []byte {
	var b strings.Builder
	b.WriteString("version: v1.0\nname: Generated\nagent:\n  machine:\n    type: s1-linux\nblocks:\n")
	jobs := 0
	for i := range 164 {
		fmt.Fprintf(&b, "  - name: Block %d\n    dependencies: [%s]\n    task:\n      prologue:\n        commands:\n          - checkout\n          - cd services/%d\n      jobs:\n",
			i, map[bool]string{true: fmt.Sprintf("Block %d", i/2)}[i > 0], i)
		n := 2
		if i < 29 {
			n = 3
		}
		for k := range n {
			jobs++
			fmt.Fprintf(&b, "        - name: Job %d\n          env_vars:\n            - name: PART\n              value: \"%d\"\n          commands:\n", k, k)
			for c := range 9 {
				fmt.Fprintf(&b, "            - make test-%d-%d FLAGS=\"--verbose --colour=always --retries=3\" # step %d\n", i, c, c)
			}
		}
	}
	return []byte(b.String())
}

func TestLargestFile(t *testing.T) {
	data := generated()
	res := Compile(data, Options{}, testBuild("testdata"))
	checkInvariants(t, data, res)
	if res.Plan == nil {
		t.Fatal(res.Problems.Error())
	}
	jobs := 0
	for _, b := range res.Plan.Blocks {
		jobs += len(b.Jobs)
	}
	if len(res.Plan.Blocks) != 164 || jobs != 357 || len(data) < 290_000 {
		t.Errorf("%d blocks, %d jobs, %d bytes", len(res.Plan.Blocks), jobs, len(data))
	}
}

func BenchmarkParse(b *testing.B) {
	data := generated()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		Compile(data, Options{}, testBuild("testdata"))
	}
}

// Limits below zero are told by themselves, and are not compared with others.
func TestNegativeLimits(t *testing.T) {
	for _, limits := range [][2]string{{"hours: -1", "1"}, {"hours: -1", "-2"}, {"hours: 1", "-1"}, {"minutes: -1", "-2"}} {
		text := "version: v1.0\nagent: {machine: {type: a}}\nexecution_time_limit: {" + limits[0] + "}\nblocks:\n" +
			"  - {execution_time_limit: {minutes: " + limits[1] + "}, task: {jobs: [{commands: [a], execution_time_limit: {hours: -3}}]}}\n"
		res := Parse([]byte(text), Options{})
		if !strings.Contains(res.Problems.Error(), "must be at least 1") {
			t.Errorf("%v: %v", limits, res.Problems)
		}
	}
}

func TestAnEmptyTextIsNoTemplate(t *testing.T) {
	text := "version: v1.0\nagent: {machine: {type: a}}\nblocks:\n  - task: {jobs: [{commands: [a], parallelism: ''}, {commands: [a], matrix: [{env_var: A, values: ''}]}]}\n"
	res := Parse([]byte(text), Options{})
	for _, want := range []string{`"parallelism" must be a whole number`, `"values" must be a list of texts`} {
		if !strings.Contains(res.Problems.Error(), want) {
			t.Errorf("%s is not said: %v", want, res.Problems)
		}
	}
}
