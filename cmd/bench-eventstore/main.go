// Command bench-eventstore measures the embedded event store against two limits,
// in turns with them, on the same disk and in one run: raw Pebble with the same
// batches and the same syncs, which the storage cannot beat; and the same calls to
// a gRPC handler that does nothing, which the wire cannot beat.
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
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// options are what a run measures, and for how long.
type options struct {
	dir           string
	only          []string
	within        time.Duration
	round         time.Duration
	rounds        int
	events        int
	subscriptions int
	rate          int
	profile       string
}

var concurrencies = []int{1, 16, 64, 256}

// parts in the order in which they run.
var parts = []struct {
	name string
	run  func(context.Context, *bench) error
}{
	{"storage", measureStorage},
	{"client", measureClient},
	{"read", measureReading},
	{"live", measureLive},
	{"long", measureLong},
}

// bench is one run.
type bench struct {
	*options

	report *report
}

// heapBallast is what g4fagent keeps on its heap. Without it a heap as small as
// this one is collected ten times as often as in the program.
const heapBallast = 32 << 20

func main() {
	ballast := make([]byte, heapBallast)
	defer runtime.KeepAlive(ballast)
	if len(os.Args) == 3 && os.Args[1] == nodeCommand {
		exit(serveNode(os.Args[2]))
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
	fmt.Fprintf(os.Stderr, "bench-eventstore: %v\n", err)
	os.Exit(1)
}

func run(ctx context.Context) (err error) {
	o, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.within, fmt.Errorf("the %s of --within are over", o.within))
	defer cancel()
	dir, err := os.MkdirTemp(o.dir, "bench-eventstore")
	if err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.dir = dir
	b := &bench{options: o, report: newReport(ctx)}
	for _, p := range parts {
		if len(o.only) > 0 && !slices.Contains(o.only, p.name) {
			continue
		}
		progress("measuring " + p.name)
		if err = b.profiled(p.name, func() error { return p.run(ctx, b) }); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("%w (%w)", err, cause)
			}
			err = fmt.Errorf("measure %s: %w", p.name, err)
			break
		}
	}
	fmt.Print(b.report.text(context.WithoutCancel(ctx)))
	return err
}

func parse(args []string) (*options, error) {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	o := &options{}
	f := pflag.NewFlagSet("bench-eventstore", pflag.ContinueOnError)
	f.StringVar(&o.dir, "dir", "", "folder to measure in, on the disk to measure (default the system's folder of temporary files)")
	f.StringSliceVar(&o.only, "only", nil, "parts to measure: "+strings.Join(names, ", ")+" (default all)")
	f.DurationVar(&o.within, "within", 3*time.Minute, "end after this long")
	f.DurationVar(&o.round, "round", 400*time.Millisecond, "length of one turn of a measurement")
	f.IntVar(&o.rounds, "rounds", 4, "turns of a measurement, each beside one of its limits")
	f.IntVar(&o.events, "events", 1_000_000, "events in the long log; 10 million take about 5 GB and some minutes")
	f.IntVar(&o.subscriptions, "subscriptions", 500, "live subscriptions")
	f.IntVar(&o.rate, "rate", 1000, "appends a second beside them")
	f.StringVar(&o.profile, "profile", "", "folder for a CPU profile of each part")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("--only %s: there is no such part; there are %s", name, strings.Join(names, ", "))
		}
	}
	if o.rounds < 1 || o.round <= 0 || o.events < 1 || o.subscriptions < 1 || o.rate < 1 {
		return nil, errors.New("--rounds, --round, --events, --subscriptions and --rate must be positive")
	}
	return o, nil
}

func (b *bench) folder(name string) string { return filepath.Join(b.dir, name) }

func progress(what string) { fmt.Fprintln(os.Stderr, "bench-eventstore: "+what) }
