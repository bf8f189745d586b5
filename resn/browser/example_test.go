package browser_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/browser"
)

// What a page gets, as it stands on the wire.
func Example() {
	ctx := context.Background()
	b := membus.New(nil)
	h, err := browser.Open(ctx, b, []string{"dishes"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(h)

	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/changes?topic=dishes", http.NoBody)
	resp, err := server.Client().Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	notice := resn.Event{Topic: "dishes", Type: resn.Update, Href: "https://api.example/dishes/7", Time: time.UnixMilli(1_700_000_000_000), Seq: 1, Epoch: "b3Yk"}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "event: lost") { // connected, and no owner was heard yet
			_ = b.Publish(ctx, "dishes", notice.CloudEvent("/dishes"))
		}
		if strings.Contains(line, "notice") {
			fmt.Println(line)
			for range 2 {
				lines.Scan()
				fmt.Println(lines.Text())
			}
			break
		}
	}
	_ = resp.Body.Close()
	_ = h.Shutdown(ctx)
	server.Close()
	_ = b.Shutdown(ctx)
	// Output:
	// event: notice
	// id: dishes=1.b3Yk
	// data: {"topic":"dishes","type":"update","href":"https://api.example/dishes/7","time":"2023-11-14T22:13:20Z","seq":1,"epoch":"b3Yk"}
}
