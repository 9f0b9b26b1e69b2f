package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestASampleKnowsItsQuantiles(t *testing.T) {
	t.Parallel()
	var s sample
	if s.rate() != 0 || s.quantile(0.5) != 0 {
		t.Error("an empty sample has a rate or a quantile")
	}
	for i := 100; i > 0; i-- {
		s.latency = append(s.latency, time.Duration(i)*time.Millisecond)
	}
	s.took = 2 * time.Second
	if got := s.rate(); got != 50 {
		t.Errorf("the rate is %v, want 50", got)
	}
	for q, want := range map[float64]int{0: 1, 0.5: 51, 0.99: 100, 1: 100} {
		if got := s.quantile(q); got != time.Duration(want)*time.Millisecond {
			t.Errorf("quantile %v is %s, want %d ms", q, got, want)
		}
	}
}

func TestSharesAddUp(t *testing.T) {
	t.Parallel()
	for n := range 25 {
		for k := 1; k < 8; k++ {
			sum := 0
			for i := range k {
				sum += share(n, k, i)
			}
			if sum != n {
				t.Errorf("%d dealt to %d adds up to %d", n, k, sum)
			}
		}
	}
}

// pieces is a body that arrives in parts.
type pieces []string

func (p *pieces) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	if (*p)[0] = (*p)[0][n:]; (*p)[0] == "" {
		*p = (*p)[1:]
	}
	return n, nil
}

func TestFramesAreFoundHoweverTheyArrive(t *testing.T) {
	t.Parallel()
	frame := "id: 1\nevent: message\ndata: {\"meta\":{\"sent\":1700000000000000000}}\n\n"
	long := "id: 2\ndata: " + strings.Repeat("x", 9000) + "{\"sent\":1700000000000000000}\n\n"
	whole := "retry: 2000\n\n" + frame + ": keep-alive\n\n" + frame + long + "id: 3\ndata: {\"sent\":17000" // cut off
	for name, size := range map[string]int{"at once": len(whole), "in small parts": 7, "byte by byte": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var body pieces
			for rest := whole; rest != ""; {
				n := min(size, len(rest))
				body, rest = append(body, rest[:n]), rest[n:]
			}
			w := &watchers{want: 3, arrived: make(chan struct{})}
			w.read(&body)
			select {
			case <-w.arrived:
			default:
				t.Errorf("found %d frames, want 3", len(w.latency))
			}
		})
	}
}

func TestAGoalIsAWordInTheTable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		line row
		want []string
	}{
		"a share that is large enough": {
			ratio(row{part: "get", c: 16, ours: figure{rate: 6}, theirs: figure{rate: 10}}, 0.6), []string{"0.60 ×", "≥ 0.60 ×", "met"},
		},
		"one that is not, and a remark": {
			ratio(row{part: "get", ours: figure{rate: 5}, theirs: figure{rate: 10}, note: "2 not visible in time"}, 0.6),
			[]string{"0.50 ×", "≥ 0.60 ×", "2 not visible in time, missed"},
		},
		"a share without a goal": {ratio(row{ours: figure{rate: 5}, theirs: figure{rate: 10}}, 0), []string{"0.50 ×", "", ""}},
		"a bound that is kept":   {bounded(row{ours: figure{p99: 50 * time.Millisecond}}, 50*time.Millisecond), []string{"p99 50.00 ms", "≤ 50.00 ms", "met"}},
		"a bound that is not":    {bounded(row{ours: figure{p99: 51 * time.Millisecond}}, 50*time.Millisecond), []string{"p99 51.00 ms", "≤ 50.00 ms", "missed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cells := test.line.cells()
			if len(cells) != len(head) {
				t.Fatalf("%d cells under %d heads", len(cells), len(head))
			}
			if got := cells[len(cells)-3:]; strings.Join(got, "|") != strings.Join(test.want, "|") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestPartsAreKnownByName(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--only", "get,sse"})
	if err != nil {
		t.Fatal(err)
	}
	if !o.wants("get") || o.wants("rebuild") {
		t.Error("--only get,sse wants other parts")
	}
	for _, args := range [][]string{{"--only", "everything"}, {"--rounds", "0"}, {"--workers", "91"}, {"--events", "-1"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v were accepted", args)
		}
	}
}
