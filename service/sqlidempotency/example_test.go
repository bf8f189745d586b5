package sqlidempotency_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/sqlidempotency"
)

// The order is made once, whichever instance the request is sent to again.
func ExampleNew() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:") // PostgreSQL as well
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1) // each connection to :memory: has a database of its own
	store := sqlidempotency.New(db, nil)
	if err := store.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	orders := 0
	h := service.Idempotent(store, nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		orders++
		w.WriteHeader(http.StatusCreated)
	}))
	for range 2 {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/orders", http.NoBody)
		r.Header.Set(service.IdempotencyKeyHeader, "8e03978e-40d5-43dd-bc93-6894a57f9324")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Idempotent-Replayed") == "true")
	}
	fmt.Println(orders, "order")
	// Output:
	// 201 false
	// 201 true
	// 1 order
}
