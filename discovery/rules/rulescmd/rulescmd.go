// Package rulescmd is the command for people who write rules: it checks them,
// shows their order, and explains what becomes of a request.
//
//	func main() {
//		os.Exit(rulescmd.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
//	}
//
// # Usage
//
//	rules lint FILE            what is wrong, or probably not meant; exits 1 if anything is
//	rules order FILE           the rules, the most specific first
//	rules explain [flags] FILE what becomes of a request and why
//	rules schema               the JSON Schema of rules
//
// FILE is "-" for standard input. The flags of explain describe the request:
//
//	rules explain -path /v1/point/7 -client 192.0.2.1 -attr region=LON -header Accept=text/html rules.json
package rulescmd

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/goswale/swale/discovery/rules"
)

const usage = `usage: rules lint FILE
       rules order FILE
       rules explain [-method M] [-host H] [-path /P?Q] [-client ADDRESS] [-proxy] [-id ID]
                     [-header NAME=VALUE]... [-attr NAME=VALUE]... [-all] [-json] FILE
       rules schema
FILE is - for standard input.
`

// Main runs the command and returns its exit code: 0 if all is well, 1 if the
// rules aren't, 2 if it wasn't understood.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	run := map[string]func([]string, io.Reader, io.Writer, io.Writer) error{
		"lint": lint, "order": order, "explain": explain, "schema": schema,
	}[args[0]]
	if run == nil {
		fmt.Fprintf(stderr, "rules: there is no command %q\n%s", args[0], usage)
		return 2
	}
	err := run(args[1:], stdin, stdout, stderr)
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "%v\n%s", err, usage)
		return 2
	}
	fmt.Fprintln(stderr, err)
	return 1
}

var errUsage = errors.New("rules: that wasn't understood")

func read(args []string, stdin io.Reader) (*rules.Set, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%w: %d files were named instead of one", errUsage, len(args))
	}
	in := stdin
	if args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, rules.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	return rules.Parse(data)
}

func schema(args []string, _ io.Reader, stdout, _ io.Writer) error {
	if len(args) != 0 {
		return fmt.Errorf("%w: schema takes no argument", errUsage)
	}
	_, err := io.WriteString(stdout, rules.Schema())
	return err
}

func lint(args []string, stdin io.Reader, stdout, _ io.Writer) error {
	set, err := read(args, stdin)
	if err != nil {
		return err
	}
	if _, err := rules.Accept(set); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d rules, nothing to say\n", len(set.Rules))
	return nil
}

func order(args []string, stdin io.Reader, stdout, _ io.Writer) error {
	engine, err := compile(args, stdin)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for i, t := range engine.Explain(&rules.Request{}).Trials {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", i+1, t.Rule, strings.Join(t.Does, ","), t.Specificity)
	}
	return w.Flush()
}

func compile(args []string, stdin io.Reader) (*rules.Engine, error) {
	set, err := read(args, stdin)
	if err != nil {
		return nil, err
	}
	return rules.Compile(set)
}

// pairs collects NAME=VALUE flags.
type pairs func(name, value string)

func (p pairs) String() string { return "" }

func (p pairs) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("write NAME=VALUE, not %q", text)
	}
	p(name, value)
	return nil
}

func explain(args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	r := rules.Request{Header: http.Header{}, Attributes: map[string]string{}}
	flags := flag.NewFlagSet("explain", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&r.Method, "method", http.MethodGet, "request `method`")
	flags.StringVar(&r.Host, "host", "", "`name` that the request is for")
	path := flags.String("path", "/", "`path` and query, escaped")
	client := flags.String("client", "", "`address` of the client")
	flags.BoolVar(&r.FromProxy, "proxy", false, "the request came from a trusted proxy")
	flags.StringVar(&r.ID, "id", "", "the request's `id`")
	flags.Var(pairs(r.Header.Add), "header", "a header field, `NAME=VALUE`")
	flags.Var(pairs(func(n, v string) { r.Attributes[n] = v }), "attr", "an attribute, `NAME=VALUE`")
	all := flags.Bool("all", false, "show also the rules that don't match")
	asJSON := flags.Bool("json", false, "write JSON")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	r.Path, r.Query, _ = strings.Cut(*path, "?")
	if *client != "" {
		addr, err := netip.ParseAddr(*client)
		if err != nil {
			return fmt.Errorf("%w: -client is %q, which is no address", errUsage, *client)
		}
		r.Client = addr
	}
	engine, err := compile(flags.Args(), stdin)
	if err != nil {
		return err
	}
	x := engine.Explain(&r)
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(x)
	}
	return write(stdout, x, *all)
}

// write tells an explanation to people.
func write(stdout io.Writer, x *rules.Explanation, all bool) error {
	fmt.Fprintf(stdout, "%s\n\n", x.Request)
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, v := range x.Verdicts {
		name := v.Rule
		if name == "" {
			name = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.Kind, name, v.Why)
	}
	fmt.Fprintln(w)
	hidden := 0
	for _, t := range x.Trials {
		if !t.Matched && !all {
			hidden++
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", t.Rule, t.Specificity, t.Words)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n%d rules tried, %d compared by the index", len(x.Trials), x.Compared)
	if hidden > 0 {
		fmt.Fprintf(stdout, "; -all shows the %d that don't match", hidden)
	}
	fmt.Fprintln(stdout)
	return nil
}
