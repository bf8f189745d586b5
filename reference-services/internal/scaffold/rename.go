package scaffold

import (
	"regexp"
	"strings"
)

// The words of the services that are copied.
const (
	ownPath  = "github.com/goswale/swale/reference-services/"
	about    = "restaurant"
	edgeName = "storefront"
)

// plain are the words that only restaurants, or only this city, have a use for, and
// what stands for them in a service about anything.
var plain = strings.NewReplacer(
	"cuisine", "kind", "Cuisine", "Kind",
	"borough", "district", "Borough", "District",
	"prep_minutes", "lead_minutes", "PrepMinutes", "LeadMinutes",
	"Minutes to prepare an order", "Lead time in minutes",
	"It is made with [Swale](https://github.com/goswale/swale).",
	"It is made with [Swale](https://github.com/goswale/swale), and began as a copy by `swale new` of code that is under the Apache License 2.0.",
)

var (
	// articles are those in front of the word, at the end of a comment's line too.
	articles = regexp.MustCompile(`\b([Aa])((?:[ \t]|\n[ \t]*//)+` + about + `)\b`)
	// camelArticle is that inside of a test's name.
	camelArticle = regexp.MustCompile(`\BA(` + title(about) + `)`)
	nouns        = regexp.MustCompile(`(?i)` + about + `(s?)`)
)

// rename returns a text about restaurants as one about the noun.
func (n noun) rename(text string) string {
	if n.article() == "an" {
		text = articles.ReplaceAllString(text, "${1}n${2}")
		text = camelArticle.ReplaceAllString(text, "An${1}")
	}
	text = plain.Replace(text)
	return nouns.ReplaceAllStringFunc(text, func(old string) string {
		to := n.singular
		if strings.HasSuffix(strings.ToLower(old), "s") {
			to = n.plural
		}
		switch {
		case old == strings.ToUpper(old):
			return strings.ToUpper(to)
		case old[0] == 'R':
			return title(to)
		}
		return to
	})
}

// identity is what an edge service is called.
type identity struct {
	label string // of the service and its program: near-menus
}

// name is the package: nearmenus.
func (i identity) name() string { return strings.ReplaceAll(i.label, "-", "") }

// heading is for people: Near menus.
func (i identity) heading() string { return title(strings.ReplaceAll(i.label, "-", " ")) }

// label finds where the service or its program is meant, and not the package.
var label = regexp.MustCompile(`(cmd/|Command |"|# )` + edgeName + `\b`)

// rename returns a text of the edge service's as one of this one's.
func (i identity) rename(text string) string {
	text = label.ReplaceAllString(text, "${1}"+i.label)
	return strings.NewReplacer(edgeName, i.name(), title(edgeName), i.heading()).Replace(text)
}
