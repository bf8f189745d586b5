package auth

import (
	"sync/atomic"
	"time"
)

// State is what a verifier knows, and how it decides at the moment. Its
// counters only grow.
type State struct {
	// Live says that revocations are heard of: every one that was committed
	// longer than Staleness ago is in force here.
	Live bool
	// Mode says what that means: "revocations are in force", or "tokens live
	// for their lifetime, strict scopes are refused".
	Mode string
	// Reason says why the topic isn't live; empty if it is.
	Reason string
	// Staleness bounds how old a revocation can be that isn't in force yet;
	// [ClockTolerance] comes on top.
	Staleness time.Duration

	Remembered int // tokens that needn't be verified again

	Verified uint64 // tokens whose signature was checked and accepted
	Cached   uint64 // tokens that were accepted because they had been
	Refused  uint64 // tokens that were not valid
	Revoked  uint64 // tokens that were refused because of a notice
	Closed   uint64 // requests refused because revocations weren't heard of
}

type counts struct {
	verified, remembered, refused, revoked, closed atomic.Uint64
}

// State returns the state of the moment.
func (v *Verifier) State() State {
	s := State{
		Mode:       "tokens live for their lifetime, strict scopes are refused",
		Reason:     "not subscribed",
		Remembered: v.verified.len(),
		Verified:   v.counts.verified.Load(),
		Cached:     v.counts.remembered.Load(),
		Refused:    v.counts.refused.Load(),
		Revoked:    v.counts.revoked.Load(),
		Closed:     v.counts.closed.Load(),
	}
	for _, topic := range v.client.Topics() {
		if topic.Topic != v.opts.Topic {
			continue
		}
		s.Live, s.Reason, s.Staleness = topic.Live, topic.Reason, topic.Staleness
		if s.Live {
			s.Mode = "revocations are in force"
		}
	}
	return s
}
