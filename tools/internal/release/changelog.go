package release

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// A changelog is one CHANGELOG.md in the form of Keep a Changelog.
type changelog struct {
	sections []section
}

// A section is what stands below one "## [name]" heading.
type section struct {
	name string // "Unreleased" or a version without its v
	text string
}

const unreleased = "Unreleased"

var heading = regexp.MustCompile(`(?m)^## \[([^\]]+)\].*$`)

func parseChangelog(text string) changelog {
	var c changelog
	found := heading.FindAllStringSubmatchIndex(text, -1)
	for i, at := range found {
		end := len(text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		c.sections = append(c.sections, section{
			name: text[at[2]:at[3]],
			text: strings.TrimSpace(text[at[1]:end]),
		})
	}
	return c
}

// section returns the notes under a name, and whether there is such a heading.
func (c changelog) section(name string) (string, bool) {
	for _, s := range c.sections {
		if s.name == name {
			return s.text, true
		}
	}
	return "", false
}

// newest returns the highest version that has a section, or nothing.
func (c changelog) newest() string {
	newest := ""
	for _, s := range c.sections {
		if v := "v" + s.name; semver.IsValid(v) && (newest == "" || semver.Compare(v, newest) > 0) {
			newest = v
		}
	}
	return newest
}

// notes returns what Unreleased says, without headings that nothing follows.
func (c changelog) notes() string {
	text, _ := c.section(unreleased)
	if !strings.Contains(text, "- ") {
		return ""
	}
	return text
}

// bump is the part of a version that the notes move.
type bump string

// The sizes of a step. Before v1 a breaking change moves the minor version, as
// semver allows.
const (
	patch bump = "patch"
	minor bump = "minor"
	major bump = "major"
)

// bumpOf reads from the notes which part of the version moves: a removal or
// something marked breaking the major, an addition, change or deprecation the
// minor, fixes the patch version.
func bumpOf(notes string) bump {
	lower := strings.ToLower(notes)
	switch {
	case strings.Contains(lower, "### removed"), strings.Contains(lower, "breaking:"):
		return major
	case strings.Contains(lower, "### added"), strings.Contains(lower, "### changed"), strings.Contains(lower, "### deprecated"):
		return minor
	default:
		return patch
	}
}

// next returns the version after last.
func (b bump) next(last string) string {
	var maj, min, pat int
	core := strings.TrimSuffix(semver.Canonical(last), semver.Prerelease(last))
	if _, err := fmt.Sscanf(core, "v%d.%d.%d", &maj, &min, &pat); err != nil {
		return FirstVersion
	}
	switch {
	case b == patch:
		pat++
	case b == minor || maj == 0:
		min, pat = min+1, 0
	default:
		maj, min, pat = maj+1, 0, 0
	}
	return fmt.Sprintf("v%d.%d.%d", maj, min, pat)
}

// promote moves the notes of Unreleased under a heading of their own and leaves
// Unreleased empty.
func promote(text, version string, day time.Time) (string, error) {
	at := strings.Index(text, "## ["+unreleased+"]")
	if at < 0 {
		return "", fmt.Errorf("the change notes have no section [%s]", unreleased)
	}
	end := at + len("## ["+unreleased+"]")
	title := fmt.Sprintf("\n\n## [%s] - %s", strings.TrimPrefix(version, "v"), day.Format(time.DateOnly))
	return text[:end] + title + text[end:], nil
}
