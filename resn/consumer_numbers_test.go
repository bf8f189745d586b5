package resn

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNumbers(t *testing.T) {
	base := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return base.Add(time.Duration(s) * time.Second) }
	mark := func(epoch string, seq uint64, s int) func(*numbers) {
		return func(n *numbers) { n.watermark(Watermark{Topic: "t", Epoch: epoch, Seq: seq, Time: at(s)}) }
	}
	notice := func(epoch string, seq uint64, s int) func(*numbers) {
		return func(n *numbers) { n.notice(epoch, seq, at(s)) }
	}
	handled := func(seqs ...uint64) func(*numbers) { return func(n *numbers) { n.handled("e", seqs...) } }
	for _, test := range []struct {
		rule    string
		from    Numbers
		do      []func(*numbers)
		want    Numbers
		suspect bool
		current time.Time
	}{
		{
			rule: "the first number is as good as any",
			do:   []func(*numbers){notice("e", 7, 1)},
			want: Numbers{Epoch: "e", Low: 6},
		}, {
			rule: "handled out of order",
			do:   []func(*numbers){notice("e", 1, 1), notice("e", 2, 1), notice("e", 3, 1), notice("e", 4, 1), handled(2, 4)},
			want: Numbers{Epoch: "e", Above: []Span{{2, 2}, {4, 4}}},
		}, {
			rule:    "a watermark is reached when its notices were handled",
			do:      []func(*numbers){notice("e", 1, 1), notice("e", 2, 2), mark("e", 2, 3), handled(1), mark("e", 2, 4), handled(2)},
			want:    Numbers{Epoch: "e", Low: 2},
			current: at(4),
		}, {
			rule:    "a watermark isn't reached before",
			do:      []func(*numbers){mark("e", 0, 1), notice("e", 1, 2), mark("e", 1, 3)},
			want:    Numbers{Epoch: "e"},
			current: at(1),
		}, {
			rule: "what an earlier process handled isn't missing",
			from: Numbers{Epoch: "e", Low: 5, Above: []Span{{7, 8}, {11, 11}}},
			do:   []func(*numbers){notice("e", 6, 1), notice("e", 9, 1)},
			want: Numbers{Epoch: "e", Low: 5, Above: []Span{{7, 8}, {11, 11}}},
		}, {
			rule: "what an earlier process handled is handled again if it comes again",
			from: Numbers{Epoch: "e", Low: 5, Above: []Span{{7, 8}}},
			do:   []func(*numbers){notice("e", 6, 1), notice("e", 7, 1)},
			want: Numbers{Epoch: "e", Low: 5, Above: []Span{{8, 8}}},
		}, {
			rule:    "what nobody handled is missing",
			from:    Numbers{Epoch: "e", Low: 5, Above: []Span{{7, 8}}},
			do:      []func(*numbers){notice("e", 9, 1)},
			suspect: true,
			want:    Numbers{Epoch: "e", Low: 8},
		}, {
			rule:    "a watermark tells of what is missing at the end",
			from:    Numbers{Epoch: "e", Low: 5},
			do:      []func(*numbers){mark("e", 6, 1)},
			suspect: true,
			want:    Numbers{Epoch: "e", Low: 6},
		}, {
			rule: "what comes late isn't missing",
			do:   []func(*numbers){notice("e", 1, 1), notice("e", 3, 1), notice("e", 2, 1), handled(1, 2, 3)},
			want: Numbers{Epoch: "e", Low: 3},
		}, {
			rule:    "a new epoch",
			do:      []func(*numbers){notice("e", 1, 1), mark("e", 1, 2), notice("f", 1, 3)},
			suspect: true,
			want:    Numbers{Epoch: "f"},
		}, {
			rule: "a repeat from an epoch that has ended",
			do:   []func(*numbers){mark("e", 3, 2), notice("old", 9, 1), mark("old", 10, 1)},
			want: Numbers{Epoch: "e", Low: 3}, current: at(2),
		}, {
			rule:    "numbers that go backwards",
			do:      []func(*numbers){mark("e", 9, 1), mark("e", 4, 2)},
			suspect: true,
			want:    Numbers{Epoch: "e", Low: 4}, current: at(1),
		}, {
			rule: "an older watermark that comes again",
			do:   []func(*numbers){mark("e", 9, 2), mark("e", 4, 1)},
			want: Numbers{Epoch: "e", Low: 9}, current: at(2),
		}, {
			rule: "a missing number that another process has handled",
			do: []func(*numbers){notice("e", 1, 1), notice("e", 4, 1), handled(1, 4), func(n *numbers) {
				n.explain(Numbers{Epoch: "e", Low: 2, Above: []Span{{3, 3}}})
			}},
			want: Numbers{Epoch: "e", Low: 4},
		}, {
			rule: "a missing number that another process hasn't handled either",
			do: []func(*numbers){notice("e", 1, 1), notice("e", 4, 1), handled(1, 4), func(n *numbers) {
				n.explain(Numbers{Epoch: "e", Low: 2})
			}},
			suspect: true,
			want:    Numbers{Epoch: "e", Low: 4},
		},
	} {
		t.Run(test.rule, func(t *testing.T) {
			var n numbers
			n.resume(test.from)
			for _, do := range test.do {
				do(&n)
			}
			if n.suspicious() != test.suspect {
				t.Errorf("suspicious: %v, want %v (missing %v, renewed %v)", n.suspicious(), test.suspect, n.missing, n.renewed)
			}
			if d := cmp.Diff(test.want, n.saved()); d != "" {
				t.Errorf("saved (-want +got):\n%s", d)
			}
			if !n.current.Equal(test.current) {
				t.Errorf("handled up to %v, want %v", n.current, test.current)
			}
		})
	}
}

// Whatever order notices are handled in, and whenever one process follows
// another, nothing is claimed that wasn't handled, and no hole is seen that
// isn't there.
func TestNumbersAcrossProcesses(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		done := map[uint64]bool{}
		var saved Numbers
		var acked, last uint64 = 0, 0
		for range 5 {
			var n numbers
			n.resume(saved)
			held := map[uint64]bool{}
			for seq := acked + 1; seq <= last; seq++ {
				if !done[seq] { // the broker delivers again what wasn't acked, in order
					n.notice("e", seq, time.Time{})
					held[seq] = true
				}
			}
			for range 20 {
				if random.IntN(2) == 0 {
					last++
					n.notice("e", last, time.Time{})
					held[last] = true
				}
				for seq := range held {
					if random.IntN(3) == 0 {
						n.handled("e", seq)
						saved = n.saved()
						done[seq] = true
						delete(held, seq)
					}
				}
			}
			if n.suspicious() {
				t.Fatalf("seed %d: a hole where there is none: %v", seed, n.missing)
			}
			for seq := uint64(1); seq <= last+1; seq++ {
				if claims(saved, seq) != done[seq] {
					t.Fatalf("seed %d: number %d handled: %v, claimed by %s: %v", seed, seq, done[seq], fmt.Sprint(saved), claims(saved, seq))
				}
			}
		}
	}
}

func claims(p Numbers, seq uint64) bool {
	if seq <= p.Low {
		return true
	}
	for _, s := range p.Above {
		if s.First <= seq && seq <= s.Last {
			return true
		}
	}
	return false
}
