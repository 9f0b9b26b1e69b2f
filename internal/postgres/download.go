package postgres

import (
	"archive/tar"
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/xi2/xz"
)

// downloadVersion names the programs of the embedded-postgres-binaries project,
// which builds them for tests on machines without Postgres.
const downloadVersion = "17.5.0"

const (
	downloadWait = 10 * time.Minute
	maxArchive   = 256 << 20
	maxUnpacked  = 1 << 30
)

// repository is the root of a Maven repository.
type repository string

const mavenCentral repository = "https://repo1.maven.org/maven2"

// download puts the programs into a folder of their version below dir. Nothing
// is there until all of it is, and nothing is kept whose checksum differs.
func (r repository) download(ctx context.Context, dir string) (binaries, error) {
	ctx, cancel := context.WithTimeout(ctx, downloadWait)
	defer cancel()
	platform := platformName(runtime.GOOS, runtime.GOARCH, fileExists("/etc/alpine-release"))
	name := "embedded-postgres-binaries-" + platform
	address := fmt.Sprintf("%s/io/zonky/test/postgres/%s/%s/%s-%s.jar", r, name, downloadVersion, name, downloadVersion)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return binaries{}, fmt.Errorf("make the folder of programs: %w", err)
	}
	archive, err := os.CreateTemp(dir, "archive-")
	if err != nil {
		return binaries{}, fmt.Errorf("make room for the download: %w", err)
	}
	defer func() { _ = os.Remove(archive.Name()) }()
	defer func() { _ = archive.Close() }()
	if err := fetch(ctx, address, archive); err != nil {
		return binaries{}, fmt.Errorf("download Postgres from %s: %w", address, err)
	}
	target := filepath.Join(dir, downloadVersion)
	if err := unpack(archive, target); err != nil {
		return binaries{}, fmt.Errorf("unpack Postgres from %s: %w", address, err)
	}
	return inspectBinaries(ctx, filepath.Join(target, "bin"))
}

// platformName is how the project names a system and a processor.
func platformName(system, processor string, alpine bool) string {
	if processor == "arm64" {
		processor = "arm64v8"
	}
	if alpine {
		processor += "-alpine"
	}
	return system + "-" + processor
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fetch copies what is at address and compares it with its published checksum.
func fetch(ctx context.Context, address string, to io.Writer) error {
	var published strings.Builder
	if err := get(ctx, address+".sha256", &published, 1<<10); err != nil {
		return err
	}
	hash := sha256.New()
	if err := get(ctx, address, io.MultiWriter(to, hash), maxArchive); err != nil {
		return err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if want, _, _ := strings.Cut(strings.TrimSpace(published.String()), " "); sum != want {
		return fmt.Errorf("its checksum is %s, not the published %s", sum, want)
	}
	return nil
}

func get(ctx context.Context, address string, to io.Writer, limit int64) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", response.Status)
	}
	n, err := io.Copy(to, io.LimitReader(response.Body, limit+1))
	if err != nil {
		return err
	}
	if n > limit {
		return fmt.Errorf("it is longer than %d bytes", limit)
	}
	return nil
}

// unpack takes the one compressed tar file out of the archive.
func unpack(archive *os.File, target string) error {
	info, err := archive.Stat()
	if err != nil {
		return err
	}
	files, err := zip.NewReader(archive, info.Size())
	if err != nil {
		return err
	}
	for _, file := range files.File {
		if !strings.HasSuffix(file.Name, ".txz") {
			continue
		}
		content, err := file.Open()
		if err != nil {
			return err
		}
		defer func() { _ = content.Close() }()
		plain, err := xz.NewReader(content, 0)
		if err != nil {
			return err
		}
		return unpackTar(plain, target)
	}
	return errors.New("it holds no programs")
}

// unpackTar fills a new folder, which gets its name once it is complete. No
// entry reaches outside of it.
func unpackTar(from io.Reader, target string) (err error) {
	unfinished := target + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := os.MkdirAll(unfinished, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(unfinished)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, root.Close()); err == nil {
			err = os.Rename(unfinished, target)
		}
	}()
	if err := openFolder(root, "."); err != nil {
		return err
	}
	reader, left := tar.NewReader(from), int64(maxUnpacked)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if left -= header.Size; left < 0 {
			return fmt.Errorf("it holds more than %d bytes", int64(maxUnpacked))
		}
		if err := unpackEntry(root, header, reader); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name := filepath.Clean(header.Name)
	switch header.Typeflag {
	case tar.TypeDir:
		return openFolder(root, name)
	case tar.TypeSymlink:
		return root.Symlink(header.Linkname, name)
	case tar.TypeReg:
	default:
		return fmt.Errorf("an entry of type %q", header.Typeflag)
	}
	if err := openFolder(root, filepath.Dir(name)); err != nil {
		return err
	}
	mode := header.FileInfo().Mode().Perm() | 0o444
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyN(file, content, header.Size)
	return errors.Join(err, file.Chmod(mode), file.Close())
}

// openFolder makes a folder that every account can enter, whatever the umask is.
func openFolder(root *os.Root, name string) error {
	if err := root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	return root.Chmod(name, 0o755)
}
