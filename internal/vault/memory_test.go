package vault

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errCut = errors.New("the power is cut")

const never = 1 << 40

// memory is a file system that fails at the cut-th operation, once or from then
// on, and that forgets at a crash what was not synced.
type memory struct {
	fs   *vfs.MemFS
	cut  atomic.Int64
	once bool
}

func newMemory(fs *vfs.MemFS) *memory {
	m := &memory{fs: fs}
	m.cut.Store(never)
	return m
}

func (m *memory) step() error {
	left := m.cut.Add(-1)
	if left == -1 || left < -1 && !m.once {
		return errCut
	}
	return nil
}

// crashed is what the disk holds after the power was cut: what was synced, and
// kept percent of the rest.
func (m *memory) crashed(kept int) *memory {
	return newMemory(m.fs.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: kept, RNG: rand.New(rand.NewPCG(1, uint64(kept))),
	}))
}

func (m *memory) mkdir(dir string) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.fs.MkdirAll(dir, 0o700)
}

func (m *memory) mode(name string) (fs.FileMode, error) {
	info, err := m.fs.Stat(name)
	if err != nil {
		return 0, err
	}
	if info.IsDir() {
		return 0o700, nil
	}
	return 0o600, nil
}

func (m *memory) read(name string) ([]byte, error) {
	f, err := m.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(f)
}

func (m *memory) create(name string, data []byte) error {
	if _, err := m.fs.Stat(name); err == nil {
		return fs.ErrExist
	}
	if err := m.step(); err != nil {
		return err
	}
	f, err := m.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return m.write(f, data)
}

func (m *memory) overwrite(name string, data []byte) error {
	f, err := m.fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return m.write(f, data)
}

func (m *memory) write(f vfs.File, data []byte) error {
	defer func() { _ = f.Close() }()
	half := len(data) / 2
	for _, part := range []struct {
		at   int
		data []byte
	}{{0, data[:half]}, {half, data[half:]}} {
		if err := m.step(); err != nil {
			return err
		}
		if _, err := f.WriteAt(bytes.Clone(part.data), int64(part.at)); err != nil {
			return err
		}
	}
	if err := m.step(); err != nil {
		return err
	}
	return f.Sync()
}

func (m *memory) link(from, to string) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.fs.Link(from, to)
}

func (m *memory) remove(name string) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.fs.Remove(name)
}

func (m *memory) sync(dir string) error {
	if err := m.step(); err != nil {
		return err
	}
	d, err := m.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (m *memory) list(dir string) ([]string, error) { return m.fs.List(dir) }

func (m *memory) lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// holding lists the files that contain data.
func (m *memory) holding(t *testing.T, dir string, data []byte) []string {
	t.Helper()
	names, err := m.fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		name = filepath.Join(dir, name)
		info, err := m.fs.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			found = append(found, m.holding(t, name, data)...)
			continue
		}
		content, err := m.read(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, data) {
			found = append(found, name)
		}
	}
	return found
}
