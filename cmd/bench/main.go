// Command bench measures the whole system against what the machine it runs on can
// do at that moment. It starts the real server, drives it over HTTP on loopback,
// and prints each figure beside its yardstick, measured in turns with it.
//
// It judges nothing: a figure that misses its goal is a row in a table, not a
// failure. Exit code 1 says that something could not be measured.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// options are what a run measures, and for how long.
type options struct {
	binary  string
	dir     string
	keep    bool
	only    []string
	within  time.Duration
	round   time.Duration
	rounds  int
	events  int
	streams int
	workers []int
	profile string
	args    []string
}

// maxWorkers is what the yardsticks' Postgres has connections for.
const maxWorkers = 90

// parts in the order in which they run: the later ones need the log that seed has
// made long.
var parts = []struct {
	name string
	run  func(context.Context, *bench) error
	long bool
}{
	{"commands", measureCommands, false},
	{"get", measureGets, false},
	{"sse", measureStreams, false},
	{"long", measureLongSession, true},
	{"audit", measureAudit, true},
	{"memory", measureMemory, true},
	{"rebuild", measureRebuild, true},
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == bareCommand {
		exit(serveBare(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	exit(err)
}

func exit(err error) {
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		os.Exit(0)
	}
	fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	os.Exit(1)
}

func run(ctx context.Context) error {
	o, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.within, fmt.Errorf("the %s of --within are over", o.within))
	defer cancel()
	b, err := open(ctx, o)
	if err != nil {
		return err
	}
	err = b.measure(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	fmt.Print(b.report)
	return errors.Join(err, b.close(ctx))
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.StringVar(&o.binary, "server", ".bin/g4fagent", "the server's binary")
	f.StringVar(&o.dir, "dir", "", "folder to measure in, on the disk to measure (default a new one in the system's folder of temporary files)")
	f.BoolVar(&o.keep, "keep", false, "keep the folder")
	f.StringSliceVar(&o.only, "only", nil, "parts to measure: "+strings.Join(partNames(), ", ")+" (default all)")
	f.DurationVar(&o.within, "within", 3*time.Minute, "end after this long")
	f.DurationVar(&o.round, "round", 500*time.Millisecond, "length of one turn of a measurement")
	f.IntVar(&o.rounds, "rounds", 4, "turns of a measurement, each beside one of its yardstick")
	f.IntVar(&o.events, "events", 100_000, "events in the log for long, audit, memory and rebuild; the first 100,000 are one session's")
	f.IntVar(&o.streams, "streams", 1000, "event streams open at a time; one user may have 1,024 unless --server-arg says more")
	f.IntSliceVar(&o.workers, "workers", []int{1, 16, 64}, "clients at a time, each on a connection of its own, for commands and get")
	f.StringVar(&o.profile, "profile", "", "folder for CPU profiles of the server, in the order of the table")
	f.StringArrayVar(&o.args, "server-arg", nil, "further argument of the server")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	for _, name := range o.only {
		if !slices.Contains(partNames(), name) {
			return nil, fmt.Errorf("--only %s: there is no such part; there are %s", name, strings.Join(partNames(), ", "))
		}
	}
	if o.rounds < 1 || o.round <= 0 || o.events < 1 || o.streams < 1 {
		return nil, errors.New("--rounds, --round, --events and --streams must be positive")
	}
	if len(o.workers) == 0 || slices.Min(o.workers) < 1 || slices.Max(o.workers) > maxWorkers {
		return nil, fmt.Errorf("--workers must be between 1 and %d", maxWorkers)
	}
	return o, nil
}

func partNames() []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return names
}

// wants reports whether the part is to be measured.
func (o *options) wants(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }
