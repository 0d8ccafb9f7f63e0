package download

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
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
	return i.fetch() + " && " + i.Start()
}

// Start is the last part of Unix, for machines that have the program and the certificate.
func (i Install) Start() string {
	endpoint, flags := i.endpoint()
	return "SEMAPHORE_AGENT_TOKEN=" + i.Token + " ./signalbox agent start --endpoint " + endpoint + flags + i.caFlag()
}

// Service is the line that makes a service of the agent, on Linux and macOS, which a user of that name runs.
func (i Install) Service(user string) string {
	return i.fetch() + " && " + i.StartService(user)
}

// LinuxService is Service for Linux; it makes the user where there is none.
func (i Install) LinuxService(user string) string {
	return i.fetch() + " && (id " + user + " >/dev/null 2>&1 || sudo useradd --system --create-home --shell /bin/bash " + user + ") && " + i.StartService(user)
}

// StartService is the last part of Service. The token goes through standard input: sudo shows its command line.
func (i Install) StartService(user string) string {
	endpoint, flags := i.endpoint()
	return "echo " + i.Token + " | sudo ./signalbox agent install --endpoint " + endpoint + flags + i.caFlag() + " --user " + user + " --token-file -"
}

// Docker runs the agent in a container of an image that has git and curl. Everything else is fetched as Unix does it, by
// the machine, and handed in.
func (i Install) Docker() string {
	return i.fetch() + " && " + i.DockerStart()
}

// DockerStart is the last part of Docker.
func (i Install) DockerStart() string {
	endpoint, flags := i.endpoint()
	mount, network := " -v \"$PWD/signalbox:/usr/local/bin/signalbox:ro\"", ""
	if i.CA != nil {
		mount += " -v \"$PWD/" + caName + ":/etc/" + caName + ":ro\""
		flags += " --ca-file /etc/" + caName
	}
	if host, _, err := net.SplitHostPort(endpoint); err == nil && (host == "localhost" || host == "127.0.0.1" || host == "::1") {
		network = " --network host"
	}
	return "SEMAPHORE_AGENT_TOKEN=" + i.Token + " docker run --rm -it" + network + " -e SEMAPHORE_AGENT_TOKEN" + mount + " " + DockerImage +
		" signalbox agent start --endpoint " + endpoint + flags
}

// DockerImage is what Docker runs the agent in.
const DockerImage = "buildpack-deps:scm"

// Official is what the official agent needs beside its program: a file of settings and, where the server has an authority of
// its own, a file of certificates that holds it beside the system's.
func (i Install) Official() string {
	endpoint, _ := i.endpoint()
	text, start := i.FetchCA(), "agent start --config-file config.yaml"
	if text != "" {
		text += " && cat /etc/ssl/certs/ca-certificates.crt " + caName + " > trust.pem\n"
		start = "SSL_CERT_FILE=trust.pem " + start
	}
	text += "cat > config.yaml <<'EOF'\nendpoint: \"" + endpoint + "\"\ntoken: \"" + i.Token + "\"\n"
	if strings.HasPrefix(i.BaseURL, "http://") {
		text += "no-https: true\n"
	}
	return text + "EOF\n" + start
}

// FetchCA fetches the certificate of the server's authority and checks it, "" where the server has none.
func (i Install) FetchCA() string {
	if i.CA == nil {
		return ""
	}
	return "curl -fsSk -o " + caName + " " + i.BaseURL + CAPath + " && echo '" + i.caSum() + "  " + caName + "'" +
		" | $(command -v sha256sum || echo shasum -a 256) -c -"
}

// fetch gets the certificate, if there is one, and the program.
func (i Install) fetch() string {
	ca, fetch := i.FetchCA(), "curl -fsS"
	if ca != "" {
		ca += " && "
		fetch += " --cacert " + caName
	}
	return ca + fetch + " -o signalbox \"" + i.BaseURL + Base + "$(uname -s)-$(uname -m)\" && chmod +x signalbox"
}

func (i Install) caFlag() string {
	if i.CA == nil {
		return ""
	}
	return " --ca-file " + caName
}

// Windows is the line for PowerShell. curl.exe is part of Windows; --ssl-no-revoke because an authority that is made
// here has no list of revoked certificates to ask for.
func (i Install) Windows() string {
	fetch := "curl.exe -fsS"
	if i.CA != nil {
		fetch += " --ssl-no-revoke --cacert " + caName
	}
	return "$ErrorActionPreference = 'Stop'; " + i.windowsCA() + "$arch = if ($env:PROCESSOR_ARCHITECTURE -eq 'ARM64') { 'arm64' } else { 'amd64' }; " +
		fetch + " -o signalbox.exe \"" + i.BaseURL + Base + "windows-$arch\"; if ($LASTEXITCODE) { throw 'the program could not be fetched' }; " +
		i.windowsRun()
}

// WindowsStart is Windows for a machine that has the program.
func (i Install) WindowsStart() string {
	return "$ErrorActionPreference = 'Stop'; " + i.windowsCA() + i.windowsRun()
}

func (i Install) windowsCA() string {
	if i.CA == nil {
		return ""
	}
	return "curl.exe -fsSk -o " + caName + " " + i.BaseURL + CAPath + "; if ((Get-FileHash " + caName + ").Hash -ne '" + strings.ToUpper(i.caSum()) +
		"') { throw 'this is not the certificate of the server' }; "
}

func (i Install) windowsRun() string {
	endpoint, flags := i.endpoint()
	return "$env:SEMAPHORE_AGENT_TOKEN = '" + i.Token + "'; .\\signalbox.exe agent start --endpoint " + endpoint + flags + i.caFlag()
}
