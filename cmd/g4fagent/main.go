// Command g4fagent serves the platform's API, and looks after its log and its
// read models.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
)

// version and build are what the program says it is; the build sets them.
var (
	version = "1.0.0"
	build   = "dev"
)

// Exit codes beside 0 and 1, which is any failure.
const (
	exitUsage     = 2 // a flag or setting that cannot be understood
	exitDifferent = 3 // fsck found a difference, or verify damage
)

// heapBallast is never written to, and so never resident, but counts as live: the
// small heap of a program at work is collected half as often for it, or less, and
// a large one grows by no more than this.
const heapBallast = 32 << 20

func main() {
	ballast := make([]byte, heapBallast)
	code := run()
	runtime.KeepAlive(ballast)
	os.Exit(code)
}

// run ends the program by itself on the first signal, in order; the second ends
// it at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newRoot()
	err := root.ExecuteContext(ctx)
	switch usage := (usageError{}); {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "g4fagent: %v\nTry `g4fagent --help`.\n", err)
		return exitUsage
	case errors.Is(err, errDifferent), errors.Is(err, errDamaged):
		fmt.Fprintf(os.Stderr, "g4fagent: %v\n", err)
		return exitDifferent
	default:
		fmt.Fprintf(os.Stderr, "g4fagent: %v\n", err)
		return 1
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "g4fagent",
		Short: "The backend of a development platform for AI coding agents",
		Long: `The backend of a development platform for AI coding agents.

Everything that happens is an event in an immutable log; what the API shows is
built from it. With nothing configured, one machine and one data folder hold it
all: an embedded event store and a local Postgres server, which this program
starts and stops by itself.

  g4fagent serve            start it; the first start prints the password
  g4fagent fsck             prove that the read models are what the log says
  g4fagent rebuild          build the read models again from the log
  g4fagent readmodels       list them; get past an event that stops one
  g4fagent recover          make lost jobs anew from the log
  g4fagent eventstore       run the event store alone; back up, restore and verify its log`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newServe(), newFsck(), newRebuild(), newRecover(), newReadModels(), newEventStore(), newVersion())
	return root
}

// usageError is what the caller has to put right.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) { fmt.Fprintf(c.OutOrStdout(), "g4fagent %s (%s)\n", version, build) },
	}
}
