package discovery

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrProof is wrapped by the errors of claims whose proof is missing or wrong.
var ErrProof = errors.New("the claim isn't proven")

// SignEd25519 returns an Options.Sign that signs with the key; keyID tells those
// who verify which key it was.
func SignEd25519(keyID string, key ed25519.PrivateKey) func(Claim) (string, error) {
	return func(c Claim) (string, error) {
		if len(key) != ed25519.PrivateKeySize || keyID == "" || strings.Contains(keyID, ":") {
			return "", errors.New("discovery: a signing key needs an id without ':' and 64 bytes")
		}
		return keyID + ":" + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, c.Bytes)), nil
	}
}

// VerifyEd25519 returns an Options.Verify. find returns the public key with the
// ID if it may make the claim, else false: whether a key speaks for
// Claim.Service, and whether it may mark other people's instances
// (Claim.Kind "marks"), is find's decision.
//
// A proof names the record, covers all of its statement, and counts for
// Options.ProofWindow: for so long somebody who can write to the store can bring
// back what an instance said.
func VerifyEd25519(find func(keyID string, c Claim) (ed25519.PublicKey, bool)) func(Claim, string) error {
	return func(c Claim, proof string) error {
		keyID, text, ok := strings.Cut(proof, ":")
		if !ok {
			return fmt.Errorf("%w: there is no proof", ErrProof)
		}
		key, ok := find(keyID, c)
		if !ok || len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: key %q may not speak for %s", ErrProof, keyID, c.Service)
		}
		signature, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || !ed25519.Verify(key, c.Bytes, signature) {
			return fmt.Errorf("%w: the signature of key %q is wrong", ErrProof, keyID)
		}
		return nil
	}
}

// inWindow refuses a proof that has ended, or that claims to count for longer
// than proofs do.
func (r *Registry) inWindow(until time.Time) error {
	switch left := time.Until(until); {
	case left < -proofSkew:
		return fmt.Errorf("%w: it counted until %s", ErrProof, until.UTC().Format(time.RFC3339))
	case left > r.opts.ProofWindow+proofSkew:
		return fmt.Errorf("%w: it would count until %s; proofs count for %v", ErrProof, until.UTC().Format(time.RFC3339), r.opts.ProofWindow)
	}
	return nil
}

// ended reports whether a proof that was believed isn't any more.
func ended(until, now time.Time) bool {
	return !until.IsZero() && now.Sub(until) > proofSkew
}

// watchProofs sees to it that what nobody proves any more is dropped when the
// first proof ends.
func (f *feed) watchProofs() {
	var first time.Time
	earlier := func(until time.Time) {
		if !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	for _, e := range f.instances {
		if e.instance != nil && !e.unconfirmed {
			earlier(e.until)
		}
	}
	for _, m := range f.marks {
		earlier(m.until)
	}
	if f.proofs != nil {
		f.proofs.Stop()
		f.proofs = nil
	}
	if first.IsZero() || f.closed {
		return
	}
	f.proofs = time.AfterFunc(max(time.Until(first)+proofSkew+time.Millisecond, time.Second), f.dropUnproven)
}

// dropUnproven drops what the store still has and nobody has proven anew: an
// instance that lives does. While the store is away nobody can, and all stay.
func (f *feed) dropUnproven() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.proofs == nil {
		return
	}
	if !f.view.Live {
		f.watchProofs()
		return
	}
	now, changed := time.Now(), false
	for key, e := range f.instances {
		if e.instance != nil && !e.unconfirmed && ended(e.until, now) {
			f.registry.invalid(key, fmt.Errorf("discovery: %s: not authorised: %w: it counted until %s", key, ErrProof, e.until.UTC().Format(time.RFC3339)))
			e.instance, changed = nil, true
		}
	}
	for key, m := range f.marks {
		if ended(m.until, now) {
			delete(f.marks, key)
			changed = true
		}
	}
	if changed {
		f.publish()
	} else {
		f.watchProofs()
	}
}
