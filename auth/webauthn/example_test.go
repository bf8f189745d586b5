package webauthn_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
	"github.com/goswale/swale/auth/webauthn"
)

// A login service that takes passkeys, alone and after a password.
func Example() {
	store := memauth.New()
	keys, err := webauthn.New(store, &webauthn.Options{Origins: []string{"https://login.example"}, Name: "Example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	service, err := login.New(store, &login.Options{
		Issuer:        "https://login.example",
		Applications:  map[string]login.Application{"staff": {}},
		KeyEncryption: [][]byte{make([]byte, 32)}, // from the environment
		Passkeys:      keys,
		Factor:        keys,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = service.Handler(nil) // its pages offer passkeys now

	// What a page's script is given.
	options, err := keys.Challenge(context.Background(), "staff", "", "what the browser's cookie says")
	if err != nil {
		fmt.Println(err)
		return
	}
	var question struct {
		PublicKey struct{ RPID, UserVerification string }
	}
	fmt.Println(json.Unmarshal(options, &question), question.PublicKey.RPID, question.PublicKey.UserVerification)
	// Output: <nil> login.example required
}
