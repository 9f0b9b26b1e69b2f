package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/g4fagent/g4fagent/internal/esnode/backup"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// errDamaged is found by verify; restoring a backup is what can be done about it.
var errDamaged = errors.New("the log is damaged; restore the latest backup that verifies, and keep the damaged folder")

// backupConfig is what backup, restore and verify are told.
type backupConfig struct {
	config

	verify bool
}

func newBackupConfig() *backupConfig {
	return &backupConfig{config: config{logFormat: "text", logLevel: "warn"}}
}

func newBackup() *cobra.Command {
	c := newBackupConfig()
	cmd := &cobra.Command{
		Use: "backup TARGET", Args: exactly(1, "the folder to make"),
		Short: "Copy the log, while it is in use or not",
		Long: `Make a consistent copy of the embedded event store's log in the new folder TARGET:
of a running server (or a running eventstore), which is asked for it and goes on,
or of a stopped one. Everything that was acknowledged before is in the copy. Run
it as the account that the server runs as, or as root.

TARGET appears when it is whole. Then it is read once and proved (--verify).

The order of a whole backup: first the log, by this command; then the blobs, if
the installation keeps some; then the keys (the folder keys of the data folder,
and G4FAGENT_MASTER_KEY if it is set). What the log speaks of is then in what was
copied after it. Keep the keys apart: with them the log can be read, and without
them it cannot. Read models are never backed up.

Exit code 0: TARGET is whole. 3: the copy is damaged, as its source must be. 1:
it could not be made.`,
		Example: "  g4fagent eventstore backup /backups/log-2026-01-31",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.backup(cmd.Context(), cmd, args[0])
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&c.verify, "verify", true, "prove the copy when it is made")
	return cmd
}

func newRestore() *cobra.Command {
	c := newBackupConfig()
	cmd := &cobra.Command{
		Use: "restore BACKUP", Args: exactly(1, "the backup's folder"),
		Short: "Put a backup in place as the log",
		Long: `Copy the backup in the folder BACKUP to where the server looks for its log, the
subfolder log of the data folder, which must be empty or not there: a log is never
overwritten. Each file is compared with what the backup says of it. Then the log
is read once and proved (--verify).

Before the server is started: restore the keys, and remove the subfolder postgres
of the data folder (of an external database, everything but the keys). What is in
it has seen events that the backup may lack; read models and jobs are made anew
from the log.

Exit code 0: the log is in place. 3: it is damaged. 1: it could not be put in place.`,
		Example: "  g4fagent eventstore restore /backups/log-2026-01-31 --data-dir /var/lib/g4fagent",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.restore(cmd.Context(), cmd, args[0])
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&c.verify, "verify", true, "prove the log when it is in place")
	return cmd
}

func newVerify() *cobra.Command {
	c := newBackupConfig()
	cmd := &cobra.Command{
		Use: "verify [FOLDER]", Args: cobra.MaximumNArgs(1),
		Short: "Prove that a stopped log or a backup is whole",
		Long: `Read all of a log and check it: each event's checksum; that positions have no hole;
that the index names every event and nothing else; that revisions have no gap; and
that each stream's state agrees with its events. Of a backup, first each file's
digest. Nothing is changed.

FOLDER is a backup, a log's folder, or a data folder; without it, the data folder.
A log that is in use is not verified: make a backup, which is.

Exit code 0: all is as it was written. 3: there is damage, which is named. 1: it
could not be found out.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.load(cmd.Flags(), os.Getenv); err != nil {
				return err
			}
			dir := c.dataDir
			if len(args) == 1 {
				dir = args[0]
			}
			return c.prove(cmd.Context(), cmd, logIn(dir))
		},
	}
	c.flags(cmd)
	return cmd
}

// exactly is cobra.ExactArgs, as an error of usage that says what is asked for.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("name one folder, %s", what)}
		}
		return nil
	}
}

func (c *backupConfig) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.dataDir, "data-dir", defaultDataDir(), "folder that holds the log, in its subfolder log")
	nameVariables(cmd.Flags())
}

func (c *backupConfig) log() string { return filepath.Join(c.dataDir, "log") }

// logIn is the log in a data folder, or the folder itself when it holds none.
func logIn(dir string) string {
	log := filepath.Join(dir, "log")
	if info, err := os.Stat(log); err == nil && info.IsDir() {
		return log
	}
	return dir
}

func (c *backupConfig) backup(ctx context.Context, cmd *cobra.Command, target string) error {
	if err := c.load(cmd.Flags(), os.Getenv); err != nil {
		return err
	}
	list, err := backup.Create(ctx, c.log(), target, bytesTo(cmd.ErrOrStderr(), "copied"))
	if err != nil {
		return advised(err)
	}
	how := "the stopped log"
	if list.Running {
		how = "the log of a running event store"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Copied %s: %d files, %s, in %s.\n", how, len(list.Files), size(list.Bytes()), target)
	if !c.verify {
		return nil
	}
	return c.prove(ctx, cmd, target)
}

func (c *backupConfig) restore(ctx context.Context, cmd *cobra.Command, from string) error {
	if err := c.load(cmd.Flags(), os.Getenv); err != nil {
		return err
	}
	// Postgres may run as another account, which must reach its own folder in it.
	if err := os.MkdirAll(c.dataDir, 0o711); err != nil { //nolint:gosec // see above
		return fmt.Errorf("make the data folder: %w", err)
	}
	list, err := backup.Restore(ctx, from, c.log(), bytesTo(cmd.ErrOrStderr(), "copied"))
	if err != nil {
		return advised(err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Put the log of %s in place: %d files, %s, in %s.\n",
		list.Made.Format(time.RFC3339), len(list.Files), size(list.Bytes()), c.log())
	if c.verify {
		if err := c.prove(ctx, cmd, c.log()); err != nil {
			return err
		}
	}
	fmt.Fprintln(cmd.OutOrStdout(), "Before the server is started, restore the keys, and remove the subfolder postgres: it is made anew from the log.")
	return nil
}

// prove verifies a log or a backup and says what was looked at.
func (c *backupConfig) prove(ctx context.Context, cmd *cobra.Command, dir string) error {
	out, progress := cmd.OutOrStdout(), cmd.ErrOrStderr()
	logger, err := c.logger()
	if err != nil {
		return err
	}
	list, err := backup.Check(ctx, dir, bytesTo(progress, "compared"))
	switch {
	case err == nil:
		fmt.Fprintf(out, "%d files of a backup of %s are as they were written.\n", len(list.Files), list.Made.Format(time.RFC3339))
	case errors.Is(err, backup.ErrDamaged):
		return fmt.Errorf("%w: %w", errDamaged, err)
	case !errors.Is(err, backup.ErrNoBackup):
		return err
	}
	v, err := storage.Verify(ctx, storage.VerifyOptions{Dir: dir, Logger: logger, Progress: sharesTo(progress)})
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, storage.ErrInUse) && !errors.Is(err, storage.ErrNoLog) {
			return fmt.Errorf("%w: %w", errDamaged, err) // what Pebble cannot open
		}
		return advised(err)
	}
	for _, d := range v.Damage {
		fmt.Fprintln(out, d)
	}
	if v.Truncated {
		fmt.Fprintf(out, "There is more; the first %d are named.\n", storage.MaxDamage)
	}
	fmt.Fprintf(out, "Checked %d events of %d streams, %s of records: checksums, positions, revisions, the index against the log and the log against the index, and the streams' states.\n",
		v.Events, v.Streams, size(int64(v.Head)))
	if len(v.Damage) > 0 {
		return errDamaged
	}
	fmt.Fprintln(out, "The log is whole.")
	return nil
}

// advised adds what to do next.
func advised(err error) error {
	switch {
	case errors.Is(err, backup.ErrNotEmpty):
		return fmt.Errorf("%w; name another folder, or move away what is in it", err)
	case errors.Is(err, storage.ErrInUse):
		return fmt.Errorf("%w; stop it, or make a backup and verify that", err)
	case errors.Is(err, storage.ErrNoLog):
		return fmt.Errorf("%w; name the data folder with --data-dir", err)
	default:
		return err
	}
}

// progressPause is how often progress is told.
const progressPause = 2 * time.Second

func bytesTo(w io.Writer, what string) backup.Progress {
	due := time.Now().Add(progressPause)
	return func(done, total int64) {
		if now := time.Now(); now.After(due) {
			due = now.Add(progressPause)
			fmt.Fprintf(w, "%s %s of %s\n", what, size(done), size(total))
		}
	}
}

func sharesTo(w io.Writer) func(string, float64) {
	due := time.Now().Add(progressPause)
	return func(step string, share float64) {
		if now := time.Now(); now.After(due) {
			due = now.Add(progressPause)
			fmt.Fprintf(w, "checked %.0f %% of the %s\n", 100*min(share, 1), step)
		}
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
}
