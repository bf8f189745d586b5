package repotest

import "fmt"

// A Rule is one thing that holds everywhere in the repository.
type Rule struct {
	// Name is short and stable; it names the subtest.
	Name string
	// Why is the reason, for somebody whose build it has just broken.
	Why string
	// Check returns every place that breaks the rule.
	Check func(*Tree) []Finding
}

// A Finding is a place that breaks a rule.
type Finding struct {
	// Where is a file, a file with a line, or a folder.
	Where string
	// What is wrong there.
	What string
}

// String returns the finding as one line.
func (f Finding) String() string { return f.Where + ": " + f.What }

func found(where, format string, args ...any) Finding {
	return Finding{Where: where, What: fmt.Sprintf(format, args...)}
}

// Rules returns all rules of the repository.
func Rules() []Rule {
	return []Rule{
		{"imports", "whoever takes one module gets that one and what the table of the design says, nothing else", Imports},
		{"circles", "modules that require each other in a circle cannot be released one after the other", Circles},
		{"replace", "a replace in go.mod is ignored for everybody who depends on the module, so what it hides breaks only there", NoReplace},
		{"workspace", "a module that go.work forgets is not tested by `go test work`, and one it does not map cannot be resolved before its release", WorkFile},
		{"requires", "siblings are required at the one version that the tree stands for, or releases would mix", Requires},
		{"module files", "each module is somebody's front door: it says what it is, what changed and under which licence", ModuleFiles},
		{"package doc", "a package opens with what it is; a second opening elsewhere is found by nobody and contradicts the first", PackageDoc},
		{"package name", "a package is named for the concept it holds; a drawer for leftovers fills up", PackageName},
		{"examples", "each released module shows itself in an example that runs and is checked", Examples},
		{"testing", "a library that imports testing puts test flags into every program that uses it", NoTesting},
		{"conformance", "whoever writes a driver runs our conformance tests without taking our test dependencies", Conformance},
		{"length", "a file holds one thing; over 700 lines it holds two", Length},
		{"sleep", "a test that sleeps is slow when it works and fails when the machine is busy; use testing/synctest or wait for the event itself", NoSleep},
		{"links", "whoever follows a link or a command of the documentation wants to arrive", Links},
		{"README code", "what a README shows is what people copy first; code that nobody compiles is wrong after the next change", READMECode},
		{"traces", "what stands in the tree works on every machine and with every package source", NoTraces},
	}
}
