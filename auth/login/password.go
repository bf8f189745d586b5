package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

// Hashing are the parameters of argon2id (RFC 9106). They are stored with each
// hash, and a password is hashed anew at the next login when they have changed.
type Hashing struct {
	MemoryKiB uint32 // default 19,456 (19 MiB)
	Passes    uint32 // default 2
	Lanes     uint8  // default 1
	// Parallel bounds the passwords that are hashed at a time, each of which
	// takes MemoryKiB and a core. Others wait. Default 4.
	Parallel int
}

func (h *Hashing) setDefaults() {
	if h.MemoryKiB == 0 {
		h.MemoryKiB = 19 << 10
	}
	if h.Passes == 0 {
		h.Passes = 2
	}
	if h.Lanes == 0 {
		h.Lanes = 1
	}
	if h.Parallel <= 0 {
		h.Parallel = 4
	}
}

// Bounds on the parameters of a stored hash: a row that somebody has planted
// must not take the process down.
const (
	maxMemoryKiB = 1 << 20
	maxPasses    = 64
	saltLength   = 16
	hashLength   = 32
)

// hasher hashes passwords, a few at a time.
type hasher struct {
	params Hashing
	slots  chan struct{}
	work   atomic.Int64 // how many were hashed
	// nobody is the hash that is compared when there is no account, so that
	// its absence takes as long to tell as a wrong password.
	nobody string
}

func newHasher(p Hashing) *hasher {
	p.setDefaults()
	h := &hasher{params: p, slots: make(chan struct{}, p.Parallel)}
	h.nobody = h.encode(make([]byte, saltLength), make([]byte, hashLength))
	return h
}

func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		h.work.Add(1)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hash returns a password's hash in the PHC string format.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer func() { <-h.slots }()
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	return h.encode(salt, argon2.IDKey([]byte(password), salt, h.params.Passes, h.params.MemoryKiB, h.params.Lanes, hashLength)), nil
}

func (h *hasher) encode(salt, sum []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.MemoryKiB, h.params.Passes, h.params.Lanes, b64(salt), b64(sum))
}

// verify reports whether a password has a hash, and whether the hash should be
// made anew with the parameters of today. An empty hash is nobody's, and takes
// as long.
func (h *hasher) verify(ctx context.Context, password, stored string) (ok, outdated bool, err error) {
	real := stored != ""
	if !real {
		stored = h.nobody
	}
	params, salt, want, err := parseHash(stored)
	if err != nil {
		return false, false, err
	}
	if err := h.enter(ctx); err != nil {
		return false, false, err
	}
	defer func() { <-h.slots }()
	got := argon2.IDKey([]byte(password), salt, params.Passes, params.MemoryKiB, params.Lanes, uint32(len(want)))
	ok = subtle.ConstantTimeCompare(got, want) == 1 && real
	now := h.params
	outdated = params.MemoryKiB != now.MemoryKiB || params.Passes != now.Passes || params.Lanes != now.Lanes || len(want) != hashLength
	return ok, outdated, nil
}

var errHash = errors.New("login: the stored hash is malformed")

func parseHash(s string) (p Hashing, salt, sum []byte, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, nil, nil, errHash
	}
	version := 0
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, nil, nil, fmt.Errorf("%w: version %q", errHash, parts[2])
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.MemoryKiB, &p.Passes, &p.Lanes); err != nil {
		return p, nil, nil, fmt.Errorf("%w: parameters %q", errHash, parts[3])
	}
	if p.MemoryKiB == 0 || p.MemoryKiB > maxMemoryKiB || p.Passes == 0 || p.Passes > maxPasses || p.Lanes == 0 {
		return p, nil, nil, fmt.Errorf("%w: parameters %q are out of bounds", errHash, parts[3])
	}
	salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return p, nil, nil, fmt.Errorf("%w: salt", errHash)
	}
	sum, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(sum) < 16 || len(sum) > 64 {
		return p, nil, nil, fmt.Errorf("%w: hash", errHash)
	}
	return p, salt, sum, nil
}
