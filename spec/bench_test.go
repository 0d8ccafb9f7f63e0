package spec

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkCompile measures a file of 100 blocks and 1,000 jobs from text to plan: at most 20 ms.
func BenchmarkCompile(b *testing.B) {
	var f strings.Builder
	f.WriteString("version: v1.0\nagent: {machine: {type: s1-linux}}\nglobal_job_config:\n  prologue: {commands: [checkout]}\nblocks:\n")
	for i := range 100 {
		fmt.Fprintf(&f, "  - name: Block %d\n    dependencies: []\n    run: {when: \"branch = 'main' or change_in('/lib/%d/')\"}\n    task:\n      jobs:\n", i, i)
		for j := range 10 {
			fmt.Fprintf(&f, "        - name: job %d\n          commands:\n            - make part-%d\n            - make test\n", j, j)
		}
	}
	data := []byte(f.String())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if res := Compile(data, Options{}, testBuild("testdata")); res.Plan == nil {
			b.Fatal(res.Problems.Error())
		}
	}
}
