package server

import (
	"context"
	"crypto/rand"
	"encoding/base32"
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
	LocalTokenFile = "local-admin.token" // an API token of the administrator, mode 0600
)

const adminName = "admin"

// firstAdmin creates the administrator when there is nobody yet and returns the password, which is shown once and
// stored nowhere.
func firstAdmin(ctx context.Context, st *store.Store) (password string, err error) {
	var users []*signalbox.User
	if err := st.Read(ctx, func(tx *store.Tx) (err error) { users, err = tx.Users(); return err }); err != nil {
		return "", err
	}
	if len(users) > 0 {
		return "", nil
	}
	var b [15]byte
	_, _ = rand.Read(b[:])
	password = strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	hash, err := auth.HashPassword(ctx, password)
	if err != nil {
		return "", err
	}
	err = st.Write(ctx, func(tx *store.Tx) error {
		return tx.CreateUser(&signalbox.User{Name: adminName, Role: signalbox.RoleAdmin, PasswordHash: hash})
	})
	if signalbox.ErrorCode(err) == signalbox.CodeConflict {
		return "", nil // another server of the same database was faster and shows its password
	}
	return password, err
}

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
		admin, err := tx.UserByName(adminName)
		if err != nil {
			return err
		}
		return tx.CreateAPIToken(&signalbox.APIToken{UserID: admin.ID, Name: "local command line"}, hash, "server")
	})
	if err != nil || valid {
		return err
	}
	return writeFile(path, plain+"\n")
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
