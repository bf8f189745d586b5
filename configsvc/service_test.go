package configsvc_test

import (
	"errors"
	"testing"
	"time"

	"github.com/goswale/swale/configsvc"
)

type settings struct {
	Pool    int                `json:"pool" default:"10" check:"min=1,max=100"`
	Timeout configsvc.Duration `json:"timeout" default:"1s" check:"min=10ms"`
	Log     string             `json:"log" default:"info" check:"oneof=debug|info|warn"`
	Hosts   []string           `json:"hosts"`
	DB      struct {
		Host     string `json:"host" default:"localhost"`
		Password string `json:"password"`
	} `json:"db"`
	Even *int `json:"even"`
}

func (s *settings) Validate() error {
	if s.Even != nil && *s.Even%2 != 0 {
		return errors.New("even is odd")
	}
	if s.DB.Password == "hunter2-bad" {
		return errors.New("the password " + s.DB.Password + " is bad")
	}
	return nil
}

func watch[T any](t *testing.T, c *configsvc.Client, keys ...string) *configsvc.Watcher[T] {
	t.Helper()
	w, err := configsvc.Watch[T](t.Context(), c, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

// eventually waits for what nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("timed out waiting for " + what)
		}
	}
}
