package journey

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signalbox-ci/signalbox/web/browse"
)

var program string // path of the built program

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "signalbox-journey-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "signalbox")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/signalbox-ci/signalbox/cmd/signalbox").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		os.Exit(1)
	}
	// The home of whoever runs the tests has settings of git and login files that may do anything.
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		panic(err)
	}
	os.Setenv("HOME", home)
	os.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// world is one server with an empty data folder, and a browser.
type world struct {
	*testing.T
	dir    string
	url    string // of the server
	server *process
	ctx    context.Context // of the browser
}

// newWorld starts a server with these flags and a browser that has never been there. names maps host names to this machine,
// for the browser alone.
func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	w.browse()
	if !slices.Contains(flags, "--listen") {
		flags = append(flags, "--listen", "127.0.0.1:0")
	}
	w.server = w.start(append([]string{"server", "--data", w.path("data")}, flags...)...)
	w.until("the server says where it is", func() bool {
		_, rest, ok := strings.Cut(w.server.out.String(), "Signalbox answers at ")
		w.url, _, _ = strings.Cut(rest, "\n")
		return ok && strings.Contains(rest, "\n") && w.healthy()
	})
	return w
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

func (w *world) healthy() bool {
	_, err := os.Stat(w.path("data", "server.json"))
	return err == nil
}

// newServer is newWorld with an administrator, and the browser signed in as them.
func newServer(t *testing.T, flags ...string) *world {
	t.Helper()
	w := newWorld(t, flags...)
	w.write("password", adminPassword+"\n")
	w.signalbox("admin", "setup", "--name", adminName, "--email", "ana@example.com", "--password-file", w.path("password"))
	w.open("/login")
	w.fill("#name", adminName)
	w.fill("#password", adminPassword)
	w.press("Sign in")
	w.shows("h1", "Home")
	return w
}

const (
	adminName     = "ana"
	adminPassword = "correct horse battery"
)

// setupAddress is where the server says that the first account is made.
func (w *world) setupAddress() string {
	w.Helper()
	address := ""
	w.until("the server prints where to set up", func() bool {
		_, rest, ok := strings.Cut(w.server.out.String(), "Make the first account here:\n  ")
		address, _, _ = strings.Cut(rest, "\n")
		return ok && strings.Contains(rest, "\n")
	})
	return address
}

// signalbox runs the program's command line on the server's machine and returns what it prints.
func (w *world) signalbox(args ...string) string {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), program, args...)
	cmd.Env = append(os.Environ(), "SIGNALBOX_DATA="+w.path("data"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("signalbox %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// git runs git in a folder of the world.
func (w *world) git(dir string, args ...string) string {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), "git", args...)
	cmd.Dir = w.path(dir)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.com", "GIT_COMMITTER_NAME=Ana", "GIT_COMMITTER_EMAIL=ana@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *world) write(name, text string) {
	w.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// repository makes a bare repository NAME.git with one commit of these files on main, and a clone of it in NAME.
func (w *world) repository(name string, files map[string]string) (bare string) {
	w.Helper()
	w.git(".", "init", "--quiet", "--bare", "--initial-branch=main", name+".git")
	w.git(".", "clone", "--quiet", name+".git", name)
	w.commit(name, "First", files)
	return w.path(name + ".git")
}

// commit pushes a commit of these files from a clone.
func (w *world) commit(name, message string, files map[string]string) {
	w.Helper()
	for file, text := range files {
		w.write(filepath.Join(name, file), text)
	}
	w.git(name, "add", "--all")
	w.git(name, "commit", "--quiet", "--message", message)
	w.git(name, "push", "--quiet", "origin", "HEAD:main")
}

// process is something that runs beside the test, in a group of its own.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs the program.
func (w *world) start(args ...string) *process {
	w.Helper()
	return w.run(exec.Command(program, args...))
}

// shell runs a line as somebody would who pastes it into a terminal, in an empty folder and with an empty home.
func (w *world) shell(line string) *process {
	w.Helper()
	dir := w.TempDir()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	return w.run(cmd)
}

func (w *world) run(cmd *exec.Cmd) *process {
	w.Helper()
	p := &process{cmd: cmd, out: &output{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	w.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
		if w.Failed() {
			w.Logf("%s:\n%.6000s", strings.Join(cmd.Args, " "), p.out.String())
		}
	})
	return p
}

// patience is how long something may take that a person waits for. Nothing here takes seconds on a machine that is free.
const patience = time.Minute

// until waits for something that no page shows.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("it never came to this: %s", what)
		}
	}
}

// browse starts a browser that has never been anywhere, or skips the test by name where none is installed.
func (w *world) browse() {
	w.Helper()
	w.ctx = browse.Start(w, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"))
}

// keys presses keys one after another, wherever the focus is.
func (w *world) keys(all ...string) {
	w.Helper()
	for _, k := range all {
		w.do(chromedp.WaitReady(".has-script"), chromedp.KeyEvent(k))
	}
}

// touch makes an empty file.
func (w *world) touch(path string) {
	w.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		w.Fatal(err)
	}
}

// do takes steps in the browser.
func (w *world) do(steps ...chromedp.Action[chromedp.Void]) {
	w.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.Fatalf("%v; the page is %s", err, w.page())
	}
}

// page is where the browser is and what it shows, for messages.
func (w *world) page() string {
	text, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// open goes to a path of the server, or to a whole address.
func (w *world) open(path string) {
	w.Helper()
	if !strings.Contains(path, "://") {
		path = w.url + path
	}
	w.do(chromedp.Navigate(path), chromedp.WaitReady("body"))
}

// fill puts a text into a field as somebody would who types it. A page that is made fresh meanwhile has another field: that one then.
func (w *world) fill(selector, text string) {
	w.Helper()
	field := fmt.Sprintf(`document.querySelector(%q)`, selector)
	w.do(chromedp.WaitVisible(selector))
	w.until(selector+" holds "+text, func() bool {
		_, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](`(`+field+`.value = "", true)`))
		if err != nil || chromedp.Do(w.ctx, chromedp.SendKeys(selector, text)) != nil {
			return false
		}
		holds, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](field+`.value`))
		return err == nil && holds == text
	})
}

// choose picks one of the options of a field.
func (w *world) choose(selector, value string) {
	w.Helper()
	w.in(selector, fmt.Sprintf(`(el) => { el.value = %q; el.dispatchEvent(new Event("change", {bubbles: true})); return el.value === %[1]q; }`, value))
}

// click clicks what a selector finds.
func (w *world) click(selector string) {
	w.Helper()
	w.in(selector, `(el) => { el.click(); return true; }`)
}

// in calls a function with the element that a selector finds, until it returns true.
func (w *world) in(selector, function string) {
	w.Helper()
	w.until("there is "+selector, func() bool {
		ok, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](fmt.Sprintf(
			`((el) => el !== null && el.checkVisibility() && (%s)(el))(document.querySelector(%q))`, function, selector)))
		return err == nil && ok
	})
}

// press clicks the button or link of the main part, or else of the page, that has this text, and waits for the page that follows when it
// leads to another one.
func (w *world) press(text string) {
	w.Helper()
	const find = `(t) => {
		const all = [...document.querySelectorAll("main button, main a, main summary, form button, header a")];
		const el = all.find((e) => e.textContent.trim() === t && e.checkVisibility()) ?? all.find((e) => e.textContent.trim().startsWith(t) && e.checkVisibility());
		if (!el) return false;
		el.click();
		return true;
	}`
	w.until("there is something to press that says "+text, func() bool {
		ok, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](fmt.Sprintf("(%s)(%q)", find, text)))
		return err == nil && ok
	})
}

// shows waits until an element has a text, without a reload by the test.
func (w *world) shows(selector, text string) {
	w.Helper()
	deadline := time.Now().Add(patience)
	for {
		found, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](fmt.Sprintf(
			`[...document.querySelectorAll(%q)].some((e) => e.textContent.replace(/\s+/g, " ").includes(%q))`, selector, text)))
		if err == nil && found {
			return
		}
		if time.Now().After(deadline) || w.ctx.Err() != nil {
			w.Fatalf("%s never said %q (%v); the page is %s", selector, text, err, w.page())
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// eval returns what an expression is in the page, or in the next one when this one is being left.
func eval[T any](w *world, expression string) T {
	w.Helper()
	v, err := chromedp.Run(w.ctx, chromedp.Evaluate[T](expression))
	for end := time.Now().Add(patience); err != nil && strings.Contains(err.Error(), "navigated or closed") && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		v, err = chromedp.Run(w.ctx, chromedp.Evaluate[T](expression))
	}
	if err != nil {
		w.Fatalf("%s: %v", expression, err)
	}
	return v
}

// fetch asks the server for something as the open page would, with its session, and returns the status and the text.
func (w *world) fetch(path string) string {
	w.Helper()
	text, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](
		fmt.Sprintf(`fetch(%q).then((r) => r.text().then((t) => r.status + " " + t))`, path), chromedp.EvalAwaitPromise))
	if err != nil {
		w.Fatalf("%s: %v", path, err)
	}
	return text
}

// stay remembers the page, so that left tells whether it was loaded again.
func (w *world) stay() { eval[bool](w, `window.stayed = true`) }

// stayed fails the test when the page was loaded again since stay.
func (w *world) stayed() {
	w.Helper()
	if !eval[bool](w, `window.stayed === true`) {
		w.Error("the page was loaded again")
	}
}

// picture runs the accessibility rules, takes pictures of the page at two widths in light and dark, where a folder for them is named, and checks in any case that
// nothing scrolls sideways.
func (w *world) picture(name string) {
	w.Helper()
	folder := os.Getenv("SIGNALBOX_TEST_PICTURES")
	// Words are there before the style sheet is.
	w.until("the page has loaded", func() bool {
		loaded, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](`document.readyState === "complete"`))
		return err == nil && loaded
	})
	for _, shot := range []struct {
		suffix string
		width  int64
		theme  string
	}{{"-320-dark", 320, "dark"}, {"-320", 320, "light"}, {"-dark", 1280, "dark"}, {"", 1280, "light"}} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
		if _, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, media); err != nil {
			w.Fatal(err)
		}
		w.do(chromedp.EmulateViewport(shot.width, 844))
		if wide := eval[int64](w, `document.documentElement.scrollWidth`); wide > shot.width {
			w.Errorf("%s at %d pixels is %d wide: it scrolls sideways", name, shot.width, wide)
		}
		browse.Axe(w, w.ctx, fmt.Sprintf("%s at %d pixels in the %s", name, shot.width, shot.theme))
		if folder == "" {
			continue
		}
		picture, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name+shot.suffix+".png"), picture, 0o644)
		}
		if err != nil {
			w.Fatal(err)
		}
	}
}

// connect starts an agent of a type in a terminal, with the line that its page has.
func (w *world) connect(typeName string) *process {
	w.Helper()
	w.open("/agents/self_hosted/" + typeName + "?connect=1&platform=linux")
	if eval[bool](w, `!document.querySelector("pre[data-text]")`) {
		w.press("Make a token")
		w.shows("pre", "signalbox agent start")
	}
	return w.shell(w.line("Try it in a terminal"))
}

// line is the whole text under a heading that the page's copy button takes.
func (w *world) line(title string) string {
	w.Helper()
	text := eval[string](w, fmt.Sprintf(`[...document.querySelectorAll("h3")].find((e) => e.textContent === %q)?.parentElement.querySelector("pre")?.dataset.text ?? ""`, title))
	if text == "" {
		w.Fatalf("there is nothing to copy under %q; the page is %s", title, w.page())
	}
	return text
}

// needs skips the test by name where a program is not installed.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("SIGNALBOX_TEST_REQUIRE") == "1" {
				t.Fatal(err)
			}
			t.Skipf("SKIPPED: %s is not installed, so nobody went this way", p)
		}
	}
}

// get is a request without a session.
func (w *world) get(path string) (status int, body string) {
	w.Helper()
	client := &http.Client{Transport: trusting(w), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	_, port, _ := strings.Cut(strings.TrimPrefix(w.url, "https://"), ":")
	resp, err := client.Get("https://127.0.0.1:" + port + path)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
