package webauthn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// device is an authenticator and the browser in front of it, with all that an
// attacker could have either do.
type device struct {
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte
	count  uint32

	origin   string // that the browser says it is on
	rp       string // that the device signs for
	verified bool   // whether the device has verified its user
	present  bool
}

func newDevice(t *testing.T) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{key: key, id: make([]byte, 32), origin: origin, rp: rp, verified: true, present: true}
	_, _ = rand.Read(d.id) // never fails
	return d
}

// question is what the service has asked.
type question struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
		RPID      string `json:"rpId"`
		RP        struct{ ID string }
		User      struct{ ID, Name string }
		Verify    string `json:"userVerification"`
		Allow     []struct {
			ID string `json:"id"`
		} `json:"allowCredentials"`
		Exclude []struct {
			ID string `json:"id"`
		} `json:"excludeCredentials"`
		Selection struct {
			UserVerification string `json:"userVerification"`
		} `json:"authenticatorSelection"`
	} `json:"publicKey"`
}

func ask(t *testing.T, options json.RawMessage, err error) question {
	t.Helper()
	var q question
	if err == nil {
		err = json.Unmarshal(options, &q)
	}
	if err != nil {
		t.Fatal(err)
	}
	return q
}

var b64 = base64.RawURLEncoding.EncodeToString

func (d *device) client(kind, challenge string) []byte {
	text, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": d.origin, "crossOrigin": false})
	return text
}

func (d *device) data(attested []byte) []byte {
	sum := sha256.Sum256([]byte(d.rp))
	flags := byte(0)
	if d.present {
		flags |= 1
	}
	if d.verified {
		flags |= 4
	}
	if attested != nil {
		flags |= 0x40
	}
	out := append(sum[:], flags)
	out = binary.BigEndian.AppendUint32(out, d.count)
	return append(out, attested...)
}

// create makes a passkey.
func (d *device) create(t *testing.T, q question) []byte {
	t.Helper()
	var err error
	if d.handle, err = base64.RawURLEncoding.DecodeString(q.PublicKey.User.ID); err != nil {
		t.Fatal(err)
	}
	point, err := d.key.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	xy := point.Bytes()[1:]
	public, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: xy[:32], -3: xy[32:]})
	if err != nil {
		t.Fatal(err)
	}
	attested := append(make([]byte, 16), byte(len(d.id)>>8), byte(len(d.id)))
	attested = append(append(attested, d.id...), public...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": d.data(attested)})
	if err != nil {
		t.Fatal(err)
	}
	return d.answer(map[string]any{"clientDataJSON": b64(d.client("webauthn.create", q.PublicKey.Challenge)), "attestationObject": b64(object)})
}

// get signs a challenge.
func (d *device) get(t *testing.T, q question) []byte {
	t.Helper()
	d.count++
	client, data := d.client("webauthn.get", q.PublicKey.Challenge), d.data(nil)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(data, hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, d.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return d.answer(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(d.handle),
	})
}

func (d *device) answer(response map[string]any) []byte {
	text, _ := json.Marshal(map[string]any{
		"id": b64(d.id), "rawId": b64(d.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	return text
}
