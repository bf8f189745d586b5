package projection_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/projection"
)

// wantEqual waits until the tables hold what the owner holds.
func wantEqual(t *testing.T, on database, o *owner, rule string) {
	t.Helper()
	for _, kind := range []string{"restaurants", "menus"} {
		if !eventually(t, rule, func() bool { return maps.Equal(o.truth(kind), on.held(t, kind)) }) {
			t.Fatalf("%s (-owner +%s):\n%s", rule, kind, cmp.Diff(o.truth(kind), on.held(t, kind)))
		}
	}
}

func TestFillsAndFollows(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		on.create(t)
		broker := membus.NewBroker()
		o := newOwner(t, broker, 8)
		p := launch(t, on, broker, o, tables(), nil)
		p.filled(t)
		wantEqual(t, on, o, "the first fill brings everything")
		o.change(t, resn.Update, "/restaurants/1")
		o.change(t, resn.Delete, "/restaurants/2")
		o.change(t, resn.Create, "/restaurants/9")
		o.change(t, resn.Update, "/menus/3")
		wantEqual(t, on, o, "what changes is followed")
		var menu, city string
		err := on.db.QueryRowContext(t.Context(), `SELECT menu, city FROM restaurants WHERE href = $1`, origin+"/restaurants/1").Scan(&menu, &city)
		if err != nil || menu != origin+"/menus/1" || city != origin+"/cities/1" {
			t.Errorf("links are stored in the form in which their tables hold them: %q, %q, %v", menu, city, err)
		}
		if d := cmp.Diff(o.truth("cities"), on.held(t, "cities")); d != "" {
			t.Errorf("what a declared link leads to is there, before the row that refers to it (-owner +cities):\n%s", d)
		}
	})
}

// A table without a topic is read again when something that links to it changes.
func TestLinkedTableWithoutATopic(t *testing.T) {
	on := onSQLite(t)
	on.create(t)
	broker := membus.NewBroker()
	o := newOwner(t, broker, 2)
	launch(t, on, broker, o, tables(), nil).filled(t)
	o.mu.Lock()
	o.versions["/cities/1"] = 7
	o.mu.Unlock()
	menu := o.count("/menus/1")
	o.change(t, resn.Update, "/restaurants/1")
	wantEqual(t, on, o, "the restaurant is followed")
	if got := on.held(t, "cities")[origin+"/cities/1"]; got != 7 {
		t.Errorf("its city was read again: version %d", got)
	}
	if n := o.count("/menus/1"); n != menu {
		t.Errorf("its menu, which has a topic of its own, wasn't: %d requests", n-menu)
	}
}

// Documents may link in circles.
func TestLinksInCircles(t *testing.T) {
	on := onSQLite(t)
	on.create(t)
	broker := membus.NewBroker()
	o := newOwner(t, broker, 3)
	circle := tables()
	circle[0].Links["self"] = "restaurants"
	circle[0].Links["city"] = "cities"
	launch(t, on, broker, o, circle, nil).filled(t)
	wantEqual(t, on, o, "a resource that links to itself is written once")
}

func TestLinksStayAtTheirOrigin(t *testing.T) {
	on := onSQLite(t)
	on.create(t)
	broker := membus.NewBroker()
	o := newOwner(t, broker, 1)
	elsewhere := elsewhere{o}
	var rejected atomic.Int32
	declared := tables()
	opts := *declared[0].Consumer
	opts.OnRejected = func(string, error) { rejected.Add(1) }
	declared[0].Consumer = &opts
	launch(t, on, broker, elsewhere, declared, nil).filled(t)
	if rejected.Load() != 1 || o.count("/secret") != 0 {
		t.Errorf("a document doesn't lead the projection to another origin: %d rejected, %d requests there", rejected.Load(), o.count("/secret"))
	}
}

// elsewhere has restaurants link to another origin.
type elsewhere struct{ *owner }

func (e elsewhere) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := e.owner.RoundTrip(req)
	if err == nil && req.URL.Path == "/restaurants/0" {
		resp.Body = body(`{"_links":{"menu":{"href":"http://intranet.example/secret"}},"version":1}`)
		resp.ContentLength = -1
	}
	return resp, err
}

// A process that hung with an old state in its hands, while another took over.
func TestAZombieDoesNotOverwrite(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		on.create(t)
		broker := membus.NewBroker()
		o := newOwner(t, broker, 3)
		first := launch(t, on, broker, o, tables(), nil)
		first.filled(t)
		took, goOn := make(chan struct{}), make(chan struct{})
		release := sync.OnceFunc(func() { close(goOn) })
		defer release()
		var once atomic.Bool
		o.mu.Lock()
		o.hold = func(ctx context.Context, path string) {
			if path == "/restaurants/1" && once.CompareAndSwap(false, true) {
				close(took)
				select {
				case <-goOn:
				case <-ctx.Done():
				}
			}
		}
		o.mu.Unlock()
		o.change(t, resn.Update, "/restaurants/1")
		<-took // version 2 is on its way to the first process, which then loses its place
		first.faults.Cut()
		o.change(t, resn.Update, "/restaurants/1")
		launch(t, on, broker, o, tables(), nil)
		wantEqual(t, on, o, "another process takes over")
		before := first.projection.States()[0]
		release()
		eventually(t, "the first process wrote what it was told when it asked again", func() bool {
			s := first.projection.States()[0]
			return s.Failures > before.Failures && s.Handled > before.Handled
		})
		wantEqual(t, on, o, "what was fetched before somebody else wrote is not written")
		if got := on.held(t, "restaurants")[origin+"/restaurants/1"]; got != 3 {
			t.Errorf("the older version was written over the newer: %d", got)
		}
	})
}

func TestRestartGoesOnWithoutFilling(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		on.create(t)
		broker := membus.NewBroker()
		o := newOwner(t, broker, 8)
		seldom := tables()
		for i := range 2 {
			opts := *seldom[i].Consumer
			opts.SaveInterval = time.Hour // the numbers are in the rows' transactions only
			seldom[i].Consumer = &opts
		}
		p := launch(t, on, broker, o, seldom, nil)
		p.filled(t)
		took, goOn := make(chan struct{}), make(chan struct{})
		release := sync.OnceFunc(func() { close(goOn) })
		defer release()
		var once atomic.Bool
		o.mu.Lock()
		o.hold = func(ctx context.Context, path string) {
			if path == "/restaurants/0" && once.CompareAndSwap(false, true) {
				close(took)
				select {
				case <-goOn:
				case <-ctx.Done():
				}
			}
		}
		o.mu.Unlock()
		o.change(t, resn.Update, "/restaurants/0")
		<-took
		for range 4 {
			o.change(t, resn.Update, "/restaurants/0") // answered by one fetch
		}
		for i := range 5 {
			o.change(t, resn.Update, fmt.Sprintf("/restaurants/%d", i))
		}
		eventually(t, "the notices came", func() bool { return p.projection.States()[0].Received == 10 })
		release()
		wantEqual(t, on, o, "what changes is followed")
		eventually(t, "nothing is left", func() bool { return p.projection.States()[0].Waiting == 0 })
		p.kill()
		o.change(t, resn.Update, "/restaurants/6")
		o.change(t, resn.Delete, "/restaurants/7")
		pages, items := o.count("/restaurants"), o.count("/restaurants/3")
		again := launch(t, on, broker, o, tables(), nil)
		wantEqual(t, on, o, "a killed process's successor hears what changed meanwhile")
		eventually(t, "every notice was handled", func() bool { return again.projection.States()[0].Numbers.Low == 12 })
		if s := again.projection.States()[0]; s.Resyncs != 0 || o.count("/restaurants") != pages || o.count("/restaurants/3") != items {
			t.Errorf("it goes on without walking: %+v", s)
		}
	})
}

// The process dies at each step, over and over.
func TestCrashAtEveryStep(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		on.create(t)
		broker := membus.NewBroker()
		o := newOwner(t, broker, 8)
		round := 0
		for _, step := range []string{"prepared", "begin", "advanced", "commit", "committed", "save numbers", "save walk"} {
			for nth := range 3 {
				if step == "save walk" {
					if _, err := on.db.ExecContext(t.Context(), `DELETE FROM swale_projection_position`); err != nil {
						t.Log(err) // before the first process
					}
				}
				var n atomic.Int32
				p := launch(t, on, broker, o, tables(), func(s string) bool { return s == step && int(n.Add(1)) == nth+1 })
				eventually(t, fmt.Sprintf("the process came to step %q for the %d. time", step, nth+1), func() bool {
					round++
					o.change(t, resn.Update, fmt.Sprintf("/restaurants/%d", round%7))
					o.change(t, resn.Update, fmt.Sprintf("/menus/%d", (3*round)%7))
					select {
					case <-p.dead:
						return true
					default:
						return false
					}
				})
				p.end()
			}
		}
		launch(t, on, broker, o, tables(), nil).filled(t)
		wantEqual(t, on, o, "whenever processes died, the last one ends up equal to the source")
	})
}

// Random schedules of changes, crashes and restarts.
func TestEndsUpEqualToTheSource(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		on.create(t)
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
				for _, table := range []string{"restaurants", "menus", "cities"} {
					if _, err := on.db.ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
						t.Fatal(err)
					}
				}
				schedule(t, on, rand.New(rand.NewPCG(seed, 3)))
			})
		}
	})
}

func schedule(t *testing.T, on database, random *rand.Rand) {
	t.Helper()
	broker := membus.NewBroker()
	o := newOwner(t, broker, 6)
	var mu sync.Mutex // of chance, which processes ask too
	pick := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	deadly := func(string) bool { return pick(60) == 0 }
	p := launch(t, on, broker, o, tables(), deadly)
	if err := p.projection.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		select {
		case <-p.dead:
			p.end()
			p = launch(t, on, broker, o, tables(), deadly)
		default:
		}
		switch n := pick(100); {
		case n < 80:
			kind := []string{"restaurants", "menus"}[pick(2)]
			path := fmt.Sprintf("/%s/%d", kind, pick(9))
			change := resn.Create
			if o.exists(path) {
				change = []string{resn.Update, resn.Update, resn.Delete}[pick(3)]
			}
			o.change(t, change, path)
		case n < 85:
			p.kill()
			p = launch(t, on, broker, o, tables(), deadly)
		case n < 90:
			p.end()
			p = launch(t, on, broker, o, tables(), deadly)
		default:
			<-time.After(time.Duration(pick(30)) * time.Millisecond)
		}
	}
	p.end()
	last := launch(t, on, broker, o, tables(), nil)
	last.filled(t)
	wantEqual(t, on, o, "after any schedule the tables hold what the owner holds")
	last.end()
}

func TestResetFillsAgain(t *testing.T) {
	on := onSQLite(t)
	on.create(t)
	broker := membus.NewBroker()
	o := newOwner(t, broker, 4)
	p := launch(t, on, broker, o, tables(), nil)
	p.filled(t)
	p.end()
	if _, err := on.db.ExecContext(t.Context(), `UPDATE restaurants SET version = 99`); err != nil {
		t.Fatal(err)
	}
	if err := p.projection.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	launch(t, on, broker, o, tables(), nil)
	wantEqual(t, on, o, "after Reset every row is written again")
}

func TestWriteAndDeleteOfTheCaller(t *testing.T) {
	on := onSQLite(t)
	on.create(t)
	broker := membus.NewBroker()
	o := newOwner(t, broker, 3)
	own := tables()[1:]
	own[0].Row = nil
	own[0].Write = func(ctx context.Context, tx *sql.Tx, r *projection.Resource) error {
		v, err := versionOf(r)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO menus (href, version) VALUES ($1, $2) ON CONFLICT (href) DO UPDATE SET version = excluded.version`, r.Href, v)
		return err
	}
	var deleted atomic.Int32
	own[0].Delete = func(ctx context.Context, tx *sql.Tx, href string) error {
		deleted.Add(1)
		_, err := tx.ExecContext(ctx, `DELETE FROM menus WHERE href = $1`, href)
		return err
	}
	launch(t, on, broker, o, own, nil).filled(t)
	o.change(t, resn.Update, "/menus/1")
	o.change(t, resn.Delete, "/menus/2")
	if !eventually(t, "the caller's statements kept the table", func() bool { return maps.Equal(o.truth("menus"), on.held(t, "menus")) }) || deleted.Load() == 0 {
		t.Error("Write and Delete take the place of the projection's statements")
	}
}

func TestDeclarationsAreChecked(t *testing.T) {
	on := onSQLite(t)
	b := membus.New(nil)
	client, err := resn.NewClient(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = client.Close(context.Background())
		_ = b.Shutdown(context.Background())
	}()
	row := func(*projection.Resource) (projection.Row, error) { return nil, nil }
	for want, declared := range map[string][]projection.Table{
		`projection: table name "a; DROP TABLE b" is not made of letters, digits and underscores`:                                                        {{Name: "a; DROP TABLE b", Row: row}},
		`projection: table a needs either Row or Write`:                                                                                                  {{Name: "a"}},
		`projection: table a is declared twice`:                                                                                                          {{Name: "a", Row: row}, {Name: "a", Row: row}},
		`projection: table a: key column "x y" is not made of letters, digits and underscores`:                                                           {{Name: "a", Key: "x y", Row: row}},
		`projection: table a follows "menu" into table "menus", which isn't declared`:                                                                    {{Name: "a", Row: row, Links: map[string]string{"menu": "menus"}}},
		`projection: table a: collection: "/restaurants" is no absolute URL`:                                                                             {{Name: "a", Row: row, Collection: "/restaurants"}},
		`projection: table a: resn: consumer: resn: topic is "A"; it must be lower-case ` + `letters, digits, '-', '_' and '.', and begin with a letter`: {{Name: "a", Row: row, Topic: "A"}},
	} {
		if _, err := projection.New(client, on.db, on.dialect, declared, nil); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}
