// Package webauthn signs people in to package login with passkeys: keys that a
// device holds for one site, and uses only there and only when its owner agrees
// (WebAuthn level 3).
//
//	keys, err := webauthn.New(store, &webauthn.Options{Origins: []string{"https://login.example"}})
//	service, err := login.New(store, &login.Options{Passkeys: keys, Factor: keys, …})
//
// As login.Options.Passkeys they are enough to sign in: the device is one factor,
// and how it verifies its user, by a finger or a PIN, another. As
// login.Options.Factor they are asked for after the password of an account that
// has one. Either can be left out. The pages of login's handler have what browsers
// need for both, and for adding and removing passkeys; a front end of one's own
// calls the same endpoints, or the methods of login.Service.
//
// # What holds
//
// A challenge is random, works once, for five minutes, and only for the browser or
// the session that asked for it, for what it asked for it. The origin must be one of
// Options.Origins and the relying party the one that these have in common. A
// passkey is one account's: nobody else's answer, and no other key, signs it in.
// The device has to say that it verified its user where that replaces a password,
// and elsewhere if Options.VerifyUser says so.
//
// A device that counts its signatures and gives a number that isn't greater than
// the last may have been copied: it isn't let in, and Options.OnRegress hears of
// it. Passkeys that are kept in sync between devices don't count.
//
// # What is stored
//
// Public keys, what devices say of themselves, and pending challenges are records
// of login's store. None of it is secret. Attestation isn't asked for: any device
// will do.
//
// A [Keys] is safe for concurrent use, by any number of processes.
package webauthn
