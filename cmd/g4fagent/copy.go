package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/logcopy"
)

// copyConfig is what `g4fagent eventstore copy` is told.
type copyConfig struct {
	from, to copyEnd
}

// copyEnd is one end of a copy: a server's URL, or the data folder of an
// installation that is not running.
type copyEnd struct {
	where, username, passwordFile string
	passwordVariable              string
}

func newCopy() *cobra.Command {
	c := &copyConfig{
		from: copyEnd{passwordVariable: "G4FAGENT_COPY_FROM_PASSWORD"},
		to:   copyEnd{passwordVariable: "G4FAGENT_COPY_TO_PASSWORD"},
	}
	cmd := &cobra.Command{
		Use: "copy --from URL|FOLDER --to URL|FOLDER", Args: cobra.NoArgs,
		Short: "Copy a whole log from one event store to another",
		Long: `Copy a whole log from one event store to another, and prove the copy: all streams
in the log's order, each event at its revision with its id, type, content type,
data and metadata byte for byte, each stream's own metadata ($maxAge, $acl, $tb),
its deletions and tombstones. So an installation moves from its embedded event
store to an EventStoreDB cluster, and back.

Each end is a connection string (esdb://…) or the data folder of an installation
that is not running. Stop whatever writes to the source first. The target must be
empty. The copy may be ended at any time: run again, it goes on where it was.

The copy is noted in the target, in a stream of its own ($copy-1; the log's next
copy is $copy-2). There an auditor finds when each event was created in the source
("$copied", by stream and revision: the target's own time of creation is that of
the copy), and the digest of the comparison ("$copy-verified"). Events themselves
get nothing added: what was computed over their bytes stays valid.

Not copied is what a server keeps for itself (other streams whose names begin with
$: its users, statistics, projections). A stream whose first events were scavenged
from the source cannot be copied, since no server numbers events from elsewhere
than zero; this program truncates none of its streams. $maxAge counts from the
copy.

Afterwards. Positions in the copy are others than in the source, so that whatever
was derived from the source does not fit: the server refuses to start on it.
 1. Keep the keys: with a managed Postgres they are in the data folder (keys/),
    with --database-url in that database. The log cannot be read without them.
 2. With a managed Postgres, remove its folder (postgres/ in the data folder). With
    --database-url, run "g4fagent rebuild" with the settings of step 3, and drop
    the schema "river".
 3. Start the server with --eventstore-url naming the copy (without it, if the
    copy is in the data folder's own event store). It builds everything anew from
    the log, and makes the jobs that were open.
Cursors and positions that clients have kept are void.

Exit code 0: copied and proven. 3: the target differs from the source. 1: it could
not be done, or not be finished; the message says why.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&c.from.where, "from", "", "esdb://… or data folder to copy from")
	f.StringVar(&c.from.username, "from-username", "", "name to call the source with")
	f.StringVar(&c.from.passwordFile, "from-password-file", "", "file of its password (or "+c.from.passwordVariable+")")
	f.StringVar(&c.to.where, "to", "", "esdb://… or data folder to copy to")
	f.StringVar(&c.to.username, "to-username", "", "name to call the target with")
	f.StringVar(&c.to.passwordFile, "to-password-file", "", "file of its password (or "+c.to.passwordVariable+")")
	return cmd
}

func (c *copyConfig) run(cmd *cobra.Command) (err error) {
	if c.from.where == "" || c.to.where == "" {
		return usageError{errors.New("copy needs --from and --to")}
	}
	ctx := cmd.Context()
	from, closeFrom, err := c.from.open(ctx, false)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	defer func() { err = errors.Join(err, closeFrom()) }()
	to, closeTo, err := c.to.open(ctx, true)
	if err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	defer func() { err = errors.Join(err, closeTo()) }()
	report, err := logcopy.Copy(ctx, from, to, logcopy.Options{Progress: tell(cmd.ErrOrStderr())})
	switch {
	case errors.Is(err, logcopy.ErrDifferent):
		return differenceError{err}
	case ctx.Err() != nil:
		return errors.Join(errCopyEnded, err)
	case err != nil:
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The log was copied, and compared event by event.\n\n  events   %d\n  streams  %d\n  digest   sha256:%s\n\n"+
		"What was derived from the source does not fit the copy: see \"Afterwards\" in `g4fagent eventstore copy --help`.\n",
		report.Events, report.Streams, report.Digest)
	return nil
}

var errCopyEnded = errors.New("the copy was ended; run again, it goes on where it was")

// differenceError has the exit code of a difference, and says which.
type differenceError struct{ error }

func (e differenceError) Unwrap() error        { return e.error }
func (e differenceError) Is(target error) bool { return target == errDifferent }

// tell tells how far a copy is, at most once a second.
func tell(out io.Writer) func(logcopy.Progress) {
	var last time.Time
	return func(p logcopy.Progress) {
		if time.Since(last) < time.Second {
			return
		}
		last = time.Now()
		doing := "copied"
		if p.Comparing {
			doing = "compared"
		}
		fmt.Fprintf(out, "%10d events %s\n", p.Events, doing)
	}
}

// open opens an end. A data folder has its event store running until the end is
// closed; one to copy from must have a log.
func (e *copyEnd) open(ctx context.Context, make bool) (_ *logcopy.Store, end func() error, err error) {
	secret := os.Getenv(e.passwordVariable)
	if e.passwordFile != "" {
		read, err := os.ReadFile(e.passwordFile)
		if err != nil {
			return nil, nil, fmt.Errorf("read the password: %w", err)
		}
		secret = strings.TrimRight(string(read), "\r\n")
	}
	if strings.Contains(e.where, "://") {
		store, err := logcopy.Open(logcopy.Where{URL: e.where, Username: e.username, Password: secret})
		if err != nil {
			return nil, nil, usageError{err}
		}
		return store, store.Close, nil
	}
	dir := filepath.Join(e.where, "log")
	if _, err := os.Stat(dir); err != nil && !make {
		return nil, nil, fmt.Errorf("%s is no data folder: %w", e.where, err)
	}
	if err := os.MkdirAll(e.where, 0o711); err != nil {
		return nil, nil, fmt.Errorf("make the data folder: %w", err)
	}
	username, password := "g4fagent", rand.Text()+rand.Text() // known to this process alone
	node, err := esnode.Start(ctx, esnode.Options{Dir: dir, Listen: socketIn(e.where), Username: username, Password: password})
	if err != nil {
		return nil, nil, fmt.Errorf("start the event store of %s: %w", e.where, err)
	}
	stop := func() error {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
		defer cancel()
		return node.Close(bound)
	}
	store, err := logcopy.Open(logcopy.Where{Address: node.Addr(), Username: username, Password: password})
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return store, func() error { return errors.Join(store.Close(), stop()) }, nil
}

// installationOf is the installation that the log is of, and which copy of its log
// this is, if any: what was derived from one copy does not fit another.
func installationOf(ctx context.Context, log *eventlog.Log, handlers *commands.Handlers) (string, error) {
	id, err := handlers.EnsureInstallation(ctx)
	if err != nil {
		return "", err
	}
	lineage, err := logcopy.Lineage(ctx, log)
	if err != nil || lineage == "" {
		return id, err
	}
	return id + " copy " + lineage, nil
}
