package restaurants_test

import (
	"os"
	"testing"
)

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
