package projection_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/projection"
)

// A table of dishes that can be searched, of menus that somebody else owns.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b := membus.New(nil)
	owner := httptest.NewServer(resn.Stamp("menus")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/menus":
			fmt.Fprint(w, `{"_links": {"item": [{"href": "/menus/1"}, {"href": "/menus/2"}]}}`)
		case "/menus/1":
			fmt.Fprint(w, `{"dish": "dumplings", "price": 9}`)
		default:
			fmt.Fprint(w, `{"dish": "noodles", "price": 12}`)
		}
	})))
	defer owner.Close()

	db, err := sql.Open("sqlite", "file:example?mode=memory&cache=shared")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE dishes (href TEXT PRIMARY KEY, name TEXT, price INTEGER)`); err != nil {
		fmt.Println(err)
		return
	}

	client, err := resn.NewClient(b, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := projection.New(client, db, projection.SQLite, []projection.Table{{
		Name:       "dishes",
		Topic:      "menus",
		Collection: owner.URL + "/menus",
		Row: func(r *projection.Resource) (projection.Row, error) {
			var menu struct {
				Dish  string
				Price int
			}
			err := r.Decode(&menu)
			return projection.Row{"name": menu.Dish, "price": menu.Price}, err
		},
	}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := p.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()

	wait, enough := context.WithTimeout(ctx, time.Minute)
	defer enough()
	if err := p.WaitFilled(wait); err != nil {
		fmt.Println(err)
		return
	}
	var name string
	err = db.QueryRowContext(ctx, `SELECT name FROM dishes WHERE price < 10`).Scan(&name)
	fmt.Println(name, err)

	cancel()
	fmt.Println(<-done)
	ctx = context.Background()
	_ = client.Close(ctx)
	_ = b.Shutdown(ctx)
	// Output:
	// dumplings <nil>
	// <nil>
}
