package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// cluster is the managed server's folder: the lock, the log, the files that say
// who may connect, and, in data, what initdb makes.
type cluster struct {
	dir      string
	data     string
	account  account
	binaries binaries
	settings map[string]string
	socket   *socket
	log      *slog.Logger
}

// openCluster makes the folder ready for a server to start in. The caller holds
// the folder's lock.
func openCluster(ctx context.Context, dir string, account account, o Options) (*cluster, error) {
	c := &cluster{dir: dir, data: filepath.Join(dir, "cluster"), account: account, settings: o.Settings, log: o.Logger}
	major, err := c.majorThere()
	if err != nil {
		return nil, err
	}
	if c.binaries, err = c.chooseBinaries(ctx, major, o); err != nil {
		return nil, err
	}
	if err := c.endLeftOver(ctx); err != nil {
		return nil, err
	}
	if major != 0 && major != c.binaries.major {
		if err := c.moveAside(ctx, major); err != nil {
			return nil, err
		}
		major = 0
	}
	if major == 0 {
		if err := c.initialize(ctx); err != nil {
			return nil, err
		}
	}
	if err := account.owns(c.data); err != nil {
		return nil, err
	}
	if err := c.writeAccess(); err != nil {
		return nil, err
	}
	c.socket, err = openSocket(c.data)
	return c, err
}

func (c *cluster) chooseBinaries(ctx context.Context, major int, o Options) (binaries, error) {
	if o.BinDir != "" {
		return inspectBinaries(ctx, o.BinDir)
	}
	programs := filepath.Join(c.dir, "programs")
	dirs := append(binaryDirs(ctx), filepath.Join(programs, downloadVersion, "bin"))
	b, err := findBinaries(ctx, dirs, major)
	if !errors.Is(err, ErrNoBinaries) || !o.Download {
		return b, err
	}
	c.log.LogAttrs(ctx, slog.LevelInfo, "downloading Postgres", slog.String("version", downloadVersion), slog.String("from", string(mavenCentral)))
	return mavenCentral.download(ctx, programs)
}

// majorThere is the major version of the cluster that is there, or 0.
func (c *cluster) majorThere() (int, error) {
	content, err := os.ReadFile(filepath.Join(c.data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the cluster's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("read the cluster's version: %w", err)
	}
	return major, nil
}

// endLeftOver ends the servers that a killed process left: of the cluster, and
// of one that was being made.
func (c *cluster) endLeftOver(ctx context.Context) error {
	for _, data := range []string{c.data, c.unfinished()} {
		found, err := endServer(ctx, data, nil)
		if err != nil {
			return fmt.Errorf("end the server that was left over: %w", err)
		}
		if found {
			c.log.LogAttrs(ctx, slog.LevelInfo, "ended a Postgres that an earlier process left over", slog.String("folder", data))
		}
	}
	return nil
}

func (c *cluster) unfinished() string { return c.data + ".new" }

// moveAside keeps the cluster of another major version under a name of its own.
// What it held is derived from the log, and is built again in a new cluster.
func (c *cluster) moveAside(ctx context.Context, major int) error {
	aside := fmt.Sprintf("%s.v%d", c.data, major)
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.v%d.%d", c.data, major, n)
	}
	if err := os.Rename(c.data, aside); err != nil {
		return fmt.Errorf("move the cluster of Postgres %d aside: %w", major, err)
	}
	c.log.LogAttrs(ctx, slog.LevelWarn, "the cluster is of another Postgres version: moved aside; a new one is made and filled from the event log",
		slog.Int("cluster_version", major), slog.Int("server_version", c.binaries.major), slog.String("kept_in", aside))
	return nil
}

// initialize makes a cluster under another name and renames it once it is
// complete, so that a crash never leaves half of one.
func (c *cluster) initialize(ctx context.Context) error {
	unfinished := c.unfinished()
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		return fmt.Errorf("make the cluster's folder: %w", err)
	}
	if c.account.switched {
		if err := os.Chown(unfinished, c.account.uid, c.account.gid); err != nil {
			return fmt.Errorf("give the cluster's folder to %s: %w", c.account.name, err)
		}
	}
	if err := c.initdb(ctx, unfinished); err != nil {
		return err
	}
	if err := os.Rename(unfinished, c.data); err != nil {
		return fmt.Errorf("put the new cluster in place: %w", err)
	}
	c.log.LogAttrs(ctx, slog.LevelInfo, "made a Postgres cluster", slog.String("folder", c.data), slog.Int("version", c.binaries.major))
	return syncDir(c.dir)
}

func (c *cluster) initdb(ctx context.Context, data string) error {
	runtime.LockOSThread() // the signal at the parent's death is bound to the thread
	defer runtime.UnlockOSThread()
	args := []string{
		"--pgdata=" + data, "--username=" + roleName, "--auth-local=peer", "--auth-host=reject",
		"--encoding=UTF8", "--data-checksums",
	}
	// Byte order and Unicode classes, so that sorted lists agree on every machine.
	if c.binaries.major >= 17 {
		args = append(args, "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
	} else {
		args = append(args, "--locale=C.UTF-8")
	}
	cmd := exec.CommandContext(ctx, c.binaries.path("initdb"), args...)
	cmd.Dir, cmd.Env = "/", serverEnvironment()
	cmd.SysProcAttr = c.account.attributes(syscall.SIGKILL)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// serverEnvironment keeps this process's environment from the server: a PGPORT
// or PGDATA in it would be obeyed.
func serverEnvironment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}
}

// writeAccess says who may connect: the accounts of the server and of this
// process, over the socket, and nobody else. The files are written at each
// start, and lie where the server can read but not change them.
func (c *cluster) writeAccess() error {
	var ident strings.Builder
	for _, name := range c.account.connectsAs {
		fmt.Fprintf(&ident, "managed %q %s\n", name, roleName)
	}
	if err := replaceFile(c.hbaFile(), "local all "+roleName+" peer map=managed\n"); err != nil {
		return err
	}
	return replaceFile(c.identFile(), ident.String())
}

func (c *cluster) hbaFile() string   { return filepath.Join(c.dir, "pg_hba.conf") }
func (c *cluster) identFile() string { return filepath.Join(c.dir, "pg_ident.conf") }

func replaceFile(path, content string) error {
	next := path + ".new"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write the access rules: %w", err)
	}
	if err := os.Chmod(next, 0o644); err != nil { // whatever the umask is, the server's account reads it
		return fmt.Errorf("write the access rules: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write the access rules: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync a folder: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// command is the server's command line.
func (c *cluster) command() *exec.Cmd {
	settings := map[string]string{
		"listen_addresses":        "",
		"port":                    socketPort,
		"unix_socket_directories": ".",
		"unix_socket_permissions": "0700",
		"hba_file":                c.hbaFile(),
		"ident_file":              c.identFile(),
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_line_prefix":         "%m [%p] ",
		"log_timezone":            "UTC",
		"timezone":                "UTC",
		"shared_buffers":          "64MB",
		"max_connections":         "40",
		"jit":                     "off",
	}
	maps.Copy(settings, c.settings)
	args := []string{"-D", c.data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	cmd := exec.Command(c.binaries.path("postgres"), args...) //nolint:noctx // the supervisor ends it, in its own way
	cmd.Dir, cmd.Env = "/", serverEnvironment()
	cmd.SysProcAttr = c.account.attributes(syscall.SIGINT)
	return cmd
}
