package webauthn

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
)

const (
	kindPasskey   = "passkey"
	kindChallenge = "passkeychallenge"
)

// passkey is what is stored of one. Its record's id is the hash of the
// credential's, which may be longer than an id.
type passkey struct {
	App        string              `json:"app"`
	Subject    string              `json:"sub"`
	Label      string              `json:"label"`
	Added      time.Time           `json:"added"`
	Used       time.Time           `json:"used,omitzero"`
	Credential webauthn.Credential `json:"credential"`

	id      string
	version int64
}

func (p *passkey) public() login.Passkey {
	return login.Passkey{ID: p.id, Label: p.Label, Added: p.Added, Used: p.Used}
}

func idOf(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// owner is the key that the passkeys of an account are found by.
func owner(application, subject string) string { return application + "/" + subject }

// handle is what a device knows an account by. It tells nobody who that is.
func handle(application, subject string) []byte {
	sum := sha256.Sum256([]byte("swale passkey\x00" + owner(application, subject)))
	return sum[:]
}

// person is an account as the library sees it.
type person struct {
	handle []byte
	name   string
	keys   []*passkey
}

func (p *person) WebAuthnID() []byte          { return p.handle }
func (p *person) WebAuthnName() string        { return p.name }
func (p *person) WebAuthnDisplayName() string { return p.name }

func (p *person) WebAuthnCredentials() []webauthn.Credential {
	all := make([]webauthn.Credential, len(p.keys))
	for i, one := range p.keys {
		all[i] = one.Credential
	}
	return all
}

// person returns an account with its passkeys.
func (k *Keys) person(ctx context.Context, application, subject, name string) (*person, error) {
	keys, err := k.of(ctx, application, subject)
	return &person{handle(application, subject), name, keys}, err
}

// of returns the passkeys of an account, the oldest first.
func (k *Keys) of(ctx context.Context, application, subject string) ([]*passkey, error) {
	// One more than there may be: several processes may add at a time.
	found, err := k.store.Find(ctx, kindPasskey, owner(application, subject), "", 2*k.opts.MaxPasskeys, k.opts.Clock())
	if err != nil {
		return nil, fmt.Errorf("webauthn: %w", err)
	}
	var keys []*passkey
	for _, r := range found {
		one, err := decode(r)
		if err != nil {
			return nil, err
		}
		if one.App == application && one.Subject == subject {
			keys = append(keys, one)
		}
	}
	slices.SortStableFunc(keys, func(a, b *passkey) int { return a.Added.Compare(b.Added) })
	return keys, nil
}

// get returns the passkey with a record's id.
func (k *Keys) get(ctx context.Context, id string) (*passkey, error) {
	r, err := k.store.Get(ctx, kindPasskey, id, k.opts.Clock())
	if err != nil {
		return nil, fmt.Errorf("webauthn: %w", err)
	}
	return decode(r)
}

func decode(r driver.Record) (*passkey, error) {
	p := &passkey{id: r.ID, version: r.Version}
	if err := json.Unmarshal(r.Data, p); err != nil {
		return nil, fmt.Errorf("webauthn: stored passkey %q: %w", r.ID, err)
	}
	return p, nil
}

func (k *Keys) put(ctx context.Context, p *passkey) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("webauthn: %w", err)
	}
	r := driver.Record{Kind: kindPasskey, ID: p.id, Version: p.version, Keys: []string{owner(p.App, p.Subject)}, Data: data}
	return k.store.Write(ctx, []driver.Op{{Record: r}}, nil, k.opts.Clock())
}

// List implements [login.Passkeys].
func (k *Keys) List(ctx context.Context, application, subject string) ([]login.Passkey, error) {
	keys, err := k.of(ctx, application, subject)
	public := make([]login.Passkey, len(keys))
	for i, one := range keys {
		public[i] = one.public()
	}
	return public, err
}

// Remove implements [login.Passkeys].
func (k *Keys) Remove(ctx context.Context, application, subject, id string) error {
	for {
		one, err := k.get(ctx, id)
		if err != nil {
			return err
		}
		if one.App != application || one.Subject != subject {
			return fmt.Errorf("webauthn: %w: passkey %q", login.ErrNotFound, id)
		}
		op := driver.Op{Record: driver.Record{Kind: kindPasskey, ID: id, Version: one.version}, Delete: true}
		if err = k.store.Write(ctx, []driver.Op{op}, nil, k.opts.Clock()); !errors.Is(err, driver.ErrConflict) {
			return err
		}
	}
}
