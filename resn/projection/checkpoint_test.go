package projection

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/resn"
)

func TestJoin(t *testing.T) {
	type span = resn.Span
	for _, test := range []struct {
		rule string
		from resn.Numbers
		seqs []uint64
		want resn.Numbers
	}{
		{"nothing new", resn.Numbers{Epoch: "e", Low: 3}, nil, resn.Numbers{Epoch: "e", Low: 3}},
		{"the next ones", resn.Numbers{Low: 3}, []uint64{4, 5}, resn.Numbers{Low: 5}},
		{"after a gap", resn.Numbers{Low: 3}, []uint64{5, 6, 8}, resn.Numbers{Low: 3, Above: []span{{First: 5, Last: 6}, {First: 8, Last: 8}}}},
		{"between spans", resn.Numbers{Low: 3, Above: []span{{First: 5, Last: 6}, {First: 9, Last: 9}}}, []uint64{7, 8}, resn.Numbers{Low: 3, Above: []span{{First: 5, Last: 9}}}},
		{"closing the gap", resn.Numbers{Low: 3, Above: []span{{First: 5, Last: 6}}}, []uint64{4, 7}, resn.Numbers{Low: 7}},
		{"known already", resn.Numbers{Low: 3, Above: []span{{First: 5, Last: 8}}}, []uint64{6, 7}, resn.Numbers{Low: 3, Above: []span{{First: 5, Last: 8}}}},
	} {
		if d := cmp.Diff(test.want, join(test.from, test.seqs)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.rule, d)
		}
	}
}

// What a process that hung saves late must not undo what another has done since.
func TestCheckpointKeepsTheNewerWalk(t *testing.T) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	p := &Projection{db: db, dialect: SQLite, opts: Options{Prefix: "p", KeepGone: 1 << 40}}
	if err := p.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := &checkpoint{p: p, name: "c"}
	walk := func(w resn.Walk) resn.Walk {
		t.Helper()
		if err := c.SaveWalk(context.Background(), w); err != nil {
			t.Fatal(err)
		}
		pos, err := c.Load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return pos.Walk
	}
	first := resn.Walk{Number: 1, Next: "page 2"}
	done := resn.Walk{Number: 1, Done: true}
	second := resn.Walk{Number: 2}
	for _, step := range []struct {
		rule       string
		save, want resn.Walk
	}{
		{"the first", first, first},
		{"further on", resn.Walk{Number: 1, Next: "page 3"}, resn.Walk{Number: 1, Next: "page 3"}},
		{"done", done, done},
		{"one that is done isn't undone", first, done},
		{"the next", second, second},
		{"an older one doesn't end a newer", done, second},
	} {
		if got := walk(step.save); got != step.want {
			t.Errorf("%s: got %+v, want %+v", step.rule, got, step.want)
		}
	}
	numbers := resn.Numbers{Epoch: "e", Low: 7, Above: []resn.Span{{First: 9, Last: 9}}}
	if err := c.SaveNumbers(t.Context(), numbers); err != nil {
		t.Fatal(err)
	}
	pos, err := c.Load(t.Context())
	if d := cmp.Diff(resn.Position{Numbers: numbers, Walk: second}, pos); d != "" || err != nil {
		t.Errorf("numbers and walk are saved apart (-want +got):\n%s%v", d, err)
	}
}
