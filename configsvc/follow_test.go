package configsvc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server/servertest"
)

func TestFollow(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	var mu sync.Mutex
	var used []int
	use := func(next *settings) error {
		mu.Lock()
		defer mu.Unlock()
		if next.Pool == 13 {
			return errors.New("nothing can be made of it")
		}
		used = append(used, next.Pool)
		return nil
	}
	try := func(_ context.Context, next *settings) error {
		if next.Pool == 6 {
			return errors.New("no database there")
		}
		return nil
	}
	w, err := configsvc.Follow(t.Context(), s.Client("x", nil), []string{"base"}, try, use)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, pool := range []int{6, 7, 13, 8} {
		s.Write("base", fmt.Sprintf(`{"pool":%d}`, pool))
		if err := w.Refresh(t.Context()); (err != nil) != (pool == 6) {
			t.Errorf("pool %d: %v; what is tried in vain is rejected, and nothing else", pool, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	// The service's notice may come together with what is asked for: what is newest
	// may be used twice.
	seen := map[int]bool{}
	for i, pool := range used {
		seen[pool] = true
		if i > 0 && pool < used[i-1] {
			t.Errorf("%v were used: an older one after a newer one", used)
		}
	}
	if !seen[5] || !seen[7] || !seen[8] || seen[6] {
		t.Errorf("%v were used; want 5, 7 and 8", used)
	}
	if !strings.Contains(s.Log(), "nothing can be made of it") {
		t.Errorf("what can't be used is logged; the log has\n%s", s.Log())
	}
}

func TestFollowWithoutAFirstOne(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	broken := errors.New("nothing can be made of it")
	_, err := configsvc.Follow(t.Context(), s.Client("x", nil), []string{"base"}, nil, func(*settings) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("Follow returned %v; want what use said", err)
	}
}
