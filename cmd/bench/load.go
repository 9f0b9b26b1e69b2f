package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// operation is one request, from one worker, one at a time.
type operation func(context.Context) error

// sample is what a load took.
type sample struct {
	took    time.Duration
	cpu     time.Duration // of everything but this process
	latency []time.Duration
}

// rate is operations per second.
func (s *sample) rate() float64 {
	if s.took == 0 {
		return 0
	}
	return float64(len(s.latency)) / s.took.Seconds()
}

// quantile is the latency that the share q of operations did not exceed.
func (s *sample) quantile(q float64) time.Duration {
	if len(s.latency) == 0 {
		return 0
	}
	slices.Sort(s.latency)
	return s.latency[min(int(q*float64(len(s.latency))), len(s.latency)-1)]
}

// add has the workers repeat their operations for d, all at the same time.
func (s *sample) add(ctx context.Context, workers []operation, d time.Duration) error {
	each := make([][]time.Duration, len(workers))
	used, err := usedByChildren(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	group, loading := errgroup.WithContext(ctx)
	for i, work := range workers {
		group.Go(func() error {
			for {
				start := time.Now()
				if start.Sub(began) >= d {
					return nil
				}
				if err := work(loading); err != nil {
					return err
				}
				each[i] = append(each[i], time.Since(start))
			}
		})
	}
	err = group.Wait()
	s.took += time.Since(began)
	s.latency = slices.Concat(append(each, s.latency)...)
	if err != nil {
		return err
	}
	after, err := usedByChildren(ctx)
	s.cpu += after - used
	return err
}

// inTurns measures two loads one after the other, and again, so that what else
// the machine does meets both of them.
func (b *bench) inTurns(ctx context.Context, first, second []operation) (one, two sample, err error) {
	for _, workers := range [][]operation{first, second} {
		var warm sample
		if err := warm.add(ctx, workers, b.round/4); err != nil {
			return one, two, fmt.Errorf("warm up: %w", err)
		}
	}
	turns := []func() error{
		func() error { return one.add(ctx, first, b.round) },
		func() error { return two.add(ctx, second, b.round) },
	}
	for i := range b.rounds {
		if i == b.rounds-1 {
			turn := turns[1]
			turns[1] = func() error { return b.profiled(ctx, b.round, turn) }
		}
		// Each is as often the one that follows the other.
		for j := range turns {
			if err := turns[(i+b.rounds+1+j)%2](); err != nil {
				return one, two, err
			}
		}
	}
	return one, two, nil
}

// once does the operation one time.
func (s *sample) once(ctx context.Context, work operation) error {
	began := time.Now()
	if err := work(ctx); err != nil {
		return err
	}
	s.latency = append(s.latency, time.Since(began))
	s.took += time.Since(began)
	return nil
}
