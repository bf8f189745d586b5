package projection_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/rabbitbus"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/projection"
)

// The environment of a process that is there to be killed.
const (
	brokerVariable = "SWALE_PROJECTION_BROKER"
	prefixVariable = "SWALE_PROJECTION_PREFIX"
	fileVariable   = "SWALE_PROJECTION_FILE"
	ownerVariable  = "SWALE_PROJECTION_OWNER"
)

// product is a real broker.
type product struct {
	name, variable string
	open           func(ctx context.Context, url, prefix string) (*bus.Bus, error)
	clean          func(t *testing.T, url, prefix string)
}

func products() []product {
	return []product{
		{"NATS", "SWALE_TEST_NATS", func(ctx context.Context, url, prefix string) (*bus.Bus, error) {
			return natsbus.Open(ctx, url, &natsbus.Options{Prefix: prefix, PinTTL: 2 * time.Second})
		}, cleanNATS},
		{"RabbitMQ", "SWALE_TEST_RABBITMQ", func(ctx context.Context, url, prefix string) (*bus.Bus, error) {
			return rabbitbus.Open(ctx, url, &rabbitbus.Options{Prefix: prefix})
		}, cleanRabbit},
	}
}

// child is the process that is there to be killed.
func child() error {
	ctx := context.Background()
	db, err := openFile(os.Getenv(fileVariable))
	if err != nil {
		return err
	}
	for _, p := range products() {
		if p.name != os.Getenv(brokerVariable) {
			continue
		}
		b, err := p.open(ctx, os.Getenv(p.variable), os.Getenv(prefixVariable))
		if err != nil {
			return err
		}
		client, err := resn.NewClient(b, nil)
		if err != nil {
			return err
		}
		things, err := projection.New(client, db, projection.SQLite, []projection.Table{{
			Name: "things", Topic: "things", Collection: os.Getenv(ownerVariable) + "/things",
			Row: func(r *projection.Resource) (projection.Row, error) {
				v, err := versionOf(r)
				return projection.Row{"version": v}, err
			},
			Consumer: &resn.ConsumerOptions{MaxAttempts: -1},
		}}, nil)
		if err != nil {
			return err
		}
		if err := things.Migrate(ctx); err != nil {
			return err
		}
		return things.Run(ctx) // until it is killed
	}
	return fmt.Errorf("there is no broker %q", os.Getenv(brokerVariable))
}

func openFile(file string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(60000)&_pragma=synchronous(NORMAL)")
}

// TestProcessesAreKilled has two processes with a projection, one of which works,
// and kills them by SIGKILL, one after the other, while things change.
func TestProcessesAreKilled(t *testing.T) {
	for _, p := range products() {
		t.Run(p.name, func(t *testing.T) { killing(t, p) })
	}
}

func killing(t *testing.T, p product) {
	t.Helper()
	url := os.Getenv(p.variable)
	if url == "" {
		missing := p.variable + " is not set: nothing was proven against a " + p.name + " server"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	prefix := "swaletest-" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() { p.clean(t, url, prefix) })
	b, err := p.open(t.Context(), url, prefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range []string{"projection"} {
			if err := b.DeleteGroup(context.Background(), "things", name); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
		_ = b.Shutdown(context.Background())
	})
	things := &things{versions: map[string]int{}}
	for i := range 40 {
		things.versions[fmt.Sprintf("/things/%02d", i)] = 1
	}
	server := httptest.NewServer(resn.Stamp("things")(things))
	t.Cleanup(server.Close)
	pub, err := resn.NewPublisher(b, "things", &resn.PublisherOptions{Unowned: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pub.Close(context.Background()) })
	file := filepath.Join(t.TempDir(), "things.db")
	db, err := openFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE things (href TEXT PRIMARY KEY, version INTEGER NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	on := database{db, projection.SQLite}
	launch := func() func() {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), brokerVariable+"="+p.name, prefixVariable+"="+prefix, fileVariable+"="+file, ownerVariable+"="+server.URL)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := sync.OnceFunc(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		})
		t.Cleanup(kill)
		return kill
	}
	random := mathrand.New(mathrand.NewPCG(1, 2))
	changing := func(n int) {
		for range n {
			path := fmt.Sprintf("/things/%02d", random.IntN(50))
			err := pub.Change(t.Context(), server.URL+path, func(context.Context) (string, string, error) {
				return things.change(path, random.IntN(4) == 0)
			})
			if err != nil {
				t.Error(err)
			}
			<-time.After(time.Duration(random.IntN(10)) * time.Millisecond)
		}
	}
	equal := func() bool { return maps.Equal(things.truth(server.URL), on.held(t, "things")) }
	processes := []func(){launch()}
	eventually(t, "the first fill is over", func() bool {
		var done int
		return db.QueryRowContext(t.Context(), `SELECT walk_done FROM swale_projection_position`).Scan(&done) == nil && done == 1 && equal()
	})
	pages := things.pages()
	processes = append(processes, launch()) // after the fill, so that it has no reason to walk either
	for range 4 {
		changing(30)
		processes[0]()
		processes = append(processes[1:], launch())
		changing(30)
	}
	if !eventually(t, "the table holds what the owner holds", equal) {
		t.Fatalf("(-owner +table):\n%s", cmp.Diff(things.truth(server.URL), on.held(t, "things")))
	}
	if n := things.pages() - pages; n != 0 {
		t.Errorf("nothing was missed, so nobody walks again: %d pages were read", n)
	}
}

// things is an owner behind HTTP.
type things struct {
	mu       sync.Mutex
	versions map[string]int // by path; 0 or less is gone
	read     int            // pages
}

func (o *things) change(path string, remove bool) (kind, tag string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.versions[path]
	v := max(before, -before) + 1
	switch {
	case before > 0 && remove:
		o.versions[path] = -v
		return resn.Delete, "", nil
	case before > 0:
		o.versions[path] = v
		return resn.Update, fmt.Sprintf(`"v%d"`, v), nil
	}
	o.versions[path] = v
	return resn.Create, fmt.Sprintf(`"v%d"`, v), nil
}

func (o *things) truth(origin string) map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows := map[string]int{}
	for p, v := range o.versions {
		if v > 0 {
			rows[origin+p] = v
		}
	}
	return rows
}

func (o *things) pages() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.read
}

func (o *things) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.URL.Path == "/things" {
		o.read++
		type link struct {
			Href string `json:"href"`
		}
		var items []link
		for _, p := range slices.Sorted(maps.Keys(o.versions)) {
			if o.versions[p] > 0 && p > r.URL.Query().Get("after") {
				items = append(items, link{p})
			}
		}
		links := map[string]any{"item": items}
		if len(items) > 10 {
			links["item"], links["next"] = items[:10], link{"/things?after=" + items[9].Href}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"_links": links})
		return
	}
	v := o.versions[r.URL.Path]
	if v <= 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Etag", fmt.Sprintf(`"v%d"`, v))
	_, _ = fmt.Fprintf(w, `{"version":%d}`, v)
}

func cleanNATS(t *testing.T, server, prefix string) {
	t.Helper()
	nc, err := nats.Connect(server, nats.Timeout(time.Minute))
	if err != nil {
		t.Errorf("clean up: %v", err)
		return
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Errorf("clean up: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if strings.Contains(strings.ToLower(name), prefix) {
			if err := js.DeleteStream(ctx, name); err != nil {
				t.Errorf("clean up stream %s: %v", name, err)
			}
		}
	}
	if err := names.Err(); err != nil {
		t.Errorf("clean up: %v", err)
	}
}

func cleanRabbit(t *testing.T, server, prefix string) {
	t.Helper()
	conn, err := amqp.Dial(server)
	if err != nil {
		t.Errorf("clean up: %v", err)
		return
	}
	defer conn.Close() //nolint:errcheck // ends the clean-up
	ch, err := conn.Channel()
	if err != nil {
		t.Errorf("clean up: %v", err)
		return
	}
	for _, x := range []string{prefix + ".events", prefix + ".requests"} {
		if err := ch.ExchangeDelete(x, false, false); err != nil {
			t.Errorf("clean up exchange %s: %v", x, err)
		}
	}
}
