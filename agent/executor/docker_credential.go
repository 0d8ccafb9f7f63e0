//go:build unix

package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
)

// logIn tries every credential of the job at its registry. The first that is refused ends the job.
func (d *Docker) logIn(ctx context.Context, say Emit) error {
	for _, c := range d.opts.Credentials {
		l := login{credential: c, ctx: ctx, say: func(format string, args ...any) error {
			return say([]byte(c.hide(fmt.Sprintf(format, args...)) + "\n"))
		}}
		if err := d.logInWith(l); err != nil {
			return errors.New(c.hide(err.Error()))
		}
	}
	return nil
}

// login is one credential on its way to a registry.
type login struct {
	credential Credential
	ctx        context.Context // lives as long as one call
	say        func(format string, args ...any) error
}

func (d *Docker) logInWith(l login) error {
	strategies := map[string]func(login) (registry.AuthConfig, error){
		"DockerHub": login.dockerHub, "GenericDocker": login.generic, "AWS_ECR": login.ecr, "GCR": login.gcr,
	}
	kind := l.credential.Env["DOCKER_CREDENTIAL_TYPE"]
	strategy := strategies[kind]
	if strategy == nil {
		return sentence("Failed to resolve docker login strategy: DOCKER_CREDENTIAL_TYPE is %q; it must be DockerHub, GenericDocker, AWS_ECR or GCR.", kind)
	}
	auth, err := strategy(l)
	if err != nil {
		return err
	}
	if err := l.say("Logging in to %s as %s", registryOf(auth.ServerAddress), auth.Username); err != nil {
		return err
	}
	answer, err := d.engine.RegistryLogin(l.ctx, client.RegistryLoginOptions{Username: auth.Username, Password: auth.Password, ServerAddress: auth.ServerAddress})
	if err != nil {
		return sentence("The registry refuses the credential: %w", err)
	}
	if answer.Auth.IdentityToken != "" {
		auth.Password, auth.IdentityToken = "", answer.Auth.IdentityToken
	}
	d.auth[registryOf(auth.ServerAddress)] = auth
	return l.say("%s", answer.Auth.Status)
}

// need returns variables of the credential that must be there.
func (l login) need(names ...string) ([]string, error) {
	var values []string
	for _, n := range names {
		v := l.credential.Env[n]
		if v == "" {
			return nil, sentence("The image pull secret has no variable %s, which a credential of type %s needs.", n, l.credential.Env["DOCKER_CREDENTIAL_TYPE"])
		}
		values = append(values, v)
	}
	return values, nil
}

const dockerHub = "https://index.docker.io/v1/"

func (l login) dockerHub() (a registry.AuthConfig, err error) {
	if err := l.say("Setting up credentials for DockerHub"); err != nil {
		return a, err
	}
	v, err := l.need("DOCKERHUB_USERNAME", "DOCKERHUB_PASSWORD")
	if err != nil {
		return a, err
	}
	return registry.AuthConfig{Username: v[0], Password: v[1], ServerAddress: dockerHub}, nil
}

func (l login) generic() (a registry.AuthConfig, err error) {
	if err := l.say("Setting up credentials for Docker"); err != nil {
		return a, err
	}
	v, err := l.need("DOCKER_URL", "DOCKER_USERNAME", "DOCKER_PASSWORD")
	if err != nil {
		return a, err
	}
	return registry.AuthConfig{Username: v[1], Password: v[2], ServerAddress: serverOf(v[0])}, nil
}

// gcrKeyFile is where the official agent puts the key; here it never becomes a file.
const gcrKeyFile = "/tmp/gcr/keyfile.json"

func (l login) gcr() (a registry.AuthConfig, err error) {
	if err := l.say("Setting up credentials for GCR"); err != nil {
		return a, err
	}
	v, err := l.need("GCR_HOSTNAME")
	if err != nil {
		return a, err
	}
	for _, f := range l.credential.Files {
		if path.Clean(f.Path) == gcrKeyFile {
			return registry.AuthConfig{Username: "_json_key", Password: strings.TrimSpace(string(f.Content)), ServerAddress: serverOf(v[0])}, nil
		}
	}
	return a, sentence("The image pull secret has no file %s, which a credential of type GCR needs.", gcrKeyFile)
}

var awsVersion = regexp.MustCompile(`aws-cli/(\d+)\.`)

// ecr asks Amazon for a password that is good for twelve hours, by the aws program of this machine.
func (l login) ecr() (a registry.AuthConfig, err error) {
	if err := l.say("Setting up credentials for ECR"); err != nil {
		return a, err
	}
	v, err := l.need("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
	if err != nil {
		return a, err
	}
	region, account := v[0], l.credential.Env["AWS_ACCOUNT_ID"]
	said, stderr, err := l.aws("--version")
	if err != nil {
		return a, err
	}
	m := awsVersion.FindStringSubmatch(said + stderr)
	if m == nil {
		return a, sentence("The version of the aws program is not known; it says %q.", strings.TrimSpace(said+stderr))
	}
	if m[1] == "1" {
		return l.ecrOld(region, account)
	}
	if account == "" {
		if account, err = l.awsLogged("sts", "get-caller-identity", "--query", "Account", "--output", "text"); err != nil {
			return a, err
		}
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain += ".cn"
	}
	password, err := l.awsLogged("ecr", "get-login-password", "--region", region)
	return registry.AuthConfig{Username: "AWS", Password: password, ServerAddress: account + ".dkr.ecr." + region + "." + domain}, err
}

// ecrOld is for version 1 of the program, which prints a docker command.
func (l login) ecrOld(region, account string) (a registry.AuthConfig, err error) {
	args := []string{"ecr", "get-login", "--no-include-email", "--region", region}
	if account != "" {
		args = append(args, "--registry-ids", account)
	}
	said, err := l.awsLogged(args...)
	if err != nil {
		return a, err
	}
	words := strings.Fields(said)
	for i := 0; i+1 < len(words); i++ {
		switch words[i] {
		case "-u":
			a.Username = words[i+1]
		case "-p":
			a.Password = words[i+1]
		}
	}
	if len(words) > 0 {
		a.ServerAddress = serverOf(words[len(words)-1])
	}
	if a.Username == "" || a.Password == "" || len(words) < 3 {
		return a, sentence("The aws program did not print a docker login command.")
	}
	return a, nil
}

// awsLogged runs aws with its command line in the log and returns what it printed, which is a secret.
func (l login) awsLogged(args ...string) (string, error) {
	if err := l.say("aws %s", strings.Join(args, " ")); err != nil {
		return "", err
	}
	said, _, err := l.aws(args...)
	return strings.TrimSpace(said), err
}

// aws runs the aws program of this machine with the variables of the credential and little else.
func (l login) aws(args ...string) (stdout, stderr string, err error) {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for name, v := range l.credential.Env {
		if variableName.MatchString(name) && !strings.ContainsRune(v, 0) {
			env = append(env, name+"="+v)
		}
	}
	out, errs := &tail{max: 64 << 10}, &tail{max: 4000}
	cmd := hostCommand(l.ctx, env, "aws", args...)
	cmd.Stdout, cmd.Stderr = out, errs
	err = cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", "", sentence("The agent's machine has no aws program, which a credential of type AWS_ECR needs.")
	}
	if err != nil {
		err = fmt.Errorf("%s\naws ended with an error: %w", errs, err)
	}
	return out.String(), errs.String(), err
}

// hide replaces the secrets of a credential.
func (c Credential) hide(text string) string {
	for _, name := range []string{"DOCKERHUB_PASSWORD", "DOCKER_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		if v := c.Env[name]; len(v) > 3 {
			text = strings.ReplaceAll(text, v, "[hidden]")
		}
	}
	return text
}

// serverOf is a registry's address without scheme and path, but for Docker Hub, which has one of its own.
func serverOf(address string) string {
	host := address
	if _, rest, ok := strings.Cut(address, "://"); ok {
		host = rest
	}
	host, _, _ = strings.Cut(host, "/")
	if registryOf(host) == "docker.io" {
		return dockerHub
	}
	return host
}

// registryOf is the name that an image's name begins with.
func registryOf(server string) string {
	if _, rest, ok := strings.Cut(server, "://"); ok {
		server = rest
	}
	host, _, _ := strings.Cut(server, "/")
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com":
		return "docker.io"
	}
	return host
}

// authFor is what a pull from a registry shows: the job's credential, else what the agent's user is logged in with on this
// machine, by "docker login" or a credential helper.
func (d *Docker) authFor(domain string) registry.AuthConfig {
	if a, ok := d.auth[domain]; ok {
		return a
	}
	file, err := config.Load(config.Dir())
	if err != nil {
		d.log.Info("the docker client's settings of this machine cannot be read", "error", err)
		return registry.AuthConfig{}
	}
	key := domain
	if key == "docker.io" {
		key = dockerHub
	}
	a, err := file.GetAuthConfig(key)
	if err != nil {
		d.log.Info("this machine's login for a registry cannot be read", "registry", domain, "error", err)
		return registry.AuthConfig{}
	}
	return registry.AuthConfig{
		Username: a.Username, Password: a.Password, Auth: a.Auth, ServerAddress: a.ServerAddress,
		IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken,
	}
}
