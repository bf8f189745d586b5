package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/resn"
)

const (
	defaultSkew     = 30 * time.Second
	maxSkew         = 5 * time.Minute
	defaultLifetime = time.Hour
	defaultTopic    = "sessions"
)

// VerifierOptions configures a [Verifier]. The zero value, and nil, are
// useful.
type VerifierOptions struct {
	// Strict lists the scopes, or patterns of them, that are refused while it
	// isn't known whether a token was revoked; see [Claims.Allows]. Default
	// none.
	Strict []string

	// Topic is where the issuer announces changes of sessions, accounts and
	// keys. Default "sessions".
	Topic string

	// Algorithms that are accepted. Default EdDSA and ES256; there are no
	// others.
	Algorithms []string

	// ClockSkew is how far the issuer's clock may be apart from ours. Default
	// 30 s, at most 5 min.
	ClockSkew time.Duration

	// MaxLifetime bounds how long a token may be valid; one that is valid for
	// longer is refused, since revocations are remembered only for so long.
	// Default 1 h.
	MaxLifetime time.Duration

	// MaxTokens bounds the verified tokens that are remembered, and the
	// revocations. When there are more tokens, some are verified again; when
	// there are more revocations, every token has to be renewed. Default
	// 10,000.
	MaxTokens int

	// OnRevoked is called when tokens are refused from now on because of a
	// notice: a handler that streams for longer than a request ends the
	// streams of those whom it concerns. The next notice waits for the call,
	// which must not block; it may call Verify.
	OnRevoked func(Revocation)

	// Transport carries requests to the issuer. Default that of
	// [resn.NewClient].
	Transport http.RoundTripper

	// Logger hears why a token was refused, and of lost notices. Tokens are
	// never logged. Default: nothing is logged.
	Logger *slog.Logger

	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// Verifier verifies access tokens of one issuer for one audience. It asks the
// issuer for its keys and for nothing else. Make one with [NewVerifier], and
// close it before the bus.
type Verifier struct {
	issuer, audience string
	opts             VerifierOptions
	metadataURL      string

	client *resn.Client
	http   *http.Client
	scope  *cache.Scope
	work   chan struct{} // closed when the subscription stands
	ended  chan struct{} // closed when nothing runs in the background any more
	stop   context.CancelFunc

	parsing  parsing
	metadata document[Metadata]
	keys     document[keySet]
	grants   document[Grants]
	asked    atomic.Int64 // when keys were last asked for because of an unknown id

	revoked  revocations
	verified tokens
	gap      gap
	renewed  atomic.Uint64 // how often keys may have changed
	counts   counts
}

// NewVerifier returns a Verifier for the tokens that an issuer issues for an
// audience: both are absolute URLs, and the audience is how the issuer calls
// this service. b is where changes are announced; with nil nothing is heard of
// revocation, tokens live for their lifetime and strict scopes are refused.
//
// It returns at once and subscribes in the background; see [Verifier.Ready].
func NewVerifier(b *bus.Bus, issuer, audience string, opts *VerifierOptions) (*Verifier, error) {
	v := &Verifier{issuer: issuer, audience: audience}
	if opts != nil {
		v.opts = *opts
	}
	if err := v.setDefaults(); err != nil {
		return nil, err
	}
	v.revoked = revocations{issuer: issuer, lifetime: v.opts.MaxLifetime, limit: v.opts.MaxTokens}
	v.verified.init(v.opts.MaxTokens)
	v.gap.again = make(chan struct{}, 1)
	v.parsing = newParsing(v.opts.Algorithms, tokenTypes)
	v.metadata.parse = parseMetadata(issuer)
	v.keys.parse = parseKeys
	v.grants.parse = ParseGrants
	client, err := resn.NewClient(b, &resn.ClientOptions{
		Transport: v.opts.Transport, Logger: v.opts.Logger,
		Cache: &cache.Options{MaxBytes: 8 << 20},
		Listener: &resn.ListenerOptions{
			OnNotice: v.notice,
			OnMissed: func(string, string) { v.gap.missed() },
		},
		AllowTopic: func(_, topic string) bool { return topic == v.opts.Topic },
	})
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	v.client = client
	v.http = &http.Client{Transport: client.HTTP().Transport, CheckRedirect: noRedirect, Timeout: 10 * time.Second}
	v.scope = client.Cache().Scope(v.opts.Topic)
	ctx, stop := context.WithCancel(context.Background())
	v.stop, v.work, v.ended = stop, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(v.ended)
		if v.subscribe(ctx, b != nil) {
			v.watch(ctx)
		}
	}()
	return v, nil
}

// notice takes in what the issuer announces. What isn't about a session or an
// account may be about keys: then tokens are verified anew.
func (v *Verifier) notice(e resn.Event) {
	ours, gone := v.revoked.take(e, v.opts.Clock())
	if !ours && e.Type != resn.Noop {
		v.renewed.Add(1)
	}
	if v.opts.OnRevoked == nil {
		return
	}
	for _, r := range gone {
		v.opts.OnRevoked(r)
	}
}

func (v *Verifier) setDefaults() error {
	var err error
	if v.metadataURL, err = metadataURL(v.issuer); err != nil {
		return err
	}
	if v.audience == "" {
		return errors.New("auth: the audience is missing: name the URL by which the issuer calls this service")
	}
	o := &v.opts
	if o.Topic == "" {
		o.Topic = defaultTopic
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{EdDSA, ES256}
	}
	for _, a := range o.Algorithms {
		if a != EdDSA && a != ES256 {
			return fmt.Errorf("auth: algorithm %q is not supported, use %s or %s", a, EdDSA, ES256)
		}
	}
	if o.ClockSkew <= 0 {
		o.ClockSkew = defaultSkew
	}
	if o.ClockSkew > maxSkew {
		return fmt.Errorf("auth: a clock skew of %s is more than %s", o.ClockSkew, maxSkew)
	}
	if o.MaxLifetime <= 0 {
		o.MaxLifetime = defaultLifetime
	}
	if o.MaxTokens <= 0 {
		o.MaxTokens = 10_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return nil
}

// subscribe tries until it succeeds: a verifier that never hears is one whose
// strict routes stay closed, not one that doesn't start.
func (v *Verifier) subscribe(ctx context.Context, heard bool) bool {
	defer close(v.work)
	if !heard {
		return false
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := v.client.Listen(attempt, v.opts.Topic)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err == nil
		}
		v.opts.Logger.Warn("revocations are not heard", "topic", v.opts.Topic, "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

// watch notes from when on nothing is missed, as soon as that is known: the
// sooner, the fewer tokens have to be renewed for the sake of strict scopes.
func (v *Verifier) watch(ctx context.Context) {
	const often = 50 * time.Millisecond
	for {
		if _, known := v.gap.since(v.watermark); !known {
			select {
			case <-ctx.Done():
				return
			case <-time.After(often):
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-v.gap.again:
		}
	}
}

// watermark returns up to when everything was announced, while the topic is
// live.
func (v *Verifier) watermark() (time.Time, bool) {
	if !v.scope.Live() {
		return time.Time{}, false
	}
	for _, s := range v.client.Topics() {
		if s.Topic == v.opts.Topic && s.Live {
			return s.Watermark, true
		}
	}
	return time.Time{}, false
}

// Ready waits until changes are subscribed to and the issuer's keys are here.
// A service that has called it refuses nobody for want of either.
func (v *Verifier) Ready(ctx context.Context) error {
	select {
	case <-v.work:
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := v.keySet(ctx, false)
	return err
}

// Close ends the subscription. The bus stays open. Tokens are verified
// afterwards too, strict scopes are refused.
func (v *Verifier) Close(ctx context.Context) error {
	v.stop()
	select {
	case <-v.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return v.client.Close(ctx)
}

// Verify returns what a token says, if it is a valid access token of the
// issuer for this audience and wasn't revoked as far as is known. The error
// wraps [ErrToken], or [ErrUnavailable] if it is nothing that another token
// would cure.
//
// A token that was verified before is remembered until it expires, and checked
// against what was revoked since.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	now := v.opts.Clock()
	changes, keys := v.revoked.changes.Load(), v.renewed.Load()
	if t := v.verified.find(token); t != nil && t.keys == keys {
		switch {
		case !now.Before(t.ends):
			v.verified.drop(token)
		case t.checked.Load() == changes:
			v.counts.remembered.Add(1)
			return t.claims, nil
		case v.revoked.refused(t.claims):
			v.verified.drop(token)
			v.counts.revoked.Add(1)
			return nil, fmt.Errorf("%w: it was revoked", ErrToken)
		default:
			t.checked.Store(changes)
			v.counts.remembered.Add(1)
			return t.claims, nil
		}
	}
	return v.first(ctx, token, now, changes, keys)
}

// first verifies a token that isn't remembered. changes and keys were read
// before, so that what changes meanwhile is noticed the next time at the latest.
func (v *Verifier) first(ctx context.Context, token string, now time.Time, changes, keys uint64) (*Claims, error) {
	body, err := v.parsing.read(token, func(kid, alg string) (any, error) { return v.key(ctx, kid, alg) })
	if err == nil {
		err = body.check(v.issuer, v.audience, now, v.opts.ClockSkew)
	}
	if err == nil && body.Expires.Sub(body.IssuedAt.Time) > v.opts.MaxLifetime+ClockTolerance {
		err = fmt.Errorf("%w: it is valid for longer than %s", ErrToken, v.opts.MaxLifetime)
	}
	if err != nil {
		v.counts.refused.Add(1)
		return nil, err
	}
	claims := body.claims()
	if v.revoked.refused(claims) {
		v.counts.revoked.Add(1)
		return nil, fmt.Errorf("%w: it was revoked", ErrToken)
	}
	t := &verifiedToken{token: token, claims: claims, ends: body.Expires.Add(v.opts.ClockSkew), keys: keys}
	t.checked.Store(changes)
	v.verified.keep(t, now)
	v.counts.verified.Add(1)
	return claims, nil
}

// key finds a key. An id that isn't known may be of a key that is new: the
// issuer is asked, though not more than once in a while because of whatever
// ids somebody makes up.
func (v *Verifier) key(ctx context.Context, kid, alg string) (any, error) {
	set, err := v.keySet(ctx, false)
	if err != nil {
		return nil, err
	}
	key, known, err := set.find(kid, alg, v.opts.Algorithms)
	if known {
		return key, err
	}
	now, last := v.opts.Clock().UnixNano(), v.asked.Load()
	if now-last >= int64(5*time.Second) && v.asked.CompareAndSwap(last, now) {
		if set, err = v.keySet(ctx, true); err != nil {
			return nil, err
		}
		if key, known, err = set.find(kid, alg, v.opts.Algorithms); known {
			return key, err
		}
	}
	return nil, fmt.Errorf("the issuer has no key %q", kid)
}

func (v *Verifier) keySet(ctx context.Context, fresh bool) (keySet, error) {
	m, err := v.metadata.get(ctx, v, v.metadataURL, false)
	if err != nil {
		return nil, err
	}
	return v.keys.get(ctx, v, m.JWKSURI, fresh)
}

// strict reports whether a scope, as a route requires it, is one of those that
// fail closed.
func (v *Verifier) strict(scope string) bool {
	return slices.ContainsFunc(v.opts.Strict, func(pattern string) bool { return Covers(pattern, scope) })
}

// Fresh returns nil if nothing can have been missed that would have revoked the
// token: the topic is live, and the token was issued since then. It is what
// routes with strict scopes ask for.
func (v *Verifier) Fresh(c *Claims) error {
	if !v.scope.Live() {
		return fmt.Errorf("%w: revocations are not heard at the moment", ErrUnavailable)
	}
	since, ok := v.gap.since(v.watermark)
	switch {
	case !ok:
		return fmt.Errorf("%w: revocations are not heard at the moment", ErrUnavailable)
	case !c.IssuedAt.After(since.Add(2 * ClockTolerance)):
		return fmt.Errorf("%w: it was issued before revocations were heard of without a gap", ErrToken)
	}
	return nil
}
