package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/g4fagent/g4fagent/internal/postgres"
)

// unlockedFor is how old a folder without a lock is when nobody is about to use it.
const unlockedFor = 10 * time.Minute

// templateName changes when clusters of an older name can no longer be used.
const templateName = "template-1"

// prepare makes the folder of this process's server: a copy of a cluster that
// initdb made once for this user, since a copy takes a tenth of the time. It
// returns the template as well.
func prepare(ctx context.Context) (dir, template string, err error) {
	base := filepath.Join(os.TempDir(), "g4fagent-postgrestest-"+strconv.Itoa(os.Geteuid()))
	if err := makeOwn(base); err != nil {
		return "", "", err
	}
	template = filepath.Join(base, templateName)
	if err := makeReady(ctx, base, template); err != nil {
		return "", "", err
	}
	if dir, err = os.MkdirTemp(base, "run-"); err != nil {
		return "", "", fmt.Errorf("make the server's folder: %w", err)
	}
	if err := copyTree(filepath.Join(template, "cluster"), filepath.Join(dir, "cluster")); err != nil {
		return "", "", errors.Join(fmt.Errorf("copy the template: %w", err), os.RemoveAll(dir))
	}
	return dir, template, nil
}

// makeReady tidies up and sees to the template, one process at a time.
func makeReady(ctx context.Context, base, template string) error {
	unlock, err := lock(filepath.Join(base, "lock"), syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeAbandoned(base); err != nil {
		return err
	}
	if _, err := os.Stat(template); errors.Is(err, fs.ErrNotExist) {
		return makeTemplate(ctx, template)
	}
	return nil
}

// makeOwn makes the folder and refuses one that somebody else made in its place.
func makeOwn(base string) error {
	if err := os.Mkdir(base, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of test servers: %w", err)
	}
	info, err := os.Lstat(base)
	if err != nil {
		return fmt.Errorf("look at the folder of test servers: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not this user's folder", base)
	}
	return os.Chmod(base, 0o711) // the server's account passes through
}

func makeTemplate(ctx context.Context, template string) error {
	next := template + ".new"
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("remove an unfinished template: %w", err)
	}
	db, err := postgres.Open(ctx, options(next))
	if err != nil {
		return fmt.Errorf("make the template: %w", err)
	}
	if err := db.Close(ctx); err != nil {
		return fmt.Errorf("make the template: %w", err)
	}
	return os.Rename(next, template)
}

// lock waits for an advisory lock on a file and returns how to give it back.
func lock(path string, how int) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// removeAbandoned removes the folders of processes that are gone. Their servers
// have been told to stop by the kernel; one that is still at it is left alone.
func removeAbandoned(base string) error {
	runs, err := filepath.Glob(filepath.Join(base, "run-*"))
	if err != nil {
		return fmt.Errorf("list old folders: %w", err)
	}
	for _, run := range runs {
		if !abandoned(run) {
			continue
		}
		if err := os.RemoveAll(run); err != nil {
			return fmt.Errorf("remove an old folder: %w", err)
		}
	}
	return nil
}

func abandoned(run string) bool {
	path := filepath.Join(run, "lock")
	if _, err := os.Stat(path); err != nil {
		info, err := os.Stat(run)
		return err == nil && time.Since(info.ModTime()) > unlockedFor
	}
	unlock, err := lock(path, syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return false
	}
	defer unlock()
	content, err := os.ReadFile(filepath.Join(run, "cluster", "postmaster.pid"))
	if err != nil {
		return true
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	return err != nil || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// copyTree copies a cluster, each file with its owner and mode.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			err = os.Mkdir(target, info.Mode().Perm())
		} else {
			err = copyFile(path, target, info.Mode().Perm())
		}
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(stat.Uid) == os.Geteuid() {
			return nil
		}
		return os.Lchown(target, int(stat.Uid), int(stat.Gid))
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
