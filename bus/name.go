package bus

import "fmt"

// MaxNameLength is how long the name of a topic, group or subject may be.
const MaxNameLength = 128

// CheckName returns an error that wraps ErrInvalidTopic unless name is allowed
// for topics, groups and request subjects: 1 to 128 of the characters a-z, 0-9,
// '-', '_' and '.', without a dot at either end or two in a row. That is what
// every broker can carry unchanged.
func CheckName(name string) error {
	if name == "" || len(name) > MaxNameLength {
		return fmt.Errorf("%w: %q has %d characters, allowed are 1 to %d", ErrInvalidTopic, name, len(name), MaxNameLength)
	}
	dot := true // as if one stood before the first character
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			dot = false
		case c == '.' && !dot:
			dot = true
		default:
			return fmt.Errorf("%w: %q: character %q at %d, allowed are a-z, 0-9, '-', '_' and single dots between them", ErrInvalidTopic, name, c, i)
		}
	}
	if dot {
		return fmt.Errorf("%w: %q ends with a dot", ErrInvalidTopic, name)
	}
	return nil
}
