//go:build unix && pwsh

package executor

import (
	"bytes"
	"os/exec"
	"testing"
)

// The script, run by PowerShell itself: go test -tags pwsh ./agent/executor, where pwsh is installed.
func TestRealPowerShell(t *testing.T) {
	path, err := exec.LookPath("pwsh")
	if err != nil {
		t.Fatal(err)
	}
	p, o := newTestPowerShell(t)
	p.program = []string{path, "-NoProfile", "-NonInteractive", "-File"}
	for _, c := range []struct {
		text, out string
		code      int
	}{
		{"(Get-Location).Path", o.Workspace + "\n", 0},
		{"$env:A = 'x'; mkdir sub > $null; cd sub", "", 0},
		{"$env:A; (Get-Location).Path", "x\n" + o.Workspace + "/sub\n", 0},
		{"exit 3", "", 3},
		{"bash -c 'exit 4'", "", 4},
		{"'é'", "é\n", 0},
	} {
		var out bytes.Buffer
		if code, err := p.Run(t.Context(), c.text, func(b []byte) error { out.Write(b); return nil }); code != c.code || err != nil || out.String() != c.out {
			t.Errorf("%q: %d, %v, %q; want %d, %q", c.text, code, err, out.String(), c.code, c.out)
		}
	}
	if code, _ := p.Run(t.Context(), "throw 'x'", func([]byte) error { return nil }); code != 1 {
		t.Errorf("an error gives %d", code)
	}
}
