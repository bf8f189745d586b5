package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const notesText = `# Changes

## [Unreleased]

### Added

- A thing.

## [0.2.0] - 2026-01-02

### Fixed

- Another.

## [0.1.0] - 2026-01-01

- The first.
`

func TestChangelog(t *testing.T) {
	c := parseChangelog(notesText)
	if got, want := c.notes(), "### Added\n\n- A thing."; got != want {
		t.Errorf("unreleased notes are %q, not %q", got, want)
	}
	if got, _ := c.section("0.2.0"); got != "### Fixed\n\n- Another." {
		t.Errorf("section 0.2.0 is %q: it ends where the next version begins", got)
	}
	if got := c.newest(); got != "v0.2.0" {
		t.Errorf("newest is %q, not the highest version with a section", got)
	}
	if got := parseChangelog("## [Unreleased]\n\n### Added\n").notes(); got != "" {
		t.Errorf("notes are %q: a heading that nothing follows says nothing", got)
	}
}

func TestBump(t *testing.T) {
	for _, c := range []struct{ notes, last, want string }{
		{"### Fixed\n- x", "v0.1.0", "v0.1.1"},
		{"### Added\n- x", "v0.1.3", "v0.2.0"},
		{"### Removed\n- x", "v0.1.3", "v0.2.0"},
		{"### Fixed\n- Breaking: x", "v1.4.2", "v2.0.0"},
		{"### Added\n- x", "v1.4.2", "v1.5.0"},
		{"### Fixed\n- x", "v1.4.2", "v1.4.3"},
		{"### Fixed\n- x", "no version", FirstVersion},
	} {
		if got := bumpOf(c.notes).next(c.last); got != c.want {
			t.Errorf("after %s with %q comes %s, not %s", c.last, c.notes, got, c.want)
		}
	}
}

func TestPromote(t *testing.T) {
	got, err := promote("# Changes\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n", "v0.3.0", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	want := "# Changes\n\n## [Unreleased]\n\n## [0.3.0] - 2026-11-22\n\n### Added\n\n- A thing.\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the notes must stand under the version and Unreleased be empty (-want +got):\n%s", d)
	}
	if _, err := promote("# Changes\n", "v0.3.0", time.Time{}); err == nil {
		t.Error("notes without an Unreleased section were promoted")
	}
}
