package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
)

// Folder keeps keys in files, one each, in a folder that one process has:
//
//	<scope>/<shard>/<owner>.key     a wrapped key
//	<scope>/<shard>/<owner>.erased  it was destroyed; this outranks a key
//	new/<scope>.<owner>             a key on its way to its place
//	erasing/<scope>.<owner>         an erasure that has begun
//
// Whatever a crash leaves in new and erasing, OpenFolder completes.
type Folder struct {
	dir   string
	files filesystem
	held  io.Closer

	mu sync.RWMutex
	// shards are those whose own entries are known to be durable.
	shards map[string]bool
}

// OpenFolder opens the store in dir, which it makes when there is none. It fails
// when another process has it open.
func OpenFolder(dir string) (*Folder, error) { return openFolder(dir, disk{}) }

func openFolder(dir string, files filesystem) (*Folder, error) {
	f := &Folder{dir: dir, files: files, shards: map[string]bool{}}
	if err := f.prepare(); err != nil {
		return nil, fmt.Errorf("open the folder of keys: %w", err)
	}
	if err := f.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("complete what was interrupted in the folder of keys: %w", err), f.Close())
	}
	return f, nil
}

func (f *Folder) prepare() error {
	if err := f.files.mkdir(f.dir); err != nil {
		return err
	}
	if err := f.files.sync(filepath.Dir(f.dir)); err != nil {
		return err
	}
	held, err := f.files.lock(filepath.Join(f.dir, "lock"))
	if err != nil {
		return err
	}
	f.held = held
	for _, name := range []string{"new", "erasing"} {
		if err := f.files.mkdir(filepath.Join(f.dir, name)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.files.sync(f.dir); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// recover completes what a crash interrupted. A key that is still in new may have
// got its place without that being durable; it may also never have got it, and
// then nothing was sealed under it.
func (f *Folder) recover() error {
	for _, dir := range []string{"new", "erasing"} {
		left, err := f.files.list(filepath.Join(f.dir, dir))
		if err != nil {
			return err
		}
		for _, file := range left {
			name, err := pendingName(file)
			if err != nil {
				return fmt.Errorf("%s is not ours, move it away: %w", filepath.Join(f.dir, dir, file), err)
			}
			complete := f.settle
			if dir == "erasing" {
				complete = f.destroy
			}
			if err := complete(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func pendingName(file string) (Name, error) {
	scope, owner, _ := strings.Cut(file, ".")
	if name := (Name{Scope: scope, Owner: owner}); name == verifierName {
		return name, nil
	}
	return nameOf(scope, owner)
}

// Close lets other processes open the folder. The store must not be used after.
func (f *Folder) Close() error { return f.held.Close() }

// Load implements Store.
func (f *Folder) Load(_ context.Context, name Name) ([]byte, error) {
	f.mu.RLock()
	wrapped, err := f.load(name)
	f.mu.RUnlock()
	if !errors.Is(err, errUnsettled) {
		return wrapped, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loadSettled(name)
}

// errUnsettled says that storing the key failed halfway, and that it may be in
// its place without that being durable.
var errUnsettled = errors.New("a key is not settled")

func (f *Folder) loadSettled(name Name) ([]byte, error) {
	wrapped, err := f.load(name)
	if !errors.Is(err, errUnsettled) {
		return wrapped, err
	}
	if err := f.settle(name); err != nil {
		return nil, fmt.Errorf("settle a key: %w", err)
	}
	return f.load(name)
}

func (f *Folder) load(name Name) ([]byte, error) {
	switch erased, err := f.exists(f.path(name, ".erased")); {
	case err != nil:
		return nil, fmt.Errorf("look for an erased key: %w", err)
	case erased:
		return nil, ErrErased
	}
	switch unsettled, err := f.exists(f.pending("new", name)); {
	case err != nil:
		return nil, fmt.Errorf("look for an unsettled key: %w", err)
	case unsettled:
		return nil, errUnsettled
	}
	wrapped, err := f.files.read(f.path(name, ".key"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrUnknownKey
	}
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	return wrapped, nil
}

func (f *Folder) exists(file string) (bool, error) {
	_, err := f.files.mode(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Create implements Store.
func (f *Folder) Create(_ context.Context, name Name, wrapped []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stored, err := f.loadSettled(name)
	if !errors.Is(err, ErrUnknownKey) {
		return stored, err
	}
	if err := f.place(name, wrapped); err != nil {
		return nil, fmt.Errorf("store a key: %w", err)
	}
	return f.load(name)
}

// place writes the key beside its place and links it there, so that the place
// never holds half a key.
func (f *Folder) place(name Name, wrapped []byte) error {
	if err := f.shard(name); err != nil {
		return err
	}
	temp := f.pending("new", name)
	if err := f.files.create(temp, wrapped); err != nil {
		return err
	}
	if err := f.files.link(temp, f.path(name, ".key")); err != nil {
		return err
	}
	return f.settle(name)
}

// settle makes a key's place durable and only then forgets that it was new.
func (f *Folder) settle(name Name) error {
	if err := f.shard(name); err != nil {
		return err
	}
	if err := f.files.sync(f.shardOf(name)); err != nil {
		return err
	}
	return f.files.remove(f.pending("new", name))
}

// Erase implements Store. It overwrites the file before it unlinks it; a disk or
// file system that keeps old blocks may keep the wrapped key for a while.
func (f *Folder) Erase(_ context.Context, name Name) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	begun := f.pending("erasing", name)
	if err := f.files.create(begun, nil); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("begin to erase a key: %w", err)
	}
	if err := f.files.sync(filepath.Dir(begun)); err != nil {
		return fmt.Errorf("begin to erase a key: %w", err)
	}
	if err := f.destroy(name); err != nil {
		return fmt.Errorf("erase a key: %w", err)
	}
	return nil
}

// destroy completes an erasure that has begun. Until the tombstone and the key's
// absence are durable, the mark of its beginning stays.
func (f *Folder) destroy(name Name) error {
	if err := f.shard(name); err != nil {
		return err
	}
	begun, key, tombstone := f.pending("erasing", name), f.path(name, ".key"), f.path(name, ".erased")
	if err := f.files.link(begun, tombstone); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := f.shred(key); err != nil {
		return err
	}
	if err := f.files.sync(f.shardOf(name)); err != nil {
		return err
	}
	return f.files.remove(begun)
}

// shred overwrites a file, if there is one, and removes it.
func (f *Folder) shred(file string) error {
	old, err := f.files.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	noise := make([]byte, len(old))
	if _, err := rand.Read(noise); err != nil {
		return fmt.Errorf("draw random bytes: %w", err)
	}
	if err := f.files.overwrite(file, noise); err != nil {
		return err
	}
	return f.files.remove(file)
}

// shard makes the folder that holds name's files, and its entries in those above
// durable, once a process.
func (f *Folder) shard(name Name) error {
	dir := f.shardOf(name)
	if f.shards[dir] {
		return nil
	}
	if err := f.files.mkdir(dir); err != nil {
		return err
	}
	for _, above := range []string{filepath.Dir(dir), f.dir} {
		if err := f.files.sync(above); err != nil {
			return err
		}
	}
	f.shards[dir] = true
	return nil
}

func (f *Folder) pending(dir string, name Name) string {
	return filepath.Join(f.dir, dir, name.Scope+"."+name.Owner)
}

func (f *Folder) path(name Name, suffix string) string {
	// No file begins with a dot: what copies a folder may leave those out.
	return filepath.Join(f.shardOf(name), cmp.Or(name.Owner, "installation")+suffix)
}

func (f *Folder) shardOf(name Name) string {
	digest := sha256.Sum256([]byte(name.Owner))
	return filepath.Join(f.dir, name.Scope, hex.EncodeToString(digest[:1]))
}
