package sqlbinding

import (
	"testing"
	"time"
)

// A binding is in use everywhere within a second.
func TestPollsWithinASecond(t *testing.T) {
	if poll := New(nil, nil).opts.Poll; poll <= 0 || poll > time.Second/2 {
		t.Errorf("a watch looks every %v", poll)
	}
}
