package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// operation is one append or read, from one worker, one at a time. It tells how many
// events it was about.
type operation func(context.Context) (events int, err error)

// sample is what a load took.
type sample struct {
	took    time.Duration
	cpu     time.Duration // of this process: both ends of a call, and the disk's share
	events  int
	latency []time.Duration
}

func (s *sample) rate() float64 { return float64(s.events) / max(s.took.Seconds(), 1e-9) }

func (s *sample) cpuEach() time.Duration { return s.cpu / time.Duration(max(s.events, 1)) }

func (s *sample) quantile(q float64) time.Duration {
	if len(s.latency) == 0 {
		return 0
	}
	slices.Sort(s.latency)
	return s.latency[min(int(q*float64(len(s.latency))), len(s.latency)-1)]
}

// add has the workers repeat their operations for d, all at the same time.
func (s *sample) add(ctx context.Context, workers []operation, d time.Duration) error {
	each := make([]sample, len(workers))
	began, used := time.Now(), cpuTime()
	group, loading := errgroup.WithContext(ctx)
	for i, work := range workers {
		group.Go(func() error {
			for {
				start := time.Now()
				if start.Sub(began) >= d {
					return nil
				}
				n, err := work(loading)
				if err != nil {
					return err
				}
				each[i].events += n
				each[i].latency = append(each[i].latency, time.Since(start))
			}
		})
	}
	err := group.Wait()
	s.took += time.Since(began)
	s.cpu += cpuTime() - used
	for _, e := range each {
		s.events += e.events
		s.latency = append(s.latency, e.latency...)
	}
	return err
}

// inTurns measures loads one after the other, and again in another order, so that
// what else the machine does meets all of them.
func (b *bench) inTurns(ctx context.Context, loads ...[]operation) ([]sample, error) {
	samples := make([]sample, len(loads))
	for _, workers := range loads {
		var warm sample
		if err := warm.add(ctx, workers, b.round/4); err != nil {
			return nil, fmt.Errorf("warm up: %w", err)
		}
	}
	for round := range b.rounds {
		for i := range loads {
			at := (i + round) % len(loads)
			if err := samples[at].add(ctx, loads[at], b.round); err != nil {
				return nil, err
			}
		}
	}
	return samples, nil
}

func (b *bench) profiled(name string, measure func() error) error {
	if b.profile == "" {
		return measure()
	}
	if err := os.MkdirAll(b.profile, 0o700); err != nil {
		return fmt.Errorf("make the folder of profiles: %w", err)
	}
	f, err := os.Create(filepath.Join(b.profile, name+".pprof"))
	if err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	defer func() { _ = f.Close() }() // what is lost of it is a profile
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return measure()
}

// cpuTime is what this process has used, which depends little on what else the
// machine does.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // it fails for bad arguments alone
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
