package eventschema_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testdata/RELEASED names every sample with its digest, as sha256sum prints
// them. A sample may be added there, and never changed: what it shows is in
// somebody's log.
func TestReleasedSamplesNeverChange(t *testing.T) {
	t.Parallel()
	released := releasedDigests(t)
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		name := filepath.ToSlash(strings.TrimPrefix(path, "testdata"+string(filepath.Separator)))
		switch want, ok := released[name]; {
		case !ok:
			t.Errorf("%s is not in RELEASED: add %q", name, hex.EncodeToString(sum[:])+"  "+name)
		case want != hex.EncodeToString(sum[:]):
			t.Errorf("%s was changed after its release: make a new version instead", name)
		}
		delete(released, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range released {
		t.Errorf("%s was removed after its release", name)
	}
}

func releasedDigests(t *testing.T) map[string]string {
	t.Helper()
	list, err := os.ReadFile(filepath.Join("testdata", "RELEASED"))
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for line := range strings.Lines(string(list)) {
		digest, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("RELEASED: %q is not \"digest  name\"", line)
		}
		digests[name] = digest
	}
	return digests
}
