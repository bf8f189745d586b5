package natsbus

import (
	"errors"
	"runtime"
	"testing"
)

// TestFailuresWaitForTheClientsCopy: who is told that a publish failed uses the
// message's memory again, while another goroutine may still hand it to the client.
func TestFailuresWaitForTheClientsCopy(t *testing.T) {
	for name, fail := range map[string]func(*acks){
		"disconnected": func(a *acks) { a.fail(errors.New("disconnected")) },
		"unconfirmed":  func(a *acks) { a.expire(0) },
	} {
		var a acks
		told, done := make(chan struct{}), make(chan struct{})
		a.sending.RLock()
		a.add(0, func(int, error) { close(told) })
		go func() { fail(&a); close(done) }()
		for waits := false; !waits; { // a writer that waits keeps readers out
			if waits = !a.sending.TryRLock(); !waits {
				a.sending.RUnlock()
			}
			select {
			case <-done:
				waits = true
			default:
				runtime.Gosched()
			}
		}
		select {
		case <-told:
			t.Errorf("%s: told before the client had the message", name)
		default:
		}
		a.sending.RUnlock()
		<-told
		<-done
	}
}
