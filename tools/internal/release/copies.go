package release

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
)

// copier is the program that copies services into modules of their own.
const copier = "swale"

// copies proves that what `swale new` makes stands alone: with the command that a
// stranger installed, and modules from the proxies only, each kind of copy tidies
// without a change to what it requires, vets, and passes its tests.
func (h *rehearsal) copies(ctx context.Context) error {
	for _, c := range []struct{ kind, name string }{{"domain", "menus"}, {"edge", "near-menus"}} {
		started := time.Now()
		if err := h.copy(ctx, c.kind, c.name); err != nil {
			return fmt.Errorf("swale new %s %s: %w", c.kind, c.name, err)
		}
		h.say("swale new %s %s tidies, vets, passes its tests (%s)", c.kind, c.name, round(time.Since(started)))
	}
	return nil
}

func (h *rehearsal) copy(ctx context.Context, kind, name string) error {
	dir := filepath.Join(h.dir, "copies", name)
	program := filepath.Join(h.dir, "bin", copier)
	if out, err := exec.CommandContext(ctx, program, "new", kind, name, "--dir", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	golang := h.golang.in(dir)
	before, err := direct(golang.dir)
	if err != nil {
		return err
	}
	if _, err := golang.run(ctx, "mod", "tidy"); err != nil {
		return err
	}
	after, err := direct(golang.dir)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("its go.mod requires\n%s\nand go mod tidy says\n%s", before, after)
	}
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		if _, err := golang.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// direct is what a module requires for its own imports, a line each.
func direct(dir string) (string, error) {
	name := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	file, err := modfile.Parse(name, data, nil)
	if err != nil {
		return "", err
	}
	var all []string
	for _, r := range file.Require {
		if !r.Indirect {
			all = append(all, r.Mod.String())
		}
	}
	return strings.Join(all, "\n"), nil
}
