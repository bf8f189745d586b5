package kernel

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/sqlauth"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// SessionsTopic is where the login service announces changes.
const SessionsTopic = "sessions"

// openLogin puts accounts, sessions and their notices into one database: a
// change and what is announced of it are one transaction.
func (k *Kernel) openLogin(ctx context.Context, opts *Options, b *bus.Bus, log *slog.Logger) error {
	db, err := k.database(opts.Dir, "login.db")
	if err != nil {
		return err
	}
	announce, err := newAnnouncer(ctx, db, b, SessionsTopic, "/login", log.With("part", "login"))
	if err != nil {
		return err
	}
	k.announce = append(k.announce, announce)
	records, err := sqlauth.New(db, &sqlauth.Options{
		Announce: func(ctx context.Context, tx *sql.Tx, all []driver.Announcement) error {
			for _, a := range all {
				if err := announce.append(ctx, tx, resn.Event{Topic: SessionsTopic, Type: a.Type, Href: a.Href, ETag: a.ETag, Time: a.Time}); err != nil {
					return err
				}
			}
			return nil
		},
		Announced: announce.box.Wake,
	})
	if err != nil {
		return err
	}
	if err := records.Migrate(ctx); err != nil {
		return err
	}
	key, err := keyFile(filepath.Join(opts.Dir, "login.key"))
	if err != nil {
		return err
	}
	k.login, err = login.New(records, &login.Options{
		Issuer: k.LoginURL(), KeyEncryption: [][]byte{key}, Topic: SessionsTopic,
		Applications: map[string]login.Application{
			"customers": {Register: true, Audiences: []string{"*"}, Scopes: map[string][]string{"": {"orders:read", "orders:write"}}},
			"staff":     {Audiences: []string{"*"}, Scopes: map[string][]string{"admin": {"login:admin", "config:write", "discovery:bind"}}},
		},
		Logger: log.With("part", "login"),
	})
	return err
}

// keyFile returns the secret under which signing keys are stored. The first
// start makes it. Elsewhere it would come from the environment, so that a copy
// of the directory isn't enough to sign.
func keyFile(path string) ([]byte, error) {
	key, err := os.ReadFile(path) //nolint:gosec // the kernel's own file
	if err == nil && len(key) == 32 {
		return key, nil
	}
	if err == nil {
		return nil, fmt.Errorf("%s has %d bytes instead of 32: without the key that was there, stored signing keys can't be read; delete login.db too to begin anew", path, len(key))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key, os.WriteFile(path, key, 0o600)
}
