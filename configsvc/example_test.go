package configsvc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
)

func layer(name, text string) configsvc.Layer {
	v, err := configsvc.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	return configsvc.Layer{Name: name, Version: 1, Value: v}
}

func ExampleCompile() {
	c, err := configsvc.Compile(
		layer("base", `{"db":{"pool":5,"slow":"1s"},"colour":"green"}`),
		layer("base/orders", `{"db":{"pool":20}}`),
		layer("environment/live", `{"db":{"slow":"200ms"},"colour":null}`),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Value)
	for _, s := range c.Explain() {
		fmt.Println(s.Path, s.Value, "by", s.Layer)
	}
	// Output:
	// {"db":{"pool":20,"slow":"200ms"}}
	// /colour  by environment/live (version 1)
	// /db/pool 20 by base/orders (version 1)
	// /db/slow "200ms" by environment/live (version 1)
}

func ExampleCompileError() {
	_, err := configsvc.Compile(layer("base", `{"db":{"pool":5}}`), layer("base/orders", `{"db":"postgres"}`))
	fmt.Println(err)
	// Output:
	// configsvc: layers conflict: /db is an object in base (version 1) and a string in base/orders (version 1); make them the same kind, or delete it in a layer between by null
}

func ExampleWatch() {
	ctx := context.Background()
	h := server.New(store.New(memconfig.New(), nil), &server.Options{
		Allow: server.Grants{{Who: "*", Action: server.Read}, {Who: "*", Action: server.Write}}.Allow,
	})
	service := httptest.NewServer(h)
	defer service.Close()
	write := func(value string) {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/changes", strings.NewReader(`{"edits":[{"key":"base","overwrite":true,"value":`+value+`}]}`))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	write(`{"pool":20}`)

	type Config struct {
		Pool    int                `json:"pool" default:"10" check:"min=1,max=100"`
		Timeout configsvc.Duration `json:"timeout" default:"1s"`
	}
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	client, err := configsvc.NewClient(service.URL, &configsvc.ClientOptions{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(ctx) }()
	w, err := configsvc.Watch[Config](ctx, client, configsvc.Layers("orders", "", "live")...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(w.Get().Pool, w.Get().Timeout)

	write(`{"pool":2000}`) // a slip of the finger
	fmt.Println(w.Refresh(ctx))
	fmt.Println(w.Get().Pool)
	// Output:
	// 20 1s
	// configsvc: an update of base, base/orders, environment/live, environment/live/orders is rejected: /pool must be at most 100
	// 20
}

func ExampleDiff() {
	before, after := layer("", `{"pool":5,"host":"a"}`), layer("", `{"pool":7}`)
	for _, c := range configsvc.Diff(before.Value, after.Value) {
		fmt.Printf("%s: %q becomes %q\n", c.Path, c.Before, c.After)
	}
	// Output:
	// /host: "\"a\"" becomes ""
	// /pool: "5" becomes "7"
}
