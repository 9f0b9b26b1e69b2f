package postgres

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maven serves one archive for every platform, with the checksum given.
func maven(t *testing.T, archive []byte, checksum string) repository {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.Contains(r.URL.Path, "/"+downloadVersion+"/"):
			http.NotFound(w, r)
		case strings.HasSuffix(r.URL.Path, ".jar.sha256"):
			_, _ = w.Write([]byte(checksum))
		case strings.HasSuffix(r.URL.Path, ".jar") && archive != nil:
			_, _ = w.Write(archive)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return repository(server.URL)
}

func archiveOf(t *testing.T, name string, content []byte) ([]byte, string) {
	t.Helper()
	var archive bytes.Buffer
	files := zip.NewWriter(&archive)
	file, err := files.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(archive.Bytes())
	return archive.Bytes(), hex.EncodeToString(sum[:])
}

func TestDownload(t *testing.T) {
	t.Parallel()
	programs, err := os.ReadFile("testdata/programs.txz")
	if err != nil {
		t.Fatal(err)
	}
	archive, checksum := archiveOf(t, "postgres-system-processor.txz", programs)

	t.Run("unpacks programs that run, with their links", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "programs")
		b, err := maven(t, archive, checksum+"\n").download(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if b.major != 17 || b.dir != filepath.Join(dir, downloadVersion, "bin") {
			t.Errorf("%+v", b)
		}
		if link, err := os.Readlink(filepath.Join(dir, downloadVersion, "lib", "libpq.so")); err != nil || link != "libpq.so.5.17" {
			t.Errorf("%s, %v", link, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
			t.Errorf("left: %v, %v", left, err)
		}
	})

	noPrograms, sum := archiveOf(t, "readme", nil)
	for name, server := range map[string]repository{
		"whose checksum differs":          maven(t, archive, strings.Repeat("0", 64)),
		"without a checksum":              maven(t, archive, ""),
		"without programs":                maven(t, noPrograms, sum),
		"from a server that is not there": "http://127.0.0.1:1",
		"that is not there":               maven(t, nil, checksum),
	} {
		t.Run("keeps nothing of an archive "+name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if b, err := server.download(t.Context(), dir); err == nil {
				t.Errorf("unpacked %+v", b)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestUnpackStaysInItsFolder(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]tar.Header{
		"a path that climbs": {{Name: "../escaped", Typeflag: tar.TypeReg}},
		"an absolute path":   {{Name: "/tmp/escaped", Typeflag: tar.TypeReg}},
		"a link to climb by": {{Name: "out", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "out/escaped", Typeflag: tar.TypeReg}},
		"a device":           {{Name: "null", Typeflag: tar.TypeChar}},
		"a bomb":             {{Name: "bomb", Typeflag: tar.TypeReg, Size: maxUnpacked + 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var content bytes.Buffer
			writer := tar.NewWriter(&content)
			for _, entry := range entries {
				entry.Mode = 0o755
				if err := writer.WriteHeader(&entry); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			if err := unpackTar(&content, filepath.Join(dir, "programs")); err == nil {
				t.Error("was unpacked")
			}
			for _, path := range []string{filepath.Join(dir, "programs"), filepath.Join(dir, "escaped"), "/tmp/escaped"} {
				if fileExists(path) {
					t.Errorf("%s is there", path)
				}
			}
		})
	}
}

func TestPlatformName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		system, processor string
		alpine            bool
		want              string
	}{
		{"linux", "amd64", false, "linux-amd64"},
		{"linux", "arm64", false, "linux-arm64v8"},
		{"linux", "amd64", true, "linux-amd64-alpine"},
		{"linux", "arm64", true, "linux-arm64v8-alpine"},
		{"darwin", "arm64", false, "darwin-arm64v8"},
		{"darwin", "amd64", false, "darwin-amd64"},
	} {
		if got := platformName(c.system, c.processor, c.alpine); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
