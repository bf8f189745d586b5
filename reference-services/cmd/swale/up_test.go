package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/reference-services/internal/nplusone"
)

func TestUpFromRootToRestaurantAndBack(t *testing.T) {
	data := t.TempDir()
	p := start(t, "up", "--data", data, "--listen", "127.0.0.1:0", "--city", "30")
	page := nearby(t, p.said["storefront"])
	if page.Count != 30 || len(page.Topics) != 1 {
		t.Fatalf("page has %d restaurants, topics %v; want the whole city", page.Count, page.Topics)
	}
	// It is ready when its cache is warm. On a busy machine a watermark may be late,
	// and then there is a moment in which nobody vouches.
	eventually(t, "a page that is live, from the cache", func() bool {
		page = nearby(t, p.said["storefront"])
		return page.Degraded == nil && page.Topics[0].Live && page.Embedded.Items[0].Source == "cache"
	})
	href := page.Embedded.Items[3].Links.Self.Href
	var doc struct{ Name string }
	header := fetch(t, href, &doc)
	if doc.Name != page.Embedded.Items[3].Name {
		t.Errorf("the link leads to %q and the page shows %q", doc.Name, page.Embedded.Items[3].Name)
	}
	if _, err := rename(t.Context(), href, header.Get("ETag"), "Chez Swale"); err != nil {
		t.Fatal(err)
	}
	if csp := explorerPolicy(t, p.said["explorer"]); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("the explorer at %q has the Content-Security-Policy %q; it must be a strict one", p.said["explorer"], csp)
	}
	changed := time.Now()
	eventually(t, "the new name on the page", func() bool {
		return nearby(t, p.said["storefront"]).Embedded.Items[3].Name == "Chez Swale"
	})
	t.Logf("the page shows the new name %v after the owner's answer", time.Since(changed))

	for _, args := range [][]string{
		{"up", "--data", data, "--listen", "127.0.0.1:0"},
		{"up", "--data", t.TempDir(), "--listen", strings.TrimSuffix(strings.TrimPrefix(p.said["storefront"], "http://"), "/")},
	} {
		_, stderr, code := runOnce(t, args...)
		if code != 1 || !strings.Contains(stderr, "in use") || !strings.Contains(stderr, "--") {
			t.Errorf("swale %v beside the first: exit code %d, %q; it must be refused and say what to do", args, code, stderr)
		}
	}

	p.stop()
	again := start(t, "up", "--data", data, "--listen", "127.0.0.1:0")
	if got := nearby(t, again.said["storefront"]); got.Count != 30 || got.Embedded.Items[3].Name != "Chez Swale" {
		t.Errorf("a second start finds %d restaurants, the changed one called %q; everything must be there again", got.Count, got.Embedded.Items[3].Name)
	}
	again.stop()
}

// explorerPolicy reads the explorer's page and returns its policy.
func explorerPolicy(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the explorer answers %s", resp.Status)
	}
	return resp.Header.Get("Content-Security-Policy")
}

func TestWithoutRestaurantsTheStorefrontServesOn(t *testing.T) {
	owner := address(t)
	edge := start(t, "up", "--data", t.TempDir(), "--without-restaurants",
		"--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--restaurants-listen", owner)
	domain := start(t, "restaurants", "--data", t.TempDir(), "--listen", owner, "--nats", busURL(edge), "--city", "20")
	root := edge.said["storefront"]
	eventually(t, "a whole page from a service that came later", func() bool {
		resp, err := http.Get(strings.TrimSuffix(root, "/") + "/nearby")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		var p pageDocument
		return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(&p) == nil &&
			p.Count == 20 && len(p.Topics) == 1 && p.Topics[0].Live
	})
	page := nearby(t, root)
	it := page.Embedded.Items[5]
	if _, err := rename(t.Context(), it.Links.Self.Href, it.ETag, "Chez Swale"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new name on the page", func() bool {
		return nearby(t, root).Embedded.Items[5].Name == "Chez Swale"
	})

	domain.stop()
	page = nearby(t, root)
	if len(page.Embedded.Items) != 20 {
		t.Errorf("%d restaurants are shown when their owner has stopped; the owner's last word vouches for all 20", len(page.Embedded.Items))
	}
	eventually(t, "the page says that its owner is gone", func() bool {
		page = nearby(t, root)
		return page.Degraded != nil && page.Degraded.Since != "" && !page.Topics[0].Live
	})
	if shown := len(page.Embedded.Items); shown != 20 || page.Embedded.Items[5].Name != "Chez Swale" {
		t.Errorf("%d restaurants are shown long after their owner has stopped; nothing changed since, so all 20 may be", shown)
	}
	edge.stop()
}

func TestDemoPrintsOneObject(t *testing.T) {
	chart := filepath.Join(t.TempDir(), "chart.svg")
	// On a busy machine, which makes few pages between two changes, it takes longer
	// until the figures are those of the pages and not of the machine.
	for durations := []string{"3s", "15s", "60s"}; ; durations = durations[1:] {
		report := demo(t, chart, durations[0])
		asked := report.Of(nplusone.RESN).RequestsPerPage
		if asked <= 1 {
			break
		}
		if len(durations) == 1 {
			t.Fatalf("resn took %v domain requests per page; at most 1", asked)
		}
		t.Logf("in %s resn took %v domain requests per page", durations[0], asked)
	}
	if _, err := os.Stat(chart); err != nil {
		t.Error(err)
	}
}

// demo runs the demonstration and checks what no machine has a part in.
func demo(t *testing.T, chart, duration string) *nplusone.Report {
	t.Helper()
	stdout, stderr, code := runOnce(t, "demo", "n+1", "--duration", duration, "--items", "50", "--json", "--svg", chart)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	report := new(nplusone.Report)
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(report); err != nil || d.More() {
		t.Fatalf("standard output must be one object and nothing else: %v\n%s", err, stdout)
	}
	t.Log(stdout)
	resn := report.Of(nplusone.RESN)
	if len(report.Strategies) != 4 || report.ItemsPerPage != 50 || report.Updates == 0 || resn.Pages == 0 {
		t.Errorf("report is %+v; it must have four strategies, 50 items and updates", report)
	}
	if resn.StaleAfterNotice != 0 {
		t.Errorf("resn showed %d items stale after their notice; there must be none", resn.StaleAfterNotice)
	}
	return report
}

func TestWrongCallsAreExplained(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		say  string
	}{
		{nil, 2, "Usage"},
		{[]string{"up", "--nonsense"}, 2, "swale up: flag provided but not defined: -nonsense\nTry: swale up --help\n"},
		{[]string{"up", "--city", "many"}, 2, "-city"},
		{[]string{"up", "--city", "-5"}, 2, "--city is -5"},
		{[]string{"up", "--geohash", "!!!"}, 2, "--geohash: "},
		{[]string{"help", "nonsense"}, 2, "swale help"},
		{[]string{"storefront", "--nats", "nats://me:secret@127.0.0.1:1", "--listen", "127.0.0.1:0"}, 1, "connect to nats://127.0.0.1:1: "},
		{[]string{"up", "--orders", "-1"}, 2, "--orders"},
		{[]string{"up", "--orders", "NaN"}, 2, "--orders"},
		{[]string{"up", "--listen", "nonsense", "--data", t.TempDir()}, 1, "HOST:PORT"},
		{[]string{"up", "--listen", "127.0.0.1:0", "--data", os.DevNull}, 1, "--data"},
		{[]string{"nonsense"}, 2, "swale help"},
		{[]string{"up", "stray"}, 2, "not a flag"},
		{[]string{"demo"}, 2, "demo n+1"},
		{[]string{"demo", "n+1", "--items", "0"}, 2, "--items"},
		{[]string{"demo", "n+1", "--restaurants", "no-such-file"}, 1, "no-such-file"},
		{[]string{"storefront", "--nats", "nats://127.0.0.1:1", "--listen", "127.0.0.1:0"}, 1, "--nats"},
	} {
		_, stderr, code := runOnce(t, c.args...)
		if strings.Contains(stderr, "secret") {
			t.Errorf("swale %v shows a password: %q", c.args, stderr)
		}
		if code != c.code || !strings.Contains(stderr, c.say) {
			t.Errorf("swale %v: exit code %d, %q; want %d and a word about %q", c.args, code, stderr, c.code, c.say)
		}
	}
	stdout, _, code := runOnce(t, "help")
	if code != 0 || !strings.Contains(stdout, "demo") {
		t.Errorf("swale help: exit code %d, %q", code, stdout)
	}
	if stdout, stderr, code := runOnce(t, "help", "up"); code != 0 || !strings.Contains(stdout+stderr, "--kernel-listen") {
		t.Errorf("swale help up: exit code %d, %q %q; want the flags of up", code, stdout, stderr)
	}
	for _, arg := range []string{"version", "--version"} {
		if stdout, _, code := runOnce(t, arg); code != 0 || !strings.HasPrefix(stdout, "swale ") {
			t.Errorf("swale %s: exit code %d, %q", arg, code, stdout)
		}
	}
}
