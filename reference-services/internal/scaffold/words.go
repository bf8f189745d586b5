package scaffold

import (
	"fmt"
	"regexp"
	"strings"
)

// noun is what a service is about.
type noun struct{ plural, singular string }

// newNoun finds the singular of a plural, unless it is given.
func newNoun(plural, singular string) (noun, error) {
	if singular != "" {
		return noun{plural, singular}, nil
	}
	// Where the same letters end both, as in buses and houses, the commoner form is
	// taken; what was taken is said when the copy is made.
	endsIn := func(suffixes string) bool {
		return regexp.MustCompile(`(` + suffixes + `)$`).MatchString(plural)
	}
	switch {
	case endsIn("..ies"):
		singular = strings.TrimSuffix(plural, "ies") + "y"
	case endsIn("sses|shes|ches|xes|[^aou]uses|..oes"):
		singular = strings.TrimSuffix(plural, "es")
	case endsIn("[^s]s"):
		singular = strings.TrimSuffix(plural, "s")
	default:
		return noun{}, fmt.Errorf("%q isn't a plural that ends in s: name the service by the plural of what it owns, such as menus, and where that has another form, say the singular by --singular", plural)
	}
	return noun{plural, singular}, nil
}

// vowel tells which words are said with a vowel first, as nearly as their letters
// do: an order, a user, an hour.
var (
	vowel   = regexp.MustCompile(`^([aeio]|u|hour|heir|hono)`)
	noVowel = regexp.MustCompile(`^(eu|ewe|one|once|u[bcdfgklmnprst][aeiou]|uni)`)
)

// article is "a" or "an".
func (n noun) article() string {
	if vowel.MatchString(n.singular) && !noVowel.MatchString(n.singular) {
		return "an"
	}
	return "a"
}

// title begins a word with a capital letter.
func title(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
