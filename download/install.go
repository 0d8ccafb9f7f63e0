package download

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Install is how a machine becomes an agent.
type Install struct {
	BaseURL string // of the server, as the machine reaches it
	CA      []byte // what CAPath answers, nil when the machine trusts the server's certificate already
	Token   string // registration token
}

// endpoint returns the server as agents want it, and the flag that goes with it.
func (i Install) endpoint() (endpoint, flag string) {
	if e, ok := strings.CutPrefix(i.BaseURL, "http://"); ok {
		return e, " --no-https"
	}
	return strings.TrimPrefix(i.BaseURL, "https://"), ""
}

func (i Install) caSum() string {
	sum := sha256.Sum256(i.CA)
	return hex.EncodeToString(sum[:])
}

const caName = "signalbox-ca.crt"

// Unix is the line for Linux, macOS and FreeBSD. Where the server has an authority of its own, its certificate is
// fetched first, from a server that nobody has checked yet; it counts only if it has the hash that the line names.
// The token goes through the environment, because everybody on the machine can read command lines.
func (i Install) Unix() string {
	endpoint, flags := i.endpoint()
	fetch, ca := "curl -fsS", ""
	if i.CA != nil {
		ca = "curl -fsSk -o " + caName + " " + i.BaseURL + CAPath + " && echo '" + i.caSum() + "  " + caName + "'" +
			" | $(command -v sha256sum || echo shasum -a 256) -c - && "
		fetch += " --cacert " + caName
		flags += " --ca-file " + caName
	}
	return ca + fetch + " -o signalbox \"" + i.BaseURL + Base + "$(uname -s)-$(uname -m)\" && chmod +x signalbox && " +
		"SEMAPHORE_AGENT_TOKEN=" + i.Token + " ./signalbox agent start --endpoint " + endpoint + flags
}

// Windows is the line for PowerShell. curl.exe is part of Windows; --ssl-no-revoke because an authority that is made
// here has no list of revoked certificates to ask for.
func (i Install) Windows() string {
	endpoint, flags := i.endpoint()
	fetch, ca := "curl.exe -fsS", ""
	if i.CA != nil {
		ca = "curl.exe -fsSk -o " + caName + " " + i.BaseURL + CAPath + "; if ((Get-FileHash " + caName + ").Hash -ne '" + strings.ToUpper(i.caSum()) +
			"') { throw 'this is not the certificate of the server' }; "
		fetch += " --ssl-no-revoke --cacert " + caName
		flags += " --ca-file " + caName
	}
	return "$ErrorActionPreference = 'Stop'; " + ca + "$arch = if ($env:PROCESSOR_ARCHITECTURE -eq 'ARM64') { 'arm64' } else { 'amd64' }; " +
		fetch + " -o signalbox.exe \"" + i.BaseURL + Base + "windows-$arch\"; if ($LASTEXITCODE) { throw 'the program could not be fetched' }; " +
		"$env:SEMAPHORE_AGENT_TOKEN = '" + i.Token + "'; .\\signalbox.exe agent start --endpoint " + endpoint + flags
}
