package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/load"
)

// row is one line of the report.
type row struct {
	what   string
	c      int // workers; 0 where there is no such number
	ours   string
	limit  string // what is compared with
	theirs string
	result string
	goal   string
	met    string
}

type report struct {
	began  time.Time
	before string
	rows   []row
}

func newReport(ctx context.Context) *report { return &report{began: time.Now(), before: loadOf(ctx)} }

func loadOf(ctx context.Context) string {
	avg, err := load.AvgWithContext(ctx)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f", avg.Load1)
}

// share is a row whose goal is a share of a limit's rate.
func (r *report) share(what string, c int, ours *sample, limit string, theirs *sample, goal float64) {
	ratio := ours.rate() / max(theirs.rate(), 1e-9)
	r.add(row{
		what: what, c: c, ours: figure(ours), limit: limit, theirs: figure(theirs),
		result: fmt.Sprintf("%.2f ×", ratio), goal: fmt.Sprintf("≥ %.2f ×", goal), met: met(ratio >= goal),
	})
}

// together is a row without a goal: what an event costs in CPU time, beside what it
// costs in the limits, one after the other.
func (r *report) together(what string, c int, ours *sample, limits string, theirs ...*sample) {
	var sum time.Duration
	for _, s := range theirs {
		sum += s.cpuEach()
	}
	r.add(row{
		what: what, c: c, ours: micros(ours.cpuEach()), limit: limits, theirs: micros(sum),
		result: fmt.Sprintf("%.2f ×", sum.Seconds()/max(ours.cpuEach().Seconds(), 1e-9)),
	})
}

// bound is a row whose goal is a bound, in the unit of both.
func (r *report) bound(what, ours string, value, goal float64, unit string) {
	r.add(row{
		what: what, ours: ours, result: fmt.Sprintf("%.3g %s", value, unit),
		goal: fmt.Sprintf("≤ %.3g %s", goal, unit), met: met(value <= goal),
	})
}

func (r *report) add(l row) {
	r.rows = append(r.rows, l)
	fmt.Fprintln(os.Stderr, "bench-eventstore:   "+strings.Join(l.cells(), "  "))
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

// figure is a rate of events, the latencies of what carried them, and the CPU time of
// each event, which does not depend on what else the machine does.
func figure(s *sample) string {
	return fmt.Sprintf("%.0f/s (p50 %s, p99 %s, CPU %s)", s.rate(), short(s.quantile(0.5)), short(s.quantile(0.99)), micros(s.cpuEach()))
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", d.Seconds()*1e6) }

func short(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%d µs", d.Microseconds())
	}
	return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
}

func (l row) cells() []string {
	c := ""
	if l.c > 0 {
		c = strconv.Itoa(l.c)
	}
	return []string{l.what, c, l.ours, l.limit, l.theirs, l.result, l.goal, l.met}
}

// text is everything as a Markdown table.
func (r *report) text(ctx context.Context) string {
	table := [][]string{{"what", "c", "events", "limit", "events", "result", "goal", ""}, nil}
	for _, l := range r.rows {
		table = append(table, l.cells())
	}
	widths := make([]int, len(table[0]))
	for _, cells := range table {
		for i, cell := range cells {
			widths[i] = max(widths[i], len([]rune(cell)), 1)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d CPUs (%s/%s), %s, load average %s before and %s after, %s in all\n\n",
		r.began.UTC().Format(time.DateTime+" UTC"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		r.before, loadOf(ctx), time.Since(r.began).Round(time.Second))
	for _, cells := range table {
		for i, width := range widths {
			cell := strings.Repeat("-", width)
			if cells != nil {
				cell = cells[i] + strings.Repeat(" ", width-len([]rune(cells[i])))
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}
