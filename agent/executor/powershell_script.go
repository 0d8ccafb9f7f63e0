package executor

import (
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// byteOrderMark makes Windows PowerShell read a script as UTF-8.
const byteOrderMark = "\uFEFF"

// stateEnd is the last record of a state file, which tells a whole one from a part.
const stateEnd = "signalbox-state-ends"

// powerShellScript is the script that runs text as one command: an error ends it with exit code 1, a program's exit
// code or `exit N` is that of the script, and however it ends, directory and environment are written to the file dump.
func powerShellScript(text, dump string) string {
	return byteOrderMark + `$ErrorActionPreference = 'Stop'
try { [Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false } catch { }
$global:LASTEXITCODE = 0
try {
` + text + `
} finally {
  $__signalbox = New-Object System.Text.StringBuilder
  [void]$__signalbox.Append((Get-Location -PSProvider FileSystem).ProviderPath).Append([char]0)
  foreach ($__entry in [Environment]::GetEnvironmentVariables('Process').GetEnumerator()) {
    [void]$__signalbox.Append($__entry.Key).Append('=').Append($__entry.Value).Append([char]0)
  }
  [void]$__signalbox.Append('` + stateEnd + `')
  [IO.File]::WriteAllText(` + powerShellQuote(dump) + `, $__signalbox.ToString(), (New-Object System.Text.UTF8Encoding $false))
}
exit $global:LASTEXITCODE
`
}

// powerShellQuote makes one literal of any text: nothing in it is expanded, neither $ nor a backtick. PowerShell takes
// four typographic characters for single quotes too.
func powerShellQuote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch r {
		case '\'', '\u2018', '\u2019', '\u201a', '\u201b':
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}

// parseState reads what a script has left: directory and environment.
func parseState(text string) (dir string, env []signalbox.EnvVar, ok bool) {
	records := strings.Split(strings.TrimPrefix(text, byteOrderMark), "\x00")
	last := len(records) - 1
	if last < 1 || records[last] != stateEnd || records[0] == "" {
		return "", nil, false
	}
	for _, r := range records[1:last] {
		if name, value, ok := cutVariable(r); ok {
			env = append(env, signalbox.EnvVar{Name: name, Value: value})
		}
	}
	return records[0], env, true
}

// cutVariable splits NAME=VALUE. Windows keeps the directory of each drive in names that begin with =, such as =C:.
func cutVariable(s string) (name, value string, ok bool) {
	if s == "" {
		return "", "", false
	}
	i := strings.IndexByte(s[1:], '=')
	if i < 0 {
		return "", "", false
	}
	return s[:i+1], s[i+2:], true
}
