// Conformance runs the public HTTP cache tests against the cache.
//
// Usage:
//
//	conformance [-out FILE] [-dir DIR] [-strict] [-v] [TEST-ID…]
//	conformance -beside FILE [-dir DIR]
//
// It prints the tests that did not pass and a count, writes the report to FILE,
// and exits 1 when a required test failed for which arguments.txt has no reason;
// with -strict also when an optimal one did. With test ids it runs only these
// and shows each request and response. With -beside it runs them through ours
// and the caches that it is compared with. It needs node and npm.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/goswale/swale/tools/conformance"
)

func main() {
	var o options
	flag.StringVar(&o.out, "out", "", "write the report to this `file`")
	flag.StringVar(&o.dir, "dir", filepath.Join("bin", "conformance"), "install the tests into this `folder`")
	flag.StringVar(&o.beside, "beside", "", "run the tests through ours and its peers instead, and write a table to this `file`")
	flag.BoolVar(&o.strict, "strict", false, "optimal tests need an argument too")
	flag.BoolVar(&o.verbose, "v", false, "show what the tests say")
	flag.Parse()
	o.ids = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	out, dir        string
	beside          string
	strict, verbose bool
	ids             []string
}

func run(ctx context.Context, o options) (err error) {
	arguments, err := conformance.Arguments()
	if err != nil {
		return err
	}
	suite, err := conformance.Install(ctx, o.dir)
	if err != nil {
		return err
	}
	if o.verbose || len(o.ids) > 0 {
		suite.Log = os.Stderr
	}
	if o.beside != "" {
		return write(o.beside, func(w io.Writer) error {
			return conformance.WriteBeside(ctx, w, os.Stderr, suite, conformance.Origin)
		})
	}
	transport := conformance.Ours(conformance.Origin())
	defer func() { err = errors.Join(err, transport.Close()) }()
	tests, err := suite.Run(ctx, transport, o.ids...)
	if err != nil {
		return err
	}
	report := conformance.Judge(tests, arguments)
	if len(o.ids) > 0 {
		report.Needless = nil
	}
	report.WriteText(os.Stdout)
	if o.out != "" {
		if err := write(o.out, report.WriteMarkdown); err != nil {
			return err
		}
	}
	if n := len(report.OpenRequired()); n > 0 {
		return fmt.Errorf("%d required tests failed without a reason in arguments.txt", n)
	}
	if o.strict && len(report.Open) > 0 {
		return fmt.Errorf("%d optimal tests failed without a reason in arguments.txt", len(report.Open))
	}
	return nil
}

func write(name string, content func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return content(f)
}
