package restaurants_test

import (
	"bytes"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

const file = `{"address":{"building":"1","coord":[-74.0,40.71],"street":"Elm","zipcode":"1"},"borough":"B","cuisine":"C","name":"One","restaurant_id":"1"}
not json

{"name":"No place","restaurant_id":"2"}
{"address":{"coord":[-74.0,140.71]},"name":"Off the map","restaurant_id":"3"}
{"address":{"coord":[-74.1,40.72]},"name":"Four","restaurant_id":"4"}`

func TestImport(t *testing.T) {
	a := start(t)
	report, err := a.Import(t.Context(), strings.NewReader(file), nil)
	if err != nil || report.Created != 2 || report.Bad != 3 || report.Lines != 5 {
		t.Fatalf("import: %+v, %v; want 2 good lines kept and 3 bad ones counted", report, err)
	}
	for i, line := range []int{2, 4, 5} {
		if report.BadLines[i].Line != line || report.BadLines[i].Reason == "" {
			t.Errorf("bad line %v isn't named with its number and reason; want line %d", report.BadLines[i], line)
		}
	}
	if got := a.announced(t, 1); got[0] != "resn.update /restaurants" {
		t.Errorf("an import into an empty table announced %q; want the collection, once", got)
	}
	changed := strings.Replace(file, `"Four"`, `"Fourth"`, 1)
	report, err = a.Import(t.Context(), strings.NewReader(changed), nil)
	if err != nil || report.Unchanged != 1 || report.Updated != 1 || report.Created != 0 {
		t.Errorf("a repeated import: %+v, %v; want one unchanged and one updated", report, err)
	}
	if got := a.announced(t, 2); len(got) != 2 || got[1] != "resn.update /restaurants/4" {
		t.Errorf("a repeated import announced %q; want only what changed", got[1:])
	}
}

func TestImportSurvivesAHugeLine(t *testing.T) {
	a := start(t)
	lines := strings.SplitN(file, "\n", 2)
	var huge bytes.Buffer
	huge.WriteString(lines[0] + "\n" + strings.Repeat("x", 3<<20) + "\n" + lines[1])
	report, err := a.Import(t.Context(), &huge, nil)
	if err != nil || report.Created != 2 || report.Bad != 4 || report.BadLines[0].Line != 2 {
		t.Errorf("import with a line of 3 MB: %+v, %v", report, err)
	}
}

func TestAnImportUndoesNothing(t *testing.T) {
	a := start(t)
	if _, err := a.Import(t.Context(), strings.NewReader(file), nil); err != nil {
		t.Fatal(err)
	}
	resp, _ := a.do(t, "GET", "/restaurants/1", "")
	tag := a.rename(t, "/restaurants/1", resp.Header.Get("Etag"), "Mine")
	resp, _ = a.do(t, "GET", "/restaurants/4", "")
	a.do(t, "DELETE", "/restaurants/4", "", "If-Match", resp.Header.Get("Etag"))

	report, err := a.Import(t.Context(), strings.NewReader(file), nil)
	if err != nil || report.Unchanged != 2 {
		t.Errorf("the same import again: %+v, %v; want everything unchanged", report, err)
	}
	if resp, body := a.do(t, "GET", "/restaurants/1", ""); resp.Header.Get("Etag") != tag {
		t.Errorf("a repeated import undid a change: %s", body)
	}
	if resp, _ := a.do(t, "GET", "/restaurants/4", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a repeated import brought back what was deleted: %s", resp.Status)
	}
	changed := strings.Replace(file, `"Four"`, `"Fourth"`, 1)
	if report, err := a.Import(t.Context(), strings.NewReader(changed), nil); err != nil || report.Created != 1 {
		t.Errorf("an import that has something new to say: %+v, %v", report, err)
	}
	resp, _ = a.do(t, "GET", "/restaurants/4", "")
	a.announced(t, 4)
	if got := a.etags()[a.url+"/restaurants/4"]; got == "" || got != resp.Header.Get("Etag") {
		t.Errorf("the notice of an import names ETag %q, the restaurant has %q", got, resp.Header.Get("Etag"))
	}
}

// TestAnImportAnnouncesWhatMayBeKnown names a restaurant twice in a first import.
func TestAnImportAnnouncesWhatMayBeKnown(t *testing.T) {
	a := start(t)
	twice := file + "\n" + strings.Replace(strings.SplitN(file, "\n", 2)[0], `"One"`, `"One more"`, 1)
	if _, err := a.Import(t.Context(), strings.NewReader(twice), nil); err != nil {
		t.Fatal(err)
	}
	if got := a.announced(t, 2); !slices.Contains(got, "resn.update /restaurants/1") {
		t.Errorf("announced %q; what was created before it was changed may be in a cache", got)
	}
	resp, _ := a.do(t, "GET", "/restaurants/5", "")
	if got := resp.Header.Get("Cache-Groups"); got != `"restaurants"` {
		t.Errorf("the Cache-Groups of what isn't there is %q; an import announces only the collection", got)
	}
}

// TestImportOfTheCity imports the file that SWALE_TEST_RESTAURANTS names: real
// restaurants, one JSON object a line.
func TestImportOfTheCity(t *testing.T) {
	path := os.Getenv("SWALE_TEST_RESTAURANTS")
	if path == "" {
		t.Skip("SWALE_TEST_RESTAURANTS is not set: no file of restaurants to import")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	a := start(t)
	report, err := a.Import(t.Context(), f, nil)
	if err != nil || report.Bad > report.Lines/10 || report.Created == 0 {
		t.Errorf("import of %s: %d lines, %d created, %d bad %v, %v",
			path, report.Lines, report.Created, report.Bad, report.BadLines, err)
	}
	t.Logf("%d lines, %d created, %d bad", report.Lines, report.Created, report.Bad)
}
