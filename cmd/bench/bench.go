package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// closeBound is how long everything has to end.
const closeBound = 30 * time.Second

// bench is one run: the server under measurement, the yardsticks, and what was
// found so far.
type bench struct {
	*options

	folder string
	limits *limits
	server *server
	report *report
	// project is where the sessions are.
	project string
	seeded  long
	// shortAudit is what each audit query took while the log was short.
	shortAudit []figure
	profiles   int // that were written
}

// open starts the yardsticks and the server.
func open(ctx context.Context, o *options) (_ *bench, err error) {
	b := &bench{options: o, folder: o.dir, report: newReport(ctx)}
	if b.folder == "" {
		if b.folder, err = os.MkdirTemp("", "g4fagent-bench"); err != nil {
			return nil, fmt.Errorf("make the folder: %w", err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	// Postgres may run as another account, which must reach its own folder below.
	for _, dir := range []string{b.folder, b.data()} {
		if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
			return nil, fmt.Errorf("make the folder: %w", err)
		}
		if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // see above
			return nil, fmt.Errorf("open the folder: %w", err)
		}
	}
	progress("starting Postgres for the yardsticks, and the server")
	if b.limits, err = openLimits(ctx, filepath.Join(b.folder, "yardstick")); err != nil {
		return nil, err
	}
	b.server = newServer(o.binary, b.data(), o.args)
	if o.profile != "" {
		if b.server.pprof, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if err := b.server.start(ctx); err != nil {
		return nil, err
	}
	b.project, err = b.server.createProject(ctx)
	return b, err
}

func (b *bench) data() string { return filepath.Join(b.folder, "data") }

// close ends everything and removes the folder, whatever became of ctx.
func (b *bench) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
	defer cancel()
	var errs []error
	if b.server != nil {
		errs = append(errs, b.server.stop())
	}
	if b.limits != nil {
		errs = append(errs, b.limits.close(ctx))
	}
	if b.keep {
		progress("kept " + b.folder)
	} else {
		errs = append(errs, os.RemoveAll(b.folder))
	}
	return errors.Join(errs...)
}

// measure runs the parts that are asked for.
func (b *bench) measure(ctx context.Context) error {
	if err := b.measureDisk(ctx); err != nil {
		return err
	}
	seeded := false
	for _, p := range parts {
		if !b.wants(p.name) {
			continue
		}
		if p.long && !seeded {
			if b.wants("audit") {
				if err := b.measureShortAudit(ctx); err != nil {
					return fmt.Errorf("measure audit: %w", err)
				}
			}
			progress(fmt.Sprintf("adding events to the log, up to %d", b.events))
			if err := b.seed(ctx); err != nil {
				return fmt.Errorf("make the log long: %w", err)
			}
			seeded = true
		}
		progress("measuring " + p.name)
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("measure %s: %w", p.name, err)
		}
		b.report.peak(b.server.peak())
	}
	b.report.finish(ctx)
	return nil
}

func progress(what string) { fmt.Fprintln(os.Stderr, "bench: "+what) }
