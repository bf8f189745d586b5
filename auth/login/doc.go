// Package login is a login service: accounts, sessions and tokens, behind an
// http.Handler, over a store.
//
//	service, err := login.New(store, &login.Options{
//		Issuer:        "https://login.example",
//		Applications:  map[string]login.Application{"customers": {
//			Audiences: []string{"https://orders.example"},
//			Scopes:    map[string][]string{"": {"orders:read"}},
//		}},
//		KeyEncryption: [][]byte{key},
//		Publisher:     publisher, // announces on "sessions"
//	})
//	…
//	go service.Run(ctx)
//	http.Handle("/", service.Handler(nil))
//
// # Sessions and tokens
//
// Who logs in gets the secret of a session: 256 bits that mean nothing, stored
// as a hash, and valid until they are ended. It is shown to this service alone,
// which exchanges it for access tokens (RFC 8693): short-lived JWTs for one
// audience each, which services verify by themselves with package auth. A token
// says what was true of the account when it was issued; what changes is
// announced, and tokens from before are refused everywhere.
//
// Services prove who they are by a signed assertion (RFC 7523) and get tokens
// with scopes that they are granted, see [Service.SetGrants].
//
// # Guessing
//
// Passwords are hashed by argon2id, and a name that isn't there costs as much as
// a wrong password. Tries are counted by address, by account, and by both; a
// device that has logged in before has a count of its own, so that nobody can
// lock the owner of an account out.
//
// # Second factors and passkeys
//
// Options.Factor asks for a second factor, such as a code (auth/totp). With
// Options.Passkeys (auth/webauthn) people sign in with a key that their device
// holds, and need no password. Adding or removing one takes a session that was begun
// within the last 15 minutes.
//
// # Keys
//
// Keys rotate by themselves. A new one is published and announced before it
// signs, and stays published until the last token that it signed has expired,
// so rotation refuses nobody. Private keys are stored encrypted.
//
// # Stores
//
// A store keeps records and knows nothing of what they are, see package driver.
// memauth is for tests; sqlauth keeps them in SQLite or PostgreSQL and announces
// in the transaction of the change, by package outbox. With a store that
// doesn't, changes are announced by Options.Publisher after they are committed:
// a process that dies in between leaves it to the next one, whose new epoch
// makes verifiers distrust what they have.
//
// Everything here is safe for concurrent use.
package login
