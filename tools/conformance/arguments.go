package conformance

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed arguments.txt
var argumentsText string

// Arguments returns, by test id, why we do not do what a test asks: the lines of
// arguments.txt.
func Arguments() (map[string]string, error) { return parseArguments(argumentsText) }

// parseArguments reads lines "test-id: reason"; empty ones and those that begin
// with # say nothing.
func parseArguments(text string) (map[string]string, error) {
	arguments := make(map[string]string)
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, reason, ok := strings.Cut(line, ": ")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("arguments.txt:%d: want \"test-id: reason\"", n+1)
		}
		if arguments[id] != "" {
			return nil, fmt.Errorf("arguments.txt:%d: %s is argued twice", n+1, id)
		}
		arguments[id] = strings.TrimSpace(reason)
	}
	return arguments, nil
}
