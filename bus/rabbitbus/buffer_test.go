package rabbitbus

import (
	"errors"
	"slices"
	"testing"

	"github.com/goswale/swale/bus/driver"
)

// drain takes every step, messages by their body and states by their number.
func drain(b *buffer) []string {
	var out []string
	for {
		s, ok := b.next()
		switch {
		case !ok:
			return out
		case s.state == driver.Lost:
			out = append(out, "lost")
		case s.state == driver.ResumedWithHole:
			out = append(out, "hole")
		case s.state == driver.Resumed:
			out = append(out, "whole")
		default:
			out = append(out, string(s.m.Body))
		}
	}
}

func TestBufferTellsLossInOrder(t *testing.T) {
	put := func(b *buffer, bodies ...string) {
		for _, body := range bodies {
			b.put(driver.Message{Body: []byte(body)})
		}
	}
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		do   func(*buffer)
		want []string
	}{
		"nothing lost":   {func(b *buffer) { put(b, "1", "2"); b.resume(false) }, []string{"1", "2"}},
		"lost overtakes": {func(b *buffer) { put(b, "1"); b.lose(gone); b.resume(false); put(b, "2") }, []string{"lost", "1", "hole", "2"}},
		"lost twice before it was told": {func(b *buffer) {
			put(b, "1")
			b.lose(gone)
			b.resume(false)
			put(b, "x") // behind the first gap
			b.lose(gone)
			b.resume(false)
			put(b, "2")
		}, []string{"lost", "1", "hole", "2"}},
		"nothing missed": {func(b *buffer) { put(b, "1"); b.lose(gone); b.resume(true); put(b, "2") }, []string{"lost", "1", "whole", "2"}},
		"lost again behind nothing missed": {func(b *buffer) {
			put(b, "1")
			b.lose(gone)
			b.resume(true)
			put(b, "2") // continues the order
			b.lose(gone)
			b.resume(false)
			put(b, "3")
		}, []string{"lost", "1", "2", "hole", "3"}},
		"overrun behind nothing missed": {func(b *buffer) { b.lose(gone); b.resume(true); put(b, "1", "2", "3", "4") }, []string{"lost", "hole", "4"}},
		"overrun":                       {func(b *buffer) { put(b, "1", "2", "3", "4", "5") }, []string{"lost", "hole", "4", "5"}},
		"overrun by bytes":              {func(b *buffer) { put(b, "1", "12345678901"); put(b, "3") }, []string{"lost", "hole", "3"}},
		"overrun when lost":             {func(b *buffer) { put(b, "1"); b.lose(gone); b.resume(false); put(b, "2", "3", "4") }, []string{"lost", "hole", "4"}},
	} {
		b := newBuffer(3, 10)
		c.do(b)
		if got := drain(b); !slices.Equal(got, c.want) {
			t.Errorf("%s: the sink must hear %q, heard %q", name, c.want, got)
		}
	}
}

func TestBufferKeepsOrderOverManyMessages(t *testing.T) {
	b := newBuffer(1<<20, 1<<30)
	var want, got []string
	for i := range 10_000 {
		m := driver.Message{Body: []byte{byte(i), byte(i >> 8)}}
		b.put(m)
		want = append(want, string(m.Body))
		if i == 5_000 {
			b.lose(errLost)
			b.resume(false)
			want = append(want, "hole")
		}
		if i%3 == 0 {
			s, _ := b.next()
			if s.state == 0 {
				got = append(got, string(s.m.Body))
			}
		}
	}
	for _, line := range drain(b) {
		if line != "lost" {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Error("messages and the hole must come in the order in which they were put")
	}
}
