// Package idempotencytest says what a service.IdempotencyStore promises, as tests
// that each store passes.
//
//	idempotencytest.Run(t, func(t *testing.T) *idempotencytest.Subject { … })
package idempotencytest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/service"
)

// Subject is a store that a test has for itself.
type Subject struct {
	Store service.IdempotencyStore
	// Advance moves the store's clock.
	Advance func(time.Duration)
	// Again opens the same store in another process, or as good as that. nil if it
	// forgets with its process.
	Again func() service.IdempotencyStore
}

const (
	lease = time.Minute
	keep  = time.Hour
)

// Run runs all tests.
func Run(t *testing.T, open func(t *testing.T) *Subject) {
	t.Helper()
	for _, c := range []struct {
		rule string
		test func(*testing.T, *Subject)
	}{
		{"one attempt at a time, whose answer is given again", testAnswer},
		{"a key is for one request", testMismatch},
		{"what was dropped may be tried again", testDrop},
		{"a claim ends with its lease, and its attempt then changes nothing", testLease},
		{"an answer is forgotten when it was kept long enough", testKeep},
		{"keys are told apart, however long", testKeys},
		{"of many at once one gets the claim", testMany},
		{"another process knows what this one did", testAgain},
	} {
		t.Run(strings.ReplaceAll(c.rule, " ", "_"), func(t *testing.T) {
			t.Helper()
			c.test(t, open(t))
		})
	}
}

var attempts atomic.Int64

// claim is a new attempt at a request.
func claim(key, content string) service.Claim {
	return service.Claim{Key: key, Fingerprint: sha256.Sum256([]byte(content)), Token: fmt.Sprint("attempt ", attempts.Add(1))}
}

// begin requires what Begin says.
func begin(t *testing.T, s service.IdempotencyStore, c service.Claim, wantAnswer bool, wantErr error) *service.Answer {
	t.Helper()
	a, err := s.Begin(t.Context(), c, lease)
	if !errors.Is(err, wantErr) || (a != nil) != wantAnswer {
		t.Fatalf("Begin returned %+v, %v; want an answer: %v, error: %v", a, err, wantAnswer, wantErr)
	}
	return a
}

func finish(t *testing.T, s service.IdempotencyStore, c service.Claim, a service.Answer) {
	t.Helper()
	if err := s.Finish(t.Context(), c, a, keep); err != nil {
		t.Fatalf("Finish: %v", err)
	}
}

func drop(t *testing.T, s service.IdempotencyStore, c service.Claim) {
	t.Helper()
	if err := s.Drop(t.Context(), c); err != nil {
		t.Fatalf("Drop: %v", err)
	}
}

func answer(text string) service.Answer {
	return service.Answer{Status: 201, Header: http.Header{"Location": {"/orders/1"}, "Link": {"</a>", "</b>"}}, Body: []byte(text)}
}

func testAnswer(t *testing.T, s *Subject) {
	t.Helper()
	first := claim("k", "tea")
	begin(t, s.Store, first, false, nil)
	begin(t, s.Store, claim("k", "tea"), false, service.ErrInProgress)
	want := answer("tea\x00\xff")
	finish(t, s.Store, first, want)
	for range 2 {
		if got := begin(t, s.Store, claim("k", "tea"), true, nil); got.Status != want.Status || !bytes.Equal(got.Body, want.Body) || !reflect.DeepEqual(got.Header, want.Header) || got.Lost {
			t.Errorf("the first answer was %+v, and given again is %+v", want, *got)
		}
	}
	drop(t, s.Store, first)
	begin(t, s.Store, claim("k", "tea"), true, nil) // an answer isn't dropped
	lost := claim("large", "")
	begin(t, s.Store, lost, false, nil)
	finish(t, s.Store, lost, service.Answer{Status: 200, Lost: true})
	if got := begin(t, s.Store, claim("large", ""), true, nil); !got.Lost || got.Status != 200 {
		t.Errorf("an answer that was too large is %+v; it must say that it is lost", *got)
	}
}

func testMismatch(t *testing.T, s *Subject) {
	t.Helper()
	c := claim("k", "tea")
	begin(t, s.Store, c, false, nil)
	begin(t, s.Store, claim("k", "coffee"), false, service.ErrMismatch)
	finish(t, s.Store, c, answer("tea"))
	begin(t, s.Store, claim("k", "coffee"), false, service.ErrMismatch)
}

func testDrop(t *testing.T, s *Subject) {
	t.Helper()
	c := claim("k", "tea")
	begin(t, s.Store, c, false, nil)
	drop(t, s.Store, c)
	begin(t, s.Store, claim("k", "coffee"), false, nil)
	drop(t, s.Store, c) // again, and that isn't its claim any more
	begin(t, s.Store, claim("k", "coffee"), false, service.ErrInProgress)
}

func testLease(t *testing.T, s *Subject) {
	t.Helper()
	late := claim("k", "tea")
	begin(t, s.Store, late, false, nil)
	s.Advance(lease - time.Millisecond)
	begin(t, s.Store, claim("k", "tea"), false, service.ErrInProgress)
	s.Advance(time.Millisecond)
	next := claim("k", "tea")
	begin(t, s.Store, next, false, nil)
	finish(t, s.Store, late, answer("late"))
	begin(t, s.Store, claim("k", "tea"), false, service.ErrInProgress)
	drop(t, s.Store, late)
	begin(t, s.Store, claim("k", "tea"), false, service.ErrInProgress)
	finish(t, s.Store, next, answer("next"))
	if got := begin(t, s.Store, claim("k", "tea"), true, nil); string(got.Body) != "next" {
		t.Errorf("the answer is %q; the attempt that had the claim answered next", got.Body)
	}
}

func testKeep(t *testing.T, s *Subject) {
	t.Helper()
	c := claim("k", "tea")
	begin(t, s.Store, c, false, nil)
	finish(t, s.Store, c, answer("tea"))
	s.Advance(keep - time.Millisecond)
	begin(t, s.Store, claim("k", "tea"), true, nil)
	s.Advance(time.Millisecond)
	begin(t, s.Store, claim("k", "coffee"), false, nil)
}

func testKeys(t *testing.T, s *Subject) {
	t.Helper()
	long := strings.Repeat("/a", 32<<10)
	for _, key := range []string{"k", "K", "k ", "", "ké", long, long + "/"} {
		begin(t, s.Store, claim(key, "tea"), false, nil)
		begin(t, s.Store, claim(key, "tea"), false, service.ErrInProgress)
	}
}

func testMany(t *testing.T, s *Subject) {
	t.Helper()
	for round := range 5 {
		var wg sync.WaitGroup
		var got, refused atomic.Int64
		for range 16 {
			wg.Go(func() {
				switch _, err := s.Store.Begin(t.Context(), claim(fmt.Sprint(round), "tea"), lease); {
				case err == nil:
					got.Add(1)
				case errors.Is(err, service.ErrInProgress):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 || refused.Load() != 15 {
			t.Errorf("%d of 16 have the claim, %d were told that it is under way", got.Load(), refused.Load())
		}
		s.Advance(2 * lease)
	}
}

func testAgain(t *testing.T, s *Subject) {
	t.Helper()
	if s.Again == nil {
		return
	}
	done, open := claim("done", "tea"), claim("open", "tea")
	begin(t, s.Store, done, false, nil)
	finish(t, s.Store, done, answer("tea"))
	begin(t, s.Store, open, false, nil)
	other := s.Again()
	if got := begin(t, other, claim("done", "tea"), true, nil); string(got.Body) != "tea" {
		t.Errorf("another process answers %q; the answer was tea", got.Body)
	}
	begin(t, other, claim("open", "tea"), false, service.ErrInProgress)
	begin(t, other, claim("done", "coffee"), false, service.ErrMismatch)
}
