package configcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
)

// pretty writes a document with its members on lines of their own.
func pretty(w io.Writer, v configsvc.Value) {
	var b bytes.Buffer
	if json.Indent(&b, v.JSON(), "", "  ") != nil {
		b.Write(v.JSON()) // it was JSON
	}
	fmt.Fprintln(w, b.String())
}

func list(ctx context.Context, c *cli, args []string) error {
	q := url.Values{"limit": {"1000"}}
	if len(args) > 0 {
		q.Set("prefix", args[0])
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	for path := "/keys?" + q.Encode(); path != ""; {
		var page struct {
			Links struct{ Next struct{ Href string } } `json:"_links"`
			Keys  []store.Document
		}
		if _, err := c.read(ctx, path, &page); err != nil {
			return err
		}
		for _, d := range page.Keys {
			fmt.Fprintf(w, "%s\tv%d\t%s\t%s\t%s\n", d.Key, d.Version, d.Time.Format(time.DateTime), d.Author, d.Message)
		}
		path = ""
		if _, query, more := strings.Cut(page.Links.Next.Href, "?"); more {
			path = "/keys?" + query
		}
	}
	return w.Flush()
}

func get(ctx context.Context, c *cli, args []string) error {
	path := "/keys/" + args[0]
	if c.version > 0 {
		path += "?version=" + strconv.FormatInt(c.version, 10)
	}
	var d store.Document
	if _, err := c.read(ctx, path, &d); err != nil {
		return err
	}
	pretty(c.out, d.Value)
	return nil
}

func writeDiff(w io.Writer, indent string, changes []configsvc.Change) {
	for _, d := range changes {
		path := d.Path
		if path == "" {
			path = "/"
		}
		switch {
		case d.Before.IsZero():
			fmt.Fprintf(w, "%s+ %s: %s\n", indent, path, d.After)
		case d.After.IsZero():
			fmt.Fprintf(w, "%s- %s: %s\n", indent, path, d.Before)
		default:
			fmt.Fprintf(w, "%s~ %s: %s -> %s\n", indent, path, d.Before, d.After)
		}
	}
}

func diff(ctx context.Context, c *cli, args []string) error {
	q := url.Values{"key": {args[0]}}
	switch len(args) {
	case 1: // against the version before
		var past struct{ Changes []store.Commit }
		if _, err := c.read(ctx, "/changes?limit=2&prefix="+url.QueryEscape(args[0]), &past); err != nil {
			return err
		}
		if len(past.Changes) > 0 && past.Changes[0].Revision > 1 {
			q.Set("from", strconv.FormatInt(past.Changes[0].Revision-1, 10))
		}
	case 3:
		q.Set("to", args[2])
		fallthrough
	default:
		q.Set("from", args[1])
	}
	var got struct{ Diff []configsvc.Change }
	if _, err := c.read(ctx, "/diff?"+q.Encode(), &got); err != nil {
		return err
	}
	writeDiff(c.out, "", got.Diff)
	return nil
}

func writeCommit(w io.Writer, commit *store.Commit) {
	for _, change := range commit.Changes {
		what := "changed"
		switch {
		case change.Deleted:
			what = "deleted"
		case change.Created:
			what = "created"
		}
		fmt.Fprintf(w, "  %s %s\n", what, change.Key)
		writeDiff(w, "    ", change.Diff)
	}
}

func history(ctx context.Context, c *cli, args []string) error {
	q := url.Values{"limit": {strconv.Itoa(c.limit)}}
	if len(args) > 0 {
		q.Set("prefix", args[0])
	}
	var got struct{ Changes []store.Commit }
	if _, err := c.read(ctx, "/changes?"+q.Encode(), &got); err != nil {
		return err
	}
	for _, commit := range got.Changes {
		fmt.Fprintf(c.out, "%d  %s  %s  %s\n", commit.Revision, commit.Time.Format(time.RFC3339), commit.Author, commit.Message)
		writeCommit(c.out, &commit)
	}
	return nil
}

// compiled returns the query of what is to be compiled.
func (c *cli) compiled(args []string) (string, error) {
	keys := args
	if c.keys.service != "" {
		keys = append(configsvc.Layers(c.keys.service, c.keys.region, c.keys.environment), args...)
	}
	if err := configsvc.CheckKeys(keys); err != nil {
		return "", err
	}
	q := url.Values{"key": keys}
	if c.version > 0 {
		q.Set("at", strconv.FormatInt(c.version, 10))
	}
	if c.instance != "" {
		q.Set("service", c.keys.service)
		q.Set("instance", c.instance)
	}
	return q.Encode(), nil
}

func compile(ctx context.Context, c *cli, args []string) error {
	q, err := c.compiled(args)
	if err != nil {
		return err
	}
	var got struct{ Value configsvc.Value }
	if _, err := c.read(ctx, "/compile?"+q, &got); err != nil {
		return err
	}
	pretty(c.out, got.Value)
	return nil
}

func explain(ctx context.Context, c *cli, args []string) error {
	q, err := c.compiled(args)
	if err != nil {
		return err
	}
	var got struct{ Settings []configsvc.Setting }
	if _, err := c.read(ctx, "/explain?"+q, &got); err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	for _, s := range got.Settings {
		value := s.Value.String()
		if s.Deleted {
			value = "(deleted)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Path, value, s.Layer)
		for _, o := range s.Overrides {
			fmt.Fprintf(w, "\t  over %s\t  %s\n", o.Value, o.Layer)
		}
	}
	return w.Flush()
}

func instances(ctx context.Context, c *cli, args []string) error {
	path := "/instances"
	if len(args) > 0 {
		path += "?key=" + url.QueryEscape(args[0])
	}
	var got struct{ Instances []server.Running }
	if _, err := c.read(ctx, path, &got); err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	for _, r := range got.Instances {
		notes := ""
		if r.FromCopy {
			notes += " from its copy"
		}
		if r.Rejected != "" {
			notes += " rejects " + r.Rejected + ": " + r.Error
		}
		if len(r.Overrides) > 0 {
			notes += " overrides " + strings.Join(r.Overrides, " ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Service, r.ID, r.Hash, strings.Join(r.Keys, " "), strings.TrimSpace(notes))
	}
	return w.Flush()
}
