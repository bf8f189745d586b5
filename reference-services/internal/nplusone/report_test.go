package nplusone

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() *Report {
	return &Report{
		Updates:      1987,
		ItemsPerPage: 50,
		Strategies: []Figures{
			{Name: None, Pages: 412, PageP50: 11.2, PageP99: 20.4, RequestsPerPage: 51, ItemsShown: 20600, StaleItemsShown: 12, StalenessMax: 1.2},
			{Name: ETag, Pages: 508, PageP50: 9.1, PageP99: 16.8, RequestsPerPage: 51, ItemsShown: 25400, StaleItemsShown: 9, StalenessMax: 0.9},
			{Name: MaxAge, Pages: 14211, PageP50: 0.31, PageP99: 1.4, RequestsPerPage: 0.01, ItemsShown: 710550, StaleItemsShown: 600123, StaleAfterNotice: 600001, StalenessP50: 1800, StalenessP99: 4700, StalenessMax: 5012},
			{Name: RESN, Pages: 12012, PageP50: 0.33, PageP99: 2.9, RequestsPerPage: 0.15, ItemsShown: 600600, StaleItemsShown: 102, StalenessMax: 1.1, QuietPages: 9000, QuietPageRequests: 1},
		},
	}
}

func TestJSONHasExactlyTheAgreedMembers(t *testing.T) {
	data, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var strategies []map[string]any
	if err := json.Unmarshal(doc["strategies"], &strategies); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"name": "none", "pages": 412.0, "page_p50_ms": 11.2, "page_p99_ms": 20.4, "domain_requests_per_page": 51.0,
		"stale_items_shown": 12.0, "stale_after_notice": 0.0, "staleness_p50_ms": 0.0, "staleness_p99_ms": 0.0, "staleness_max_ms": 1.2,
	}
	if diff := cmp.Diff(want, strategies[0]); diff != "" {
		t.Errorf("programs read these members and no others (-want +got):\n%s", diff)
	}
	if len(doc) != 3 || string(doc["updates"]) != "1987" || string(doc["items_per_page"]) != "50" {
		t.Errorf("document is %s; it must have strategies, updates and items_per_page", data)
	}
}

func TestChartIsWellFormedAndStandsAlone(t *testing.T) {
	var b bytes.Buffer
	for name, r := range map[string]*Report{"a usual run": sample(), "nothing measured": {Strategies: []Figures{{Name: None}, {Name: RESN}}}} {
		b.Reset()
		if err := r.WriteChart(&b); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(b.Bytes()))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: the SVG must be well-formed XML: %v", name, err)
			}
		}
		for _, bad := range []string{"NaN", "Inf", "<script", "href=", "url("} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s: the SVG contains %q; it must stand alone and have numbers for coordinates", name, bad)
			}
		}
	}
	if file := os.Getenv("SWALE_TEST_CHART"); file != "" { // to look at it
		b.Reset()
		_ = sample().WriteChart(&b)
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTableIsAligned(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	width := len(lines[3])
	for _, line := range lines[4:8] {
		if len(line) != width {
			t.Errorf("line %q has %d columns; the header has %d, and both must end together", line, len(line), width)
		}
	}
	if !strings.Contains(b.String(), "1/27.6") {
		t.Errorf("the table must say what resn's p50 is as a fraction of etag's:\n%s", b.String())
	}
	t.Log("\n" + b.String())
}
