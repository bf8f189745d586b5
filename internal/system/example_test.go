package system_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/resn"
)

// diner owns restaurants: they are in its database, and who changes one says so
// in the same transaction. It is what resn's README shows.
type diner struct {
	db      *sql.DB
	box     *outbox.Outbox
	relay   *outbox.Relay
	notices resn.Announcer
	root    string
}

func openDiner(ctx context.Context, db *sql.DB, b *bus.Bus) (*diner, error) {
	d := &diner{db: db, box: outbox.New(db, outbox.SQLite, nil), notices: resn.Announcer{Topic: "restaurants"}}
	if err := d.box.Migrate(ctx); err != nil {
		return nil, err
	}
	_, err := db.ExecContext(ctx, `CREATE TABLE restaurant (id INTEGER PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL)`)
	d.relay = outbox.NewRelay(d.box, b, &outbox.RelayOptions{
		Topics:    []string{"restaurants"},
		Watermark: resn.Watermarks[outbox.Watermark]("/restaurants"),
	})
	return d, err
}

func (d *diner) get(w http.ResponseWriter, r *http.Request) {
	var name string
	var version int
	err := d.db.QueryRowContext(r.Context(), `SELECT name, version FROM restaurant WHERE id = $1`, r.PathValue("id")).Scan(&name, &version)
	if errors.Is(err, sql.ErrNoRows) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "max-age=5")
	w.Header().Set("ETag", tagOf(version))
	_, _ = io.WriteString(w, name)
}

// rename changes a restaurant, and announces that it did.
func (d *diner) rename(ctx context.Context, id int, name string) error {
	return d.box.InTx(ctx, func(tx *sql.Tx) error {
		var version int
		err := tx.QueryRowContext(ctx, `INSERT INTO restaurant VALUES ($1, $2, 1)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = version + 1 RETURNING version`, id, name).Scan(&version)
		if err != nil {
			return err
		}
		notice, err := d.notices.Notice(resn.Event{Type: resn.Update, Href: d.root + "/restaurants/" + strconv.Itoa(id), ETag: tagOf(version)})
		if err != nil {
			return err
		}
		return d.box.Append(ctx, tx, "restaurants", notice)
	})
}

func tagOf(version int) string { return strconv.Quote("v" + strconv.Itoa(version)) }

// An owner with a database, and a reader that asks once for each change.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	b := membus.New(nil)
	folder, err := os.MkdirTemp("", "diner")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	db, err := sql.Open("sqlite", filepath.Join(folder, "diner.db")+"?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		panic(err)
	}
	owner, err := openDiner(ctx, db, b)
	if err != nil {
		panic(err)
	}
	lease, relayed := resn.NewBusLease(b), make(chan error, 1)
	go func() {
		relayed <- resn.RunOwned(ctx, lease, []string{"restaurants"}, owner.relay.Run,
			&resn.OwnershipOptions{Owner: "diner", TTL: 200 * time.Millisecond}) // the default is 2 s
	}()
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /restaurants/{id}", func(w http.ResponseWriter, r *http.Request) { asked++; owner.get(w, r) })
	server := httptest.NewServer(resn.Stamp("restaurants")(mux))
	owner.root = server.URL

	client, err := resn.NewClient(b, nil)
	if err != nil {
		panic(err)
	}
	if err := client.Listen(ctx, "restaurants"); err != nil {
		panic(err)
	}
	for !client.Topics()[0].Live {
		<-time.After(time.Millisecond)
	}
	read := func() string {
		var body []byte
		for range 100 {
			resp, err := client.HTTP().Get(server.URL + "/restaurants/203")
			if err != nil {
				return err.Error()
			}
			body, _ = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		return string(body)
	}
	for i, name := range []string{"Luigi", "Luigi's"} {
		if err := owner.rename(ctx, 203, name); err != nil {
			panic(err)
		}
		for client.Topics()[0].Notices <= uint64(i) {
			<-time.After(time.Millisecond)
		}
		fmt.Println(read(), "- asked", asked)
	}

	_ = client.Close(ctx)
	server.Close()
	stop()
	fmt.Println(<-relayed)
	end := context.Background()
	_, _, _ = lease.Close(end), b.Shutdown(end), db.Close()
	// Output:
	// Luigi - asked 1
	// Luigi's - asked 2
	// <nil>
}
