package system

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/resn"
)

// What a child process is told.
const (
	roleVariable   = "SWALE_SYSTEM_ROLE"
	brokerVariable = "SWALE_SYSTEM_BROKER"
	urlVariable    = "SWALE_SYSTEM_URL"
	prefixVariable = "SWALE_SYSTEM_PREFIX"
	fileVariable   = "SWALE_SYSTEM_FILE"
	skewVariable   = "SWALE_SYSTEM_SKEW"
)

func openFile(file string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(60000)&_pragma=synchronous(NORMAL)&_txlock=immediate")
}

// relayProcess is what a child process does: it runs a relay until it is killed.
func relayProcess() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	skew, err := time.ParseDuration(os.Getenv(skewVariable))
	if err != nil {
		return err
	}
	db, err := openFile(os.Getenv(fileVariable))
	if err != nil {
		return err
	}
	var b *bus.Bus
	for _, p := range products {
		if p.name == os.Getenv(brokerVariable) {
			if b, err = p.open(ctx, os.Getenv(urlVariable), os.Getenv(prefixVariable)); err != nil {
				return err
			}
		}
	}
	box := outbox.New(db, outbox.SQLite, &outbox.Options{Clock: func() time.Time { return time.Now().Add(skew) }})
	relay := outbox.NewRelay(box, b, &outbox.RelayOptions{
		Topics: []string{things}, LeaderTTL: time.Second, PollInterval: 20 * time.Millisecond,
		Watermark: func(topic string, w outbox.Watermark) bus.Event {
			return resn.Watermark{Topic: topic, Epoch: w.Epoch, Seq: w.Sequence, Time: w.Time}.CloudEvent("/" + topic)
		},
	})
	go func() { // says when it leads, so that the right one is killed
		for leads := false; ; {
			if now := relay.Stats().Leading; now != leads {
				leads = now
				fmt.Fprintln(os.Stdout, "leads", leads)
			}
			<-time.After(20 * time.Millisecond)
		}
	}()
	fmt.Fprintln(os.Stdout, "runs")
	return relay.Run(ctx)
}

// child is a process with a relay.
type child struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex
	leads bool
}

// startChild starts a process with a relay and waits until it runs.
func (d *drill) startChild(skew time.Duration) *child {
	d.t.Helper()
	c := &child{done: make(chan struct{})}
	c.cmd = exec.Command(os.Args[0], "-test.run=^$")
	c.cmd.Env = append(os.Environ(), roleVariable+"=relay", brokerVariable+"="+d.product.name, urlVariable+"="+d.ownerURL,
		prefixVariable+"="+d.prefix, fileVariable+"="+d.file, skewVariable+"="+skew.String())
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	runs := make(chan struct{})
	go func() {
		defer close(c.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			switch text := lines.Text(); {
			case text == "runs":
				close(runs)
			case strings.HasPrefix(text, "leads"):
				c.mu.Lock()
				c.leads = text == "leads true"
				c.mu.Unlock()
			}
		}
		_ = c.cmd.Wait() // it was killed
	}()
	d.t.Cleanup(c.kill)
	select {
	case <-runs:
	case <-time.After(patience):
		d.t.Fatal("a process with a relay doesn't start")
	}
	return c
}

// kill ends the process as it stands.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may be dead
	<-c.done
}

// stand lets the process stand still, or go on.
func (c *child) stand(t *testing.T, still bool) {
	t.Helper()
	s := syscall.SIGCONT
	if still {
		s = syscall.SIGSTOP
	}
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (c *child) leading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leads
}
