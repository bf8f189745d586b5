package resn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// An owner and a reader: the reader asks once, however often it reads, until
// the owner says that something changed.
func Example() {
	ctx := context.Background()
	b := membus.New(nil)

	// The owner serves a menu and names the topic of its changes.
	var price, asked atomic.Int64
	price.Store(9)
	stamp := resn.Stamp("menus")
	owner := httptest.NewServer(stamp(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=5")
		fmt.Fprintf(w, "dumplings %d", price.Load())
	})))
	announce, err := resn.NewPublisher(b, "menus", nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	// The reader has the whole stack in one call.
	client, err := resn.NewClient(b, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.Listen(ctx, "menus"); err != nil {
		fmt.Println(err)
		return
	}
	for !client.Topics()[0].Live {
		<-time.After(time.Millisecond)
	}
	read := func() string {
		resp, err := client.HTTP().Get(owner.URL + "/menus/1")
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err.Error()
		}
		return string(body)
	}

	for range 100 {
		read()
	}
	fmt.Println(read(), "- asked", asked.Load())

	err = announce.Change(ctx, owner.URL+"/menus/1", func(context.Context) (string, string, error) {
		price.Store(10)
		return resn.Update, "", nil
	})
	if err != nil {
		fmt.Println(err)
	}
	for client.Topics()[0].Notices == 0 {
		<-time.After(time.Millisecond)
	}
	for range 100 {
		read()
	}
	fmt.Println(read(), "- asked", asked.Load())

	_ = announce.Close(ctx)
	_ = client.Close(ctx)
	_ = b.Shutdown(ctx)
	owner.Close()
	// Output:
	// dumplings 9 - asked 1
	// dumplings 10 - asked 2
}

func ExampleEvent() {
	notice := resn.Event{
		Topic: "restaurants",
		Type:  resn.Update,
		Href:  "https://api.example/restaurants/203",
	}
	text, err := json.Marshal(notice)
	fmt.Println(string(text), err)
	fmt.Println(json.Unmarshal([]byte(`{"topic":"restaurants","type":"update","href":"/restaurants/203"}`), &notice))
	// Output:
	// {"topic":"restaurants","type":"update","href":"https://api.example/restaurants/203"} <nil>
	// resn: not a notice: href is "/restaurants/203"; it must be an absolute http or https URL
}
