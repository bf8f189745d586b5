// Package apart runs a server in a process of its own.
//
// A server within the program that measures would share its processors, its
// garbage collector and its scheduler with both clients, as no deployment does:
// a message would change goroutines where it has to change processes, and what a
// client adds to that would look larger or smaller than it is, by the row. What
// stands between a client and a server, a broker or a proxy, runs apart on both
// sides of a row.
package apart

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"
)

// role is the environment variable that makes a program a server: its name, and
// what it is given.
const role = "SWALE_BENCHMARKS_APART"

// patience is how long a server may take to start or stop.
const patience = 30 * time.Second

// servers start a server, and return its URL and what ends it.
var servers = map[string]func(ctx context.Context, given string) (url string, stop func(), err error){
	"nats":  serveNATS,
	"proxy": serveProxy,
}

// Main is the first call of a program that starts servers by this package. In the
// process that is made of that program it serves until its input ends, and doesn't
// return.
func Main() {
	name, given, _ := strings.Cut(os.Getenv(role), " ")
	if name == "" {
		return
	}
	if err := serve(name, given); err != nil {
		fmt.Fprintf(os.Stderr, "%s server: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var errNoMain = errors.New("the program doesn't begin with apart.Main")

func serve(name, given string) error {
	signal.Ignore(os.Interrupt) // it is for whoever started this, who then ends it
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	url, stop, err := servers[name](ctx, given)
	if err != nil {
		return err
	}
	defer stop()
	if _, err := fmt.Println(url); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin) // ends with whoever started this
	return err
}

// start starts a server and returns its URL. stop ends it and waits for that.
func start(ctx context.Context, name, given string) (url string, stop func(), err error) {
	if os.Getenv(role) != "" {
		return "", nil, errNoMain // or every copy would start another
	}
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self)
	cmd.Env = append(os.Environ(), role+"="+name+" "+given)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = patience
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = in.Close()
		_ = cmd.Wait() // what it did before is what counts
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if url = strings.TrimSpace(line); err == nil && !strings.Contains(url, "://") {
		err = errNoMain
	}
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("starting a %s server: %w", name, err)
	}
	return url, stop, nil
}
