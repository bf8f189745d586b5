package system

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// When one of the services ends, whoever runs them hears of it, and of why.
func TestTheEndOfOneServiceIsHeardOf(t *testing.T) {
	s, err := Start(t.Context(), Options{Data: t.TempDir(), Listen: "127.0.0.1:0", City: 3, NoStorefront: true})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Ended():
		t.Fatal("it ended by itself")
	default:
	}
	broken := errors.New("the relay has died")
	s.services[0].Stop(broken)
	select {
	case <-s.Ended():
	case <-time.After(time.Minute):
		t.Error("nobody hears that it ended")
	}
	if err := s.Stop(); !errors.Is(err, broken) {
		t.Errorf("Stop returned %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("a second Stop returned %v", err)
	}
}
