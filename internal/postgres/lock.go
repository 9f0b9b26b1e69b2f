package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrLocked says that another process runs a managed server in the folder.
var ErrLocked = errors.New("the folder is in use")

// lockWait outlasts a child of a killed process on its way to exec: until then
// it holds a copy of the lock.
const lockWait = 500 * time.Millisecond

// lockDir takes the folder for this process. The lock ends with the process,
// however that ends.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the folder's lock: %w", err)
	}
	if err := flock(ctx, file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := nameHolder(file); err != nil {
		return nil, errors.Join(fmt.Errorf("write the folder's lock: %w", err), file.Close())
	}
	return file, nil
}

func flock(ctx context.Context, file *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	ticker := time.NewTicker(stagePoll)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("lock the folder: %w", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w by process %s", filepath.Dir(file.Name()), ErrLocked, holder(file))
		}
	}
}

// nameHolder writes whose the folder is, for others that find it locked.
func nameHolder(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(file, "%d\n", os.Getpid())
	return err
}

func holder(file *os.File) string {
	var content [32]byte
	n, _ := file.ReadAt(content[:], 0) // an empty file has no name to tell
	if pid := strings.TrimSpace(string(content[:n])); pid != "" {
		return pid
	}
	return "(unknown)"
}
