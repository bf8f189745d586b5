package sqladapter_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"modernc.org/sqlite"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/service/sqladapter"
)

// The database moves while the program runs.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	handler := server.New(store.New(memconfig.New(), nil), &server.Options{Allow: server.Grants{
		{Who: "*", Action: server.Read}, {Who: "*", Action: server.Write},
	}.Allow})
	service := httptest.NewServer(handler)
	defer service.Close()
	write := func(file string) {
		body := fmt.Sprintf(`{"edits":[{"key":"base/orders/database","overwrite":true,"value":{"url":"file:%s/%s"}}]}`, dir, file)
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/changes", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	write("first.db")

	client, err := configsvc.NewClient(service.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(ctx) }()
	keys := configsvc.Layers("orders/database", "", "")
	db, err := sqladapter.Open(ctx, client, keys, sqladapter.DSN(&sqlite.Driver{}, func(c sqladapter.Config) (string, error) { return c.URL, nil }), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	file := func() {
		var number, name, path any
		if err := db.QueryRowContext(ctx, "PRAGMA database_list").Scan(&number, &name, &path); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(strings.TrimPrefix(path.(string), dir+"/"))
	}
	file()

	write("no/such/folder/second.db")
	if db.Refresh(ctx) != nil {
		fmt.Println("rejected")
	}
	file()
	write("second.db")
	if db.Refresh(ctx) != nil {
		fmt.Println("rejected")
	}
	file()
	// Output:
	// first.db
	// rejected
	// first.db
	// second.db
}
