package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox/download"
)

// snippet is one thing to copy. Shown hides the middle of the token; Text is whole.
type snippet struct {
	Title, Hint, Head string
	Text, Shown       string
}

func newSnippet(title, hint, head, text, token string) snippet {
	return snippet{Title: title, Hint: hint, Head: head, Text: text, Shown: masked(text, token)}
}

func masked(text, token string) string {
	if len(token) < 8 {
		return text
	}
	return strings.ReplaceAll(text, token, strings.Repeat("•", 12)+token[len(token)-4:])
}

// installView is what one platform is told.
type installView struct {
	Key, Name string
	Snippets  []snippet
	Missing   string // why there is no one-line way
	Note      string
}

var platforms = []struct{ key, name string }{
	{"linux", "Linux"}, {"macos", "macOS"}, {"windows", "Windows"}, {"docker", "Docker"}, {"official", "Official agent"},
}

func isPlatform(key string) bool {
	return slices.ContainsFunc(platforms, func(p struct{ key, name string }) bool { return p.key == key })
}

// platformOf guesses from what a browser says of itself.
func platformOf(userAgent string) string {
	switch {
	case strings.Contains(userAgent, "Windows"):
		return "windows"
	case strings.Contains(userAgent, "Macintosh"), strings.Contains(userAgent, "iPhone"), strings.Contains(userAgent, "iPad"):
		return "macos"
	}
	return "linux"
}

// installLines are the lines for the platform that is asked for. Without a token there are none.
func (w *Web) installLines(r *http.Request, token string) installView {
	key := r.URL.Query().Get("platform")
	if !isPlatform(key) {
		key = platformOf(r.UserAgent())
	}
	var available []string
	if w.o.Builds != nil {
		available = w.o.Builds.Available()
	}
	return newInstallView(key, download.Install{BaseURL: w.o.PublicURL(r), CA: w.ca(), Token: token}, available)
}

// serviceUser is who runs the agent in the line that makes a service of it on Linux.
const serviceUser = "signalbox"

func newInstallView(key string, i download.Install, available []string) installView {
	v := installView{Key: key}
	for _, p := range platforms {
		if p.key == key {
			v.Name = p.name
		}
	}
	system := map[string]string{"linux": "linux", "macos": "darwin", "windows": "windows", "docker": "linux"}[key]
	var archs []string
	for _, a := range available {
		if arch, ok := strings.CutPrefix(a, system+"-"); ok && system != "" {
			archs = append(archs, map[string]string{"amd64": "x86_64", "arm64": "arm64"}[arch])
		}
	}
	add := func(title, hint, head, text string) {
		v.Snippets = append(v.Snippets, newSnippet(title, hint, head, text, i.Token))
	}
	if key == "official" {
		add("Settings and start", "In the folder of the official agent, on Linux. Everything else about it stays as it is.", "Shell", i.Official())
		return v
	}
	if len(archs) == 1 {
		v.Note = "This server has the program for " + v.Name + " on " + archs[0] + ". For other processors, build it with make dist and start the server with --dist."
	}
	const foreground = "Runs in the foreground, in an empty folder. Ctrl+C ends it."
	if len(archs) == 0 {
		v.Missing = "This server has no program for " + v.Name + " to hand out. In its source, make dist builds one; a server that is started with --dist hands it out, and this page then has one line. By hand:"
		program := "signalbox"
		if key == "windows" {
			program = "signalbox.exe"
		}
		v.Snippets = append(v.Snippets, snippet{Title: "1. Build the program", Hint: "In the source of Signalbox. Copy dist/signalbox-" + system + "-… to the machine as " + program + ".", Head: "Shell", Text: "make dist", Shown: "make dist"})
		if ca := i.FetchCA(); ca != "" && key != "windows" {
			add("2. Fetch the server's certificate", "On the machine, beside the program.", "Shell", ca)
		}
		switch key {
		case "windows":
			add("2. Start it", foreground, "PowerShell", i.WindowsStart())
		case "docker":
			add("3. Start it", foreground, "Shell", i.DockerStart())
		default:
			add("3. Start it", foreground, "Shell", i.Start())
		}
		return v
	}
	switch key {
	case "windows":
		add("Try it in PowerShell", foreground, "PowerShell", i.Windows())
	case "docker":
		add("Run it in a container", "Of the image "+download.DockerImage+", which has git and curl. Ctrl+C ends it.", "Shell", i.Docker())
	default:
		add("Try it in a terminal", foreground, "Shell", i.Unix())
		const title, head = "Or install it as a service", "Shell, with sudo"
		if key == "macos" {
			add(title, "Makes a launch daemon that runs as you. Put another user's name in if jobs are not to see your files.", head, i.Service(`"$(id -un)"`))
		} else {
			add(title, "Makes a systemd unit that runs as the user "+serviceUser+", and the user, where there is none.", head, i.LinuxService(serviceUser))
		}
	}
	return v
}
