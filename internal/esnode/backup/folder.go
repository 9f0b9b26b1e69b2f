package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// fill makes the folder target, all of it or nothing: work fills a folder beside
// it, which takes its name when everything is on the disk.
func fill(source, target string, work func(into string) error) (err error) {
	target, err = filepath.Abs(target)
	if err != nil {
		return fmt.Errorf("find the target: %w", err)
	}
	if err := apart(source, target); err != nil {
		return err
	}
	if err := wantEmpty(target); err != nil {
		return err
	}
	into := target + partial
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return fmt.Errorf("make the target's folder: %w", err)
	}
	if err := os.Mkdir(into, 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s is left of an attempt that was interrupted, or still under way; remove it when it is not", into)
		}
		return fmt.Errorf("make the target: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(into))
		}
	}()
	if err := work(into); err != nil {
		return err
	}
	if err := sync(into); err != nil {
		return err
	}
	// Only an empty folder can be in the way, and stays if the name is not given.
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("put the target in place: %w", err)
	}
	if err := os.Rename(into, target); err != nil {
		return fmt.Errorf("put the target in place: %w", err)
	}
	return sync(filepath.Dir(target))
}

// apart refuses a target within its source, and the reverse.
func apart(source, target string) error {
	source, err := filepath.Abs(source)
	if err != nil {
		return fmt.Errorf("find the source: %w", err)
	}
	within := func(a, b string) bool { return a == b || strings.HasPrefix(a, b+string(filepath.Separator)) }
	if within(source, target) || within(target, source) {
		return fmt.Errorf("%s and %s must not lie within each other", source, target)
	}
	return nil
}

func wantEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look into the target: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("%s: %w", dir, ErrNotEmpty)
	}
	return nil
}

// sync makes a folder's entries durable.
func sync(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // a folder that was just made
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
