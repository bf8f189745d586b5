package service

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/goswale/swale/hal"
)

// IdempotencyKeyHeader names a request that may be sent again, as in
// draft-ietf-httpapi-idempotency-key-header-07.
const IdempotencyKeyHeader = "Idempotency-Key"

// An Answer is what a request was answered with the first time.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Lost says that the answer was too large to be kept.
	Lost bool
}

// A Claim is one attempt at the work of a request.
type Claim struct {
	// Key names the request among all that share the store. It can be as long as a
	// URL.
	Key string
	// Fingerprint tells requests apart whose key is the same.
	Fingerprint [sha256.Size]byte
	// Token tells this attempt from any other.
	Token string
}

// An IdempotencyStore remembers answers. Instances of a service that share their
// work share it too. It is safe for concurrent use; idempotencytest says what it
// promises.
type IdempotencyStore interface {
	// Begin claims c.Key for the attempt c. It returns nil, nil to whoever has the
	// claim, the answer if there is one already, and an error that is ErrInProgress
	// or ErrMismatch if it is claimed, or was for another request. A claim that is
	// neither finished nor dropped ends after lease: then the next one gets it.
	Begin(ctx context.Context, c Claim, lease time.Duration) (*Answer, error)
	// Finish keeps the answer for keep, unless another attempt has the claim.
	Finish(ctx context.Context, c Claim, a Answer, keep time.Duration) error
	// Drop gives the claim back, unless another attempt has it.
	Drop(ctx context.Context, c Claim) error
}

// Errors of an IdempotencyStore.
var (
	ErrInProgress = errors.New("service: the first request of this key is under way")
	ErrMismatch   = errors.New("service: the key was used for another request")
)

// IdempotencyOptions are the options of Idempotent.
type IdempotencyOptions struct {
	// Required refuses requests without a key.
	Required bool
	// Keep is how long an answer is kept. Default 24 h.
	Keep time.Duration
	// Lease is how long a claim holds whose process died. It must be longer than
	// the handler may take. Default 2 min.
	Lease time.Duration
	// MaxBytes bounds an answer that is kept. Default 256 KiB.
	MaxBytes int
	// MaxRequest bounds the body of a request, which is read whole before the
	// handler runs. Default 1 MiB.
	MaxRequest int64
	// Key names a request's caller, whose keys are its own. Default: [Caller].
	Key func(*http.Request) string
}

const maxKey = 255

// Idempotent lets clients send a POST or PATCH again that they got no answer to:
// the handler runs once for each key, and its answer is given again, with the
// field Idempotent-Replayed. The key belongs to one caller, method and URL; used
// with another body it is refused with 422, and while the first request is under
// way with 409. An answer of 500 and above isn't kept: the same request may be
// tried anew. When the process dies before the answer is kept, the handler may run
// again after Lease; whoever needs more keeps the key in the transaction that does
// the work. Other methods pass: they are idempotent by themselves or should be.
// It panics without a store.
func Idempotent(store IdempotencyStore, opts *IdempotencyOptions) func(http.Handler) http.Handler {
	if store == nil {
		panic("service: Idempotent: the store is nil; NewMemoryIdempotency makes one") //nolint:forbidigo // programmer error
	}
	o := IdempotencyOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Keep <= 0 {
		o.Keep = 24 * time.Hour
	}
	if o.Lease <= 0 {
		o.Lease = 2 * time.Minute
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 10
	}
	if o.MaxRequest <= 0 {
		o.MaxRequest = 1 << 20
	}
	if o.Key == nil {
		o.Key = Caller
	}
	return func(next http.Handler) http.Handler { return &idempotent{store, o, next} }
}

type idempotent struct {
	store IdempotencyStore
	opts  IdempotencyOptions
	next  http.Handler
}

// ServeHTTP implements [http.Handler].
func (h *idempotent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost && r.Method != http.MethodPatch {
		h.next.ServeHTTP(w, r)
		return
	}
	values := r.Header.Values(IdempotencyKeyHeader)
	switch {
	case len(values) == 0 && !h.opts.Required:
		h.next.ServeHTTP(w, r)
		return
	case len(values) != 1 || values[0] == "" || len(values[0]) > maxKey:
		refuse(w, r, http.StatusBadRequest, fmt.Sprintf("This request needs one %s field of 1 to %d bytes, made up by the client, such as a random UUID.", IdempotencyKeyHeader, maxKey))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxRequest))
	if err != nil {
		status := http.StatusBadRequest
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
		}
		refuse(w, r, status, "The body couldn't be read: "+err.Error())
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c := Claim{
		Key:         fmt.Sprintf("%q %s %s %q", h.opts.Key(r), r.Method, r.URL.Path, values[0]),
		Fingerprint: fingerprint(r, body), Token: rand.Text(),
	}
	answer, err := h.store.Begin(r.Context(), c, h.opts.Lease)
	switch {
	case errors.Is(err, ErrMismatch):
		refuse(w, r, http.StatusUnprocessableEntity, "This "+IdempotencyKeyHeader+" was used for a request with another content; make up a new one.")
	case errors.Is(err, ErrInProgress):
		w.Header().Set("Retry-After", "1")
		refuse(w, r, http.StatusConflict, "The first request with this "+IdempotencyKeyHeader+" is still under way; ask again for its answer.")
	case err != nil:
		w.Header().Set("Retry-After", "1")
		p := hal.NewProblem(http.StatusServiceUnavailable, "It can't be found out now whether this request was answered before. Nothing was done.")
		p.Err = err
		hal.WriteProblem(w, r, p)
	case answer != nil:
		replay(w, r, answer)
	default:
		h.first(w, r, c)
	}
}

func refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	hal.WriteProblem(w, r, hal.NewProblem(status, detail))
}

// fingerprint tells requests apart whose key is the same.
func fingerprint(r *http.Request, body []byte) [sha256.Size]byte {
	d := sha256.New()
	fmt.Fprintf(d, "%q %q %d\n", r.URL.RequestURI(), r.Header.Get("Content-Type"), len(body))
	d.Write(body)
	return [sha256.Size]byte(d.Sum(nil))
}

// first runs the handler and keeps its answer. What becomes of the claim doesn't
// depend on whether the client still waits.
func (h *idempotent) first(w http.ResponseWriter, r *http.Request, c Claim) {
	keeping, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.opts.Lease)
	defer cancel()
	k := &keeper{recorder: recorder{ResponseWriter: w}, most: h.opts.MaxBytes}
	finished := false
	defer func() {
		if !finished { // a panic: nobody knows what was done, so it may be tried again
			_ = h.store.Drop(keeping, c)
		}
	}()
	working, stop := context.WithTimeout(r.Context(), h.opts.Lease) // nobody works under a claim that has ended
	defer stop()
	under(working, h.next, k, r)
	finished = true
	if k.status == 0 {
		k.WriteHeader(http.StatusOK)
	}
	if k.status >= http.StatusInternalServerError {
		_ = h.store.Drop(keeping, c)
		return
	}
	// Without it kept, the claim holds until its lease ends; then the handler may
	// run again. There is nobody left to tell.
	_ = h.store.Finish(keeping, c, k.answer(), h.opts.Keep)
}

func replay(w http.ResponseWriter, r *http.Request, a *Answer) {
	if x, ok := r.Context().Value(exchangeKey).(*Exchange); ok {
		x.Replayed = true
	}
	if a.Lost {
		refuse(w, r, http.StatusConflict, fmt.Sprintf("The first request with this %s was answered with status %d; the answer was too large to be kept.", IdempotencyKeyHeader, a.Status))
		return
	}
	maps.Copy(w.Header(), a.Header)
	w.Header().Set("Idempotent-Replayed", "true")
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) //nolint:gosec // what this service has answered before, with the type that it had
}

// keeper remembers an answer while it is written.
type keeper struct {
	recorder
	most   int
	header http.Header
	body   []byte
	lost   bool
}

// WriteHeader implements [http.ResponseWriter].
func (k *keeper) WriteHeader(status int) {
	if k.status == 0 && status >= 200 {
		k.header = k.Header().Clone()
	}
	k.recorder.WriteHeader(status)
}

func (k *keeper) Write(b []byte) (int, error) {
	if k.status == 0 {
		k.WriteHeader(http.StatusOK)
	}
	if len(k.body)+len(b) > k.most {
		k.lost, k.body = true, nil
	} else if !k.lost {
		k.body = append(k.body, b...)
	}
	_, err := k.recorder.Write(b)
	if err != nil {
		return len(b), nil //nolint:nilerr // the client is gone; the answer is kept for its next attempt
	}
	return len(b), nil
}

func (k *keeper) answer() Answer {
	// What was about this exchange only.
	for _, name := range []string{RequestIDHeader, "Date", "Connection", "Set-Cookie"} {
		k.header.Del(name)
	}
	return Answer{Status: k.status, Header: k.header, Body: k.body, Lost: k.lost}
}
