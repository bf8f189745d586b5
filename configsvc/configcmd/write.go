package configcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
)

// current reads a key for a write. It returns the condition of the write: that
// the key still is what was read, or still isn't there.
func (c *cli) current(ctx context.Context, key string) (*store.Document, []string, error) {
	if c.version > 0 {
		return nil, []string{"If-Match", `"v` + strconv.FormatInt(c.version, 10) + `"`}, nil
	}
	var d store.Document
	a, err := c.read(ctx, "/keys/"+key, &d)
	if absent(err) {
		return nil, []string{"If-None-Match", "*"}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return &d, []string{"If-Match", a.header.Get("Etag")}, nil
}

// write sends a write of one key, or has it previewed.
func (c *cli) write(ctx context.Context, method, key string, body []byte, condition []string) error {
	q := url.Values{}
	if c.message != "" {
		q.Set("message", c.message)
	}
	if c.preview {
		q.Set("dry-run", "true")
	}
	if c.force {
		q.Set("force", "true")
	}
	a, err := c.ask(ctx, method, "/keys/"+key+"?"+q.Encode(), body, condition...)
	if err != nil {
		return err
	}
	if c.preview {
		return c.show(a)
	}
	if a.status == http.StatusNoContent {
		fmt.Fprintf(c.out, "deleted %s\n", key)
		return nil
	}
	var d store.Document
	if err := json.Unmarshal(a.body, &d); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s is v%d\n", key, d.Version)
	return nil
}

// show prints a preview.
func (c *cli) show(a answer) error {
	var p store.Preview
	if err := json.Unmarshal(a.body, &p); err != nil {
		return err
	}
	if p.Commit == nil {
		fmt.Fprintln(c.out, "nothing to do")
		return nil
	}
	writeCommit(c.out, p.Commit)
	services := "services"
	if len(p.Effects) == 1 {
		services = "service"
	}
	fmt.Fprintf(c.out, "alters %d %s\n", len(p.Effects), services)
	for _, e := range p.Effects {
		fmt.Fprintf(c.out, "  %s (%s)\n", e.Consumer.Name, strings.Join(e.Consumer.Keys, " "))
		if e.Problem != "" {
			fmt.Fprintf(c.out, "    can't be compiled: %s\n", e.Problem)
		}
		writeDiff(c.out, "    ", e.Diff)
	}
	return nil
}

// document reads what is to be written: JSON, @file, or - for the input.
func (c *cli) document(arg string) ([]byte, error) {
	text := []byte(arg)
	var err error
	switch {
	case arg == "-":
		text, err = io.ReadAll(c.in)
	case strings.HasPrefix(arg, "@"):
		text, err = os.ReadFile(arg[1:])
	}
	if err != nil {
		return nil, err
	}
	v, err := configsvc.Parse(text)
	return v.JSON(), err
}

func set(ctx context.Context, c *cli, args []string) error {
	body, err := c.document(args[1])
	if err != nil {
		return err
	}
	_, condition, err := c.current(ctx, args[0])
	if err != nil {
		return err
	}
	return c.write(ctx, http.MethodPut, args[0], body, condition)
}

func remove(ctx context.Context, c *cli, args []string) error {
	d, condition, err := c.current(ctx, args[0])
	if err != nil {
		return err
	}
	if d == nil && c.version == 0 {
		return fmt.Errorf("there is no %s", args[0])
	}
	return c.write(ctx, http.MethodDelete, args[0], nil, condition)
}

// edit has a document changed in an editor. What can't be written is kept, so
// that nobody types it again.
func edit(ctx context.Context, c *cli, args []string) error {
	key := args[0]
	d, condition, err := c.current(ctx, key)
	if err != nil {
		return err
	}
	var before bytes.Buffer
	if d == nil {
		before.WriteString("{}\n")
	} else {
		pretty(&before, d.Value)
	}
	f, err := os.CreateTemp("", "config-*.json") // with mode 0600
	if err != nil {
		return err
	}
	name := f.Name()
	_, err = f.Write(before.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	after, err := c.edited(ctx, name)
	if err != nil {
		return fmt.Errorf("%w; the text is kept in %s", err, name)
	}
	if bytes.Equal(after, before.Bytes()) {
		fmt.Fprintln(c.out, "nothing changed")
		return os.Remove(name)
	}
	v, err := configsvc.Parse(after)
	if err == nil {
		err = c.write(ctx, http.MethodPut, key, v.JSON(), condition)
	}
	if err != nil {
		return fmt.Errorf("%w\nthe text is kept in %s", err, name)
	}
	return os.Remove(name)
}

// edited runs the editor and returns what the file has afterwards.
func (c *cli) edited(ctx context.Context, name string) ([]byte, error) {
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	words := append(strings.Fields(editor), name)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // the caller's own editor
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, c.err
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the editor %q: %w", editor, err)
	}
	return os.ReadFile(name) //nolint:gosec // the file made above
}

func rollback(ctx context.Context, c *cli, args []string) error {
	body := server.Rollback{Message: c.message, Keys: args, Prefix: c.prefix, DryRun: c.preview, Force: c.force}
	var err error
	if body.To, err = strconv.ParseInt(c.to, 10, 64); err != nil {
		if body.Moment, err = time.Parse(time.RFC3339, c.to); err != nil {
			return fmt.Errorf("%w: -to is %q; it must be a revision or a time such as 2026-11-22T12:00:00Z", errUsage, c.to)
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	a, err := c.ask(ctx, http.MethodPost, "/rollbacks", text)
	if err != nil {
		return err
	}
	return c.show(a)
}
