package rows_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/goswale/swale/benchmarks/internal/rows"
)

// TestREADMEListsTheRows holds the table of the README to the rows that there
// are: a figure that nobody can look up is nobody's.
func TestREADMEListsTheRows(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, measured []string
	for _, m := range regexp.MustCompile("`([a-z]+(?:\\.[a-z0-9_]+)+)`").FindAllSubmatch(data, -1) {
		listed = append(listed, string(m[1]))
	}
	for _, row := range rows.All() {
		measured = append(measured, row.Name)
		if !slices.Contains(listed, row.Name) {
			t.Errorf("README.md does not say what %s compares: %s", row.Name, row.Note)
		}
	}
	for _, name := range listed {
		if !slices.Contains(measured, name) {
			t.Errorf("README.md lists %s, which nobody measures", name)
		}
	}
}
