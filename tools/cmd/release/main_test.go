package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
)

func TestWrongCalls(t *testing.T) {
	for _, args := range [][]string{nil, {"ship"}, {"plan", "-nosuchflag"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("release %s returned %v: a wrong call is told apart, for exit code 2", strings.Join(args, " "), err)
		}
	}
	if err := run(t.Context(), []string{"plan", "-h"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("release plan -h returned %v", err)
	}
}

// The plan of the tree that this file stands in: every released module has a
// line, and those that are never released have none.
func TestPlanOfThisTree(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"plan"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"bus ", "cache ", "hal ", "resn ", "reference-services "} {
		if !strings.Contains(out.String(), "\n"+module) {
			t.Errorf("the plan has no line for %s:\n%s", module, out.String())
		}
	}
	for _, module := range []string{"benchmarks", "tools", "internal/"} {
		if strings.Contains(out.String(), "\n"+module) {
			t.Errorf("the plan has a line for %s, which is never released:\n%s", module, out.String())
		}
	}
}
