package sqlbinding

import (
	"database/sql"
	"testing"
	"time"
)

// A binding is in use everywhere within a second.
func TestPollsWithinASecond(t *testing.T) {
	if poll := New(new(sql.DB), nil).opts.Poll; poll <= 0 || poll > time.Second/2 {
		t.Errorf("a watch looks every %v", poll)
	}
}
