package scene

import "strings"

// Hostile is put wherever a person or a program can put text.
var Hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egnp.exe\u2066\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07" +
	"\x1b]1337;File=inline=1:aGk=\x07\x1b]1338;url='https://evil.example/x.png';alt=x\x07{{.}}</textarea></title>" + strings.Repeat("W", 10_000)
