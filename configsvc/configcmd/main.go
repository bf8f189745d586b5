package configcmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// errUsage is wrapped by errors about how the command was called.
var errUsage = errors.New("usage")

// command is one of the verbs.
type command struct {
	name, args, what string
	run              func(ctx context.Context, c *cli, args []string) error
}

func commands() []command {
	return []command{
		{"ls", "[PREFIX]", "list keys", list},
		{"get", "KEY", "print a document", get},
		{"set", "KEY JSON|@FILE|-", "write a document", set},
		{"edit", "KEY", "write a document with $EDITOR", edit},
		{"delete", "KEY", "delete a document", remove},
		{"diff", "KEY [FROM [TO]]", "what differs between two versions, or from the last one", diff},
		{"history", "[PREFIX]", "who changed what, when and why", history},
		{"rollback", "KEY…", "bring keys back to a revision or a moment (-to)", rollback},
		{"explain", "KEY…", "which layer sets each value", explain},
		{"compile", "KEY…", "print the merged configuration", compile},
		{"instances", "[KEY]", "who runs what", instances},
	}
}

// cli is one call of the command.
type cli struct {
	*service
	in       io.Reader
	out, err io.Writer
	flags    *flag.FlagSet

	message              string
	preview, force       bool
	version              int64
	to, prefix           string
	keys                 layersFlags
	limit                int
	url, token, instance string
}

// layersFlags choose the usual six layers instead of keys.
type layersFlags struct{ service, region, environment string }

// Main runs the command and returns its exit code: 0; 1 when it failed; 2 when it
// was called wrongly.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{in: stdin, out: stdout, err: stderr}
	err := c.run(ctx, args)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "config: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "config: %v\n", err)
	return 1
}

func (c *cli) run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
		c.usage()
		if len(args) == 0 {
			return fmt.Errorf("%w: a verb is missing", errUsage)
		}
		return nil
	}
	for _, cmd := range commands() {
		if cmd.name != args[0] {
			continue
		}
		rest, err := c.parse(cmd, args[1:])
		if err != nil {
			return err
		}
		if c.service, err = newService(c.url, c.token); err != nil {
			return err
		}
		return cmd.run(ctx, c, rest)
	}
	return fmt.Errorf("%w: there is no %q; help lists what there is", errUsage, args[0])
}

func (c *cli) usage() {
	fmt.Fprintln(c.err, "config VERB [flags] …")
	for _, cmd := range commands() {
		fmt.Fprintf(c.err, "  %-10s %-20s %s\n", cmd.name, cmd.args, cmd.what)
	}
	fmt.Fprintln(c.err, "The service is at -url or SWALE_CONFIG_URL; VERB -h shows its flags.")
}

// parse reads flags wherever they stand.
func (c *cli) parse(cmd command, args []string) ([]string, error) {
	c.flags = flag.NewFlagSet("config "+cmd.name+" "+cmd.args, flag.ContinueOnError)
	c.flags.SetOutput(c.err)
	f := c.flags
	f.StringVar(&c.url, "url", os.Getenv("SWALE_CONFIG_URL"), "the service's `URL`")
	c.token = os.Getenv("SWALE_CONFIG_TOKEN")
	switch cmd.name {
	case "set", "edit", "delete", "rollback":
		f.StringVar(&c.message, "m", "", "a `message` that says why")
		f.BoolVar(&c.preview, "n", false, "say what would change, and change nothing")
		f.BoolVar(&c.force, "force", false, "write also what leaves services with layers that conflict")
	case "compile", "explain":
		f.StringVar(&c.keys.service, "service", "", "compile the usual layers of this service")
		f.StringVar(&c.keys.region, "region", "", "the region of those layers")
		f.StringVar(&c.keys.environment, "environment", "", "the environment of those layers")
		f.StringVar(&c.instance, "instance", "", "as this instance of the service, with its rollouts")
	case "history":
		f.IntVar(&c.limit, "limit", 20, "how many commits")
	}
	switch cmd.name {
	case "get", "set", "delete", "compile", "explain":
		f.Int64Var(&c.version, "version", 0, "get: the version to print; set, delete: the one that must be there; compile, explain: the revision")
	case "rollback":
		f.StringVar(&c.to, "to", "", "a `revision`, or a time such as 2026-11-22T12:00:00Z")
		f.StringVar(&c.prefix, "prefix", "", "all keys at and below this one")
	}
	var rest []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if f.NArg() == 0 {
			break
		}
		// "-" alone is an argument.
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
	most, least := strings.Count(cmd.args, " ")+1, strings.Count(cmd.args, "KEY")
	if strings.Contains(cmd.args, "…") {
		most = len(rest)
		if c.prefix != "" || c.keys.service != "" {
			least = 0
		}
	}
	if strings.HasPrefix(cmd.args, "[") {
		least = 0
	}
	if cmd.name == "set" {
		least = 2
	}
	if len(rest) < least || len(rest) > most {
		return nil, fmt.Errorf("%w: %s %s", errUsage, cmd.name, cmd.args)
	}
	return rest, nil
}
