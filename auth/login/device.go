package login

import "strings"

// deviceName says in a few words what a User-Agent field tells, for people who
// look for a session that isn't theirs. It is a name, nothing is decided by it.
func deviceName(agent string) string {
	browser, system := "", ""
	// The order matters: most claim to be some of those below as well.
	for _, b := range [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS", "Firefox"},
		{"Chrome/", "Chrome"}, {"CriOS", "Chrome"}, {"Safari/", "Safari"},
	} {
		if browser == "" && strings.Contains(agent, b[0]) {
			browser = b[1]
		}
	}
	for _, s := range [][2]string{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	} {
		if system == "" && strings.Contains(agent, s[0]) {
			system = s[1]
		}
	}
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case browser+system != "":
		return browser + system
	}
	// A program: its first product, such as "curl/8.0".
	product, _, _ := strings.Cut(agent, " ")
	return clip(product, 60)
}
