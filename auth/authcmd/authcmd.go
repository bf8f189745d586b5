// Package authcmd is a command for people who ask why a service may, or may
// not. A program mounts it:
//
//	os.Exit(authcmd.Main(ctx, os.Args[2:], os.Stdout, os.Stderr))
package authcmd

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/goswale/swale/auth"
)

const usage = `usage: auth explain [-issuer URL | -grants FILE] SERVICE ACTION

Says whether the grants let a service do something, and which one does or what
comes closest. Grants are read from the issuer (default $SWALE_ISSUER), or from
a file to be tried before it is put into force.

  auth explain -issuer https://login.example orders payments:charge
`

// Main runs the command and returns its exit status: 0 for may, 1 for may not,
// 2 when it couldn't be found out.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] != "explain" {
		_, _ = io.WriteString(stderr, usage)
		return 2
	}
	flags := flag.NewFlagSet("auth explain", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = io.WriteString(stderr, usage) }
	issuer := flags.String("issuer", os.Getenv("SWALE_ISSUER"), "")
	file := flags.String("grants", "", "")
	if err := flags.Parse(args[1:]); err != nil {
		return 2
	}
	if flags.NArg() != 2 {
		_, _ = io.WriteString(stderr, usage)
		return 2
	}
	grants, err := read(ctx, *issuer, *file)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "auth explain: %v\n", err)
		return 2
	}
	service, action := flags.Arg(0), flags.Arg(1)
	_, _ = io.WriteString(stdout, grants.Explain(service, action))
	if !grants.May(service, action) {
		return 1
	}
	return 0
}

func read(ctx context.Context, issuer, file string) (auth.Grants, error) {
	switch {
	case file != "":
		data, err := os.ReadFile(file) //nolint:gosec // the file that its caller names
		if err != nil {
			return auth.Grants{}, err
		}
		return auth.ParseGrants(data)
	case issuer == "":
		return auth.Grants{}, errors.New("no issuer: name it by -issuer or SWALE_ISSUER, or name a file by -grants")
	}
	client := &http.Client{Timeout: 10 * time.Second}
	var m auth.Metadata
	if err := get(ctx, client, issuer+auth.MetadataPath, &m); err != nil {
		return auth.Grants{}, err
	}
	if m.GrantsURI == "" {
		return auth.Grants{}, fmt.Errorf("%s has no grants: its metadata has no swale_grants_uri", issuer)
	}
	var raw json.RawMessage
	if err := get(ctx, client, m.GrantsURI, &raw); err != nil {
		return auth.Grants{}, err
	}
	return auth.ParseGrants(raw)
}

func get(ctx context.Context, client *http.Client, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // the issuer that its caller names
	if err != nil {
		return err
	}
	resp, err := client.Do(req) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
