package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// Files in the data folder that the command line on the same host reads.
const (
	InfoFile       = "server.json"       // {"url", "public_url", "ca_file"}; there while the server runs
	LocalTokenFile = "local-admin.token" // an API token of an administrator, mode 0600
)

// oldAdmin is the administrator that earlier versions made at their first start; the token of such a data folder is theirs.
const oldAdmin = "admin"

// localToken makes sure that the token file holds an API token that works. Whoever can read the file can read the
// database beside it, so it gives nothing away.
func localToken(ctx context.Context, st *store.Store, dir string) error {
	path := filepath.Join(dir, LocalTokenFile)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	plain, hash := auth.NewToken(auth.TokenAPI)
	valid := false
	err = st.Write(ctx, func(tx *store.Tx) error {
		_, _, err := tx.UserByToken(auth.HashToken(strings.TrimSpace(string(old))))
		if valid = err == nil; valid || signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return err
		}
		owner, err := localUser(tx)
		if err != nil {
			return err
		}
		return tx.CreateAPIToken(&signalbox.APIToken{UserID: owner.ID, Name: "local command line"}, hash, "server")
	})
	if err != nil || valid {
		return err
	}
	return writeFile(path, plain+"\n")
}

// localUser is for whom the local command line acts: the server's own account, which nobody can sign in with, or in older
// data folders the administrator of the first start.
func localUser(tx *store.Tx) (*signalbox.User, error) {
	for _, name := range []string{signalbox.ServerUser, oldAdmin} {
		u, err := tx.UserByName(name)
		switch {
		case err == nil && u.Role == signalbox.RoleAdmin && u.DisabledAt.IsZero() && (u.Own() || name == oldAdmin):
			return u, nil
		case err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound:
			return nil, err
		}
	}
	u := &signalbox.User{Name: signalbox.ServerUser, Role: signalbox.RoleAdmin}
	return u, tx.CreateUser(u)
}

// writeFile replaces a file that only its owner may read.
func writeFile(path, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// organizationID returns the id that this installation gave itself at its first start.
func organizationID(ctx context.Context, st *store.Store) (string, error) {
	const name = "organization-id"
	b, err := st.Get(ctx, name)
	if err != nil {
		return "", err
	}
	if len(b) > 0 {
		return string(b), nil
	}
	if err := st.PutNew(ctx, name, []byte(signalbox.NewID())); err != nil {
		return "", fmt.Errorf("name the organization: %w", err)
	}
	b, err = st.Get(ctx, name)
	return string(b), err
}
