package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// AdminCmd is `signalbox admin`.
type AdminCmd struct {
	Setup   AdminSetupCmd `cmd:"" help:"Make the first account of a server that nobody can sign in to yet."`
	Rekey   RekeyCmd      `cmd:"" help:"Make a new master key and seal everything with it, while the server works."`
	Backup  BackupCmd     `cmd:"" help:"Write everything that the server knows into one file, while it works."`
	Restore RestoreCmd    `cmd:"" help:"Make a server's data of such a file."`
	Verify  VerifyCmd     `cmd:"" help:"Check that the data of a server, or a backup, keeps what the system promises."`
}

// RekeyCmd is `signalbox admin rekey`.
type RekeyCmd struct {
	Prepare bool `help:"Only add the new key, so that the file can be copied to other servers first." env:"SIGNALBOX_REKEY_PREPARE"`
	Forget  bool `help:"Drop the older keys; refused as long as one is needed." env:"SIGNALBOX_REKEY_FORGET"`
}

// Help is what --help says beside the flags.
func (*RekeyCmd) Help() string {
	return `The keys are in master.key in the server's data folder. Run it without flags, and with --forget once no job runs that was
started before. Servers that share a database: --prepare, copy the file to each of them, then without flags.`
}

func (c *RekeyCmd) Run(ctx context.Context, g *Globals) error {
	if c.Prepare && c.Forget {
		return errors.New("--prepare and --forget are different steps; give one of them")
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	step := "rekey"
	switch {
	case c.Prepare:
		step = "prepare"
	case c.Forget:
		step = "forget"
	}
	var out struct {
		Keys   []string       `json:"keys"`
		Sealed map[string]int `json:"sealed"`
	}
	if err := api.call(ctx, http.MethodPost, "/api/v1alpha/master_key", map[string]string{"step": step}, &out); err != nil {
		return err
	}
	text := "A new master key is ready and not used yet. Copy master.key to the other servers, then run: signalbox admin rekey\n"
	switch {
	case c.Forget:
		text = "The older master keys are gone. Back the new master.key up, away from the database.\n"
	case !c.Prepare:
		text = fmt.Sprintf("Sealed with the new master key: %d versions of secrets, %d logs, %d other things.\n"+
			"Once no job runs that was started before, run: signalbox admin rekey --forget\n", out.Sealed["secret_versions"], out.Sealed["logs"], out.Sealed["others"])
	}
	return g.print(out, text)
}
