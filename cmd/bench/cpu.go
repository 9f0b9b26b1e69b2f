package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// usedByChildren is the CPU time that the processes under this one have used: the
// server, both Postgres servers, and the bare gin. Only one of them is at work at
// a time, so that the time belongs to what is being measured. It does not depend
// on what else the machine does.
func usedByChildren(ctx context.Context) (time.Duration, error) {
	all, err := process.ProcessesWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	children := map[int32][]*process.Process{}
	for _, p := range all {
		if parent, err := p.PpidWithContext(ctx); err == nil {
			children[parent] = append(children[parent], p)
		}
	}
	var used time.Duration
	for left := children[int32(os.Getpid())]; len(left) > 0; left = left[1:] {
		left = append(left, children[left[0].Pid]...)
		if t, err := left[0].TimesWithContext(ctx); err == nil {
			used += time.Duration((t.User + t.System) * float64(time.Second))
		}
	}
	return used, nil
}
