package sqladapter_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server/servertest"
	"github.com/goswale/swale/service/sqladapter"
	"github.com/goswale/swale/service/sqladapter/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a wait for what must happen in the end.
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

// newDatabase makes a database on the server, which is gone after the test, and
// returns its URL and its name.
func newDatabase(t *testing.T) (dsn, name string) {
	t.Helper()
	base := os.Getenv("SWALE_TEST_POSTGRES")
	if base == "" {
		const missing = "SWALE_TEST_POSTGRES is not set: needs the URL of a PostgreSQL database"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	name = "t_" + strings.ToLower(rand.Text())
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = admin.Close()
	})
	u.Path = "/" + name
	return u.String(), name
}

// settings is a configuration service that can go down, and what reads it.
type settings struct {
	*servertest.Service
	t    *testing.T
	dir  string
	poll time.Duration
}

// key is where the database's configuration is.
const key = "base/orders/database"

// word is in all passwords of the tests, and must be nowhere else.
const word = "hunter"

func newSettings(t *testing.T) *settings {
	t.Helper()
	s := &settings{Service: servertest.Start(t), t: t, dir: t.TempDir(), poll: time.Hour}
	t.Cleanup(func() {
		if all := s.Log() + s.running(); strings.Contains(all, word) {
			t.Errorf("no log and no report tells a password: %s", all)
		}
	})
	return s
}

// write overwrites the configuration; "" deletes it.
func (s *settings) write(text string) {
	s.t.Helper()
	s.Write(key, text)
}

// running is what the service knows about who runs what.
func (s *settings) running() string {
	s.t.Helper()
	_, answer := s.Request("GET", "/instances", "")
	return answer
}

// config is a configuration with more members.
func config(f *front, user, password, more string) string {
	return fmt.Sprintf(`{"url":%q,"user":%q,"password":{"$secret":%q}%s}`, f.url(), user, password, more)
}

func (s *settings) client() *configsvc.Client {
	s.t.Helper()
	return s.Client("trusted", func(o *configsvc.ClientOptions) {
		o.Poll, o.Dir, o.CopySealer = s.poll, s.dir, s.Sealer
		o.Service, o.Instance, o.Secrets = "orders", "orders-1", true
	})
}

// open opens the database. After the test nothing is connected to the fronts.
func (s *settings) open(fronts ...*front) *sqladapter.Database {
	s.t.Helper()
	d, err := sqladapter.Open(s.t.Context(), s.client(), []string{key}, postgres.Connector, &sqladapter.Options{Logger: s.Logger()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := d.Shutdown(context.Background()); err != nil {
			s.t.Error(err)
		}
		for _, f := range fronts {
			eventually(s.t, "all connections to be closed", func() bool { return f.open() == 0 })
		}
	})
	return d
}

// where asks for the database's name.
func where(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (name string, err error) {
	err = q.QueryRowContext(ctx, "SELECT current_database()").Scan(&name)
	return name, err
}

func mustBe(t *testing.T, d *sqladapter.Database, want string) {
	t.Helper()
	if got, err := where(t.Context(), d); err != nil || got != want {
		t.Fatalf("a query went to %q, %v; it should go to %q", got, err, want)
	}
}
