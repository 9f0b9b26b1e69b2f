package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/load"
)

// figure is one measurement: operations per second, and latencies, as far as
// there are any.
type figure struct {
	rate     float64
	p50, p99 time.Duration
	cpu      time.Duration // per operation
}

func figureOf(s *sample) figure {
	return figure{s.rate(), s.quantile(0.5), s.quantile(0.99), s.cpu / time.Duration(max(len(s.latency), 1))}
}

// row is one line of the report.
type row struct {
	part, what string
	c          int // workers; 0 where there is no such number
	ours       figure
	yardstick  string
	theirs     figure
	// verdict is the ratio or bound, and goal what was aimed at.
	verdict, goal string
	note          string
}

// report collects the rows and says under which circumstances they arose.
type report struct {
	began  time.Time
	before string
	after  string
	rows   []row
	most   uint64
}

func newReport(ctx context.Context) *report { return &report{began: time.Now(), before: loadOf(ctx)} }

func loadOf(ctx context.Context) string {
	avg, err := load.AvgWithContext(ctx)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f", avg.Load1)
}

func (r *report) add(lines ...row) {
	r.rows = append(r.rows, lines...)
	for _, l := range lines {
		fmt.Fprintln(os.Stderr, "bench:   "+strings.Join(l.cells(), "  "))
	}
}

func (r *report) peak(bytes uint64) { r.most = max(r.most, bytes) }

// maxResident is what the server may have resident.
const maxResident = 300 << 20

func (r *report) finish(ctx context.Context) {
	r.after = loadOf(ctx)
	r.add(row{
		part: "memory", what: "server resident, at most, in all that was measured",
		verdict: fmt.Sprintf("%d MiB", r.most>>20), goal: fmt.Sprintf("≤ %d MiB", maxResident>>20), note: met(r.most <= maxResident),
	})
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

// ratio is a row whose goal is a share of its yardstick's rate.
func ratio(l row, goal float64) row {
	if l.theirs.rate > 0 {
		share := l.ours.rate / l.theirs.rate
		l.verdict = fmt.Sprintf("%.2f ×", share)
		if goal > 0 {
			l.goal, l.note = fmt.Sprintf("≥ %.2f ×", goal), strings.TrimPrefix(l.note+", "+met(share >= goal), ", ")
		}
	}
	return l
}

// bounded is a row whose goal is a bound on its 99th percentile.
func bounded(l row, goal time.Duration) row {
	l.verdict, l.goal = "p99 "+short(l.ours.p99), "≤ "+short(goal)
	l.note = strings.TrimPrefix(l.note+", "+met(l.ours.p99 <= goal), ", ")
	return l
}

func (l row) cells() []string {
	c := ""
	if l.c > 0 {
		c = strconv.Itoa(l.c)
	}
	return []string{
		l.part, l.what, c, perSecond(l.ours.rate), short(l.ours.p50), short(l.ours.p99), short(l.ours.cpu),
		l.yardstick, perSecond(l.theirs.rate), short(l.theirs.p50), short(l.theirs.p99), short(l.theirs.cpu), l.verdict, l.goal, l.note,
	}
}

var head = []string{"part", "what", "c", "per s", "p50", "p99", "CPU", "yardstick", "per s", "p50", "p99", "CPU", "result", "goal", ""}

// String is everything as a Markdown table.
func (r *report) String() string {
	table := [][]string{head}
	for _, l := range r.rows {
		table = append(table, l.cells())
	}
	widths := make([]int, len(head))
	for _, cells := range table {
		for i, cell := range cells {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = strings.Repeat("-", max(widths[i], 1))
	}
	lines := []string{fmt.Sprintf("%s, %d CPUs (%s/%s), %s, load average %s before and %s after, %s in all", r.began.UTC().Format(time.DateTime+" UTC"),
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, goVersion(), r.before, r.after, time.Since(r.began).Round(time.Second)), ""}
	for _, cells := range slices.Insert(table, 1, rule) {
		lines = append(lines, line(cells, widths))
	}
	return strings.Join(lines, "\n") + "\n"
}

func goVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.GoVersion
	}
	return runtime.Version()
}

func line(cells []string, widths []int) string {
	var b strings.Builder
	for i, cell := range cells {
		b.WriteString("| " + cell + strings.Repeat(" ", widths[i]-len([]rune(cell))+1))
	}
	return b.String() + "|"
}

func perSecond(rate float64) string {
	switch {
	case rate == 0:
		return ""
	case rate < 100:
		return fmt.Sprintf("%.1f", rate)
	default:
		return fmt.Sprintf("%.0f", rate)
	}
}

// short is a duration in milliseconds, or seconds from ten on.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
	}
}
