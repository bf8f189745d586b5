package configsvc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrCopy is wrapped by errors about a copy on disk that can't be used: it was
// changed, cut short, or may be changed by others.
var ErrCopy = errors.New("configsvc: the copy on disk")

// A copy is a line that names its format and the checksum of the rest.
const (
	plainCopy  = "swale-config-1"
	sealedCopy = "swale-config-1-sealed"
)

// file is where the copy of this list of keys is, of this service.
func (f *feed) file() string {
	sum := sha256.Sum256([]byte(f.client.base.String() + "\n" + strings.Join(f.keys, "\n")))
	return filepath.Join(f.client.opts.Dir, "config-"+hex.EncodeToString(sum[:12])+".json")
}

// save keeps a configuration that can be used. A reader sees the old copy or the
// new one, whenever the process dies.
func (f *feed) save(ctx context.Context, got *fetched) error {
	dir, sealer := f.client.opts.Dir, f.client.opts.CopySealer
	if dir == "" {
		return nil
	}
	if len(got.Secrets) > 0 && sealer == nil {
		return fmt.Errorf("%w: the configuration has secrets, which are written only encrypted (ClientOptions.CopySealer)", ErrCopy)
	}
	body, err := json.Marshal(got)
	format := plainCopy
	if err == nil && sealer != nil {
		format = sealedCopy
		body, err = sealer.Seal(ctx, body)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCopy, err)
	}
	sum := sha256.Sum256(body)
	text := append([]byte(format+" "+hex.EncodeToString(sum[:])+"\n"), body...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrCopy, err)
	}
	if err := replace(f.file(), text); err != nil {
		return fmt.Errorf("%w: %w", ErrCopy, err)
	}
	return nil
}

// replace writes a file that only its owner can read, all of it or nothing.
func replace(name string, text []byte) error {
	t, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = t.Write(text)
	err = errors.Join(err, t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), name)
	}
	if err != nil {
		_ = os.Remove(t.Name())
	}
	return err
}

// load reads the copy. The error wraps fs.ErrNotExist where there is none.
func (f *feed) load(ctx context.Context) (*fetched, error) {
	if f.client.opts.Dir == "" {
		return nil, fs.ErrNotExist
	}
	name := f.file()
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%w: %s may be read or changed by others (mode %v)", ErrCopy, name, info.Mode().Perm())
	}
	text, err := os.ReadFile(name) //nolint:gosec // the name is made of hexadecimal digits
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCopy, err)
	}
	line, body, _ := bytes.Cut(text, []byte("\n"))
	format, checksum, _ := strings.Cut(string(line), " ")
	sum := sha256.Sum256(body)
	if checksum != hex.EncodeToString(sum[:]) || format != plainCopy && format != sealedCopy {
		return nil, fmt.Errorf("%w: %s was changed or cut short: its checksum is wrong", ErrCopy, name)
	}
	if format == sealedCopy {
		if f.client.opts.CopySealer == nil {
			return nil, fmt.Errorf("%w: %s is encrypted, and there is no key (ClientOptions.CopySealer)", ErrCopy, name)
		}
		if body, err = f.client.opts.CopySealer.Open(ctx, body); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCopy, name, err)
		}
	}
	got := &fetched{fromCopy: true}
	if err := json.Unmarshal(body, got); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCopy, name, err)
	}
	return got, nil
}
