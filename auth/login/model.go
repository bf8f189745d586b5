package login

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"crypto/rand"

	"github.com/goswale/swale/auth/driver"
)

// Kinds of records.
const (
	kindAccount = "account"
	kindSession = "session"
	kindKey     = "key"
	kindClient  = "client"
	kindGrants  = "grants"
	kindCode    = "code"
	kindOnce    = "once" // what may be used once only: assertion ids
)

// account is what is stored of an account.
type account struct {
	App      string    `json:"app"`
	Subject  string    `json:"sub"`
	Name     string    `json:"name"`
	Hash     string    `json:"hash,omitempty"`
	Former   []string  `json:"former,omitempty"` // hashes, newest first
	Chosen   time.Time `json:"chosen"`           // when the password was
	Roles    []string  `json:"roles,omitempty"`
	Disabled bool      `json:"disabled,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	Created  time.Time `json:"created"`
	// Changed is when tokens that were issued before last ceased to be true.
	Changed time.Time `json:"changed,omitzero"`
	// Devices that have logged in, as hashes, newest last.
	Devices []string `json:"devices,omitempty"`

	version int64
}

// session is what is stored of a session. Its record's id is public; who has
// the secret finds it by the secret's hash.
type session struct {
	ID      string    `json:"id"`
	App     string    `json:"app"`
	Subject string    `json:"sub"`
	Device  string    `json:"device,omitempty"`
	Address string    `json:"address,omitempty"`
	Begun   time.Time `json:"begun"`
	Used    time.Time `json:"used"`
	Ends    time.Time `json:"ends"`
	Hash    string    `json:"hash"`

	version int64
}

func accountID(app, subject string) string { return app + "/" + subject }
func nameKey(app, name string) string      { return app + "/" + name }

func (a *account) op() driver.Op {
	return op(kindAccount, accountID(a.App, a.Subject), a.version, nameKey(a.App, a.Name), nil, time.Time{}, a)
}

func (s *session) op() driver.Op {
	return op(kindSession, s.ID, s.version, s.Hash, []string{accountID(s.App, s.Subject)}, s.Ends, s)
}

func op(kind, id string, version int64, unique string, keys []string, expires time.Time, v any) driver.Op {
	data, err := json.Marshal(v)
	if err != nil {
		data = []byte("null") // the types here can all be marshalled
	}
	return driver.Op{Record: driver.Record{Kind: kind, ID: id, Version: version, Unique: unique, Keys: keys, Expires: expires, Data: data}}
}

func decodeAccount(r driver.Record) (*account, error) {
	a := &account{version: r.Version}
	return a, unmarshal(r, a)
}

func decodeSession(r driver.Record) (*session, error) {
	s := &session{version: r.Version}
	return s, unmarshal(r, s)
}

func unmarshal(r driver.Record, v any) error {
	if err := json.Unmarshal(r.Data, v); err != nil {
		return fmt.Errorf("login: stored %s %q: %w", r.Kind, r.ID, err)
	}
	return nil
}

// secret returns a new secret of 256 bits, led in by what it is so that a
// scanner finds one that was committed somewhere, and its hash. A hash without
// salt or work will do: there is nothing to guess.
func secret(kind string) (text, hash string) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	text = kind + "_" + base64.RawURLEncoding.EncodeToString(b[:])
	return text, hashOf(text)
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// newID returns an id that tells nothing.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
