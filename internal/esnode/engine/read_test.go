package engine_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const everything = math.MaxUint64

func TestReadStream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metadata string
		read     engine.StreamRead
		want     []int // revisions
	}{
		"forwards":                           {"", engine.StreamRead{Count: everything}, []int{0, 1, 2, 3, 4}},
		"forwards from one, inclusive":       {"", engine.StreamRead{From: 3, Count: everything}, []int{3, 4}},
		"forwards, counted":                  {"", engine.StreamRead{From: 1, Count: 2}, []int{1, 2}},
		"forwards, none":                     {"", engine.StreamRead{}, nil},
		"forwards from past the end":         {"", engine.StreamRead{From: 5, Count: everything}, nil},
		"backwards from the end":             {"", engine.StreamRead{From: math.MaxUint64, Backwards: true, Count: everything}, []int{4, 3, 2, 1, 0}},
		"backwards from past the end":        {"", engine.StreamRead{From: 9, Backwards: true, Count: 2}, []int{4, 3}},
		"backwards from one, inclusive":      {"", engine.StreamRead{From: 1, Backwards: true, Count: everything}, []int{1, 0}},
		"backwards from the first":           {"", engine.StreamRead{Backwards: true, Count: everything}, []int{0}},
		"the last two, by count":             {`{"$maxCount":2}`, engine.StreamRead{Count: everything}, []int{3, 4}},
		"from before the last two":           {`{"$maxCount":2}`, engine.StreamRead{From: 1, Count: 1}, []int{3}},
		"the last two, backwards":            {`{"$maxCount":2}`, engine.StreamRead{From: 9, Backwards: true, Count: everything}, []int{4, 3}},
		"backwards from before the last two": {`{"$maxCount":2}`, engine.StreamRead{From: 1, Backwards: true, Count: everything}, nil},
		"truncated":                          {`{"$tb":4}`, engine.StreamRead{Count: everything}, []int{4}},
		"truncated to nothing":               {`{"$tb":5}`, engine.StreamRead{Count: everything}, nil},
		"truncated to nothing, backwards":    {`{"$tb":5}`, engine.StreamRead{From: 9, Backwards: true, Count: everything}, nil},
		"the stricter of two limits":         {`{"$tb":3,"$maxCount":4}`, engine.StreamRead{Count: everything}, []int{3, 4}},
		"not older than 15 s":                {`{"$maxAge":15}`, engine.StreamRead{Count: everything}, []int{3, 4}},
		"not older than 15 s, counted":       {`{"$maxAge":15}`, engine.StreamRead{Count: 1}, []int{3}},
		"not older than 15 s, backwards":     {`{"$maxAge":15}`, engine.StreamRead{From: 9, Backwards: true, Count: everything}, []int{4, 3}},
		"expired to nothing":                 {`{"$maxAge":1}`, engine.StreamRead{Count: everything}, nil},
		"of any age":                         {`{"$maxAge":9223372036854775807}`, engine.StreamRead{Count: everything}, []int{0, 1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			// One event every 10 s, the last 5 s ago.
			var want []string
			for i := range 5 {
				r.mustAppend("s", engine.Expected(i-1), i+1)
				r.now = r.now.Add(10 * time.Second)
			}
			r.now = r.now.Add(-5 * time.Second)
			if c.metadata != "" {
				r.setMetadata("s", c.metadata)
			}
			for _, revision := range c.want {
				want = append(want, fmt.Sprintf("%d:%d", revision, revision+1))
			}
			c.read.Stream = "s"
			got, err := show(r.engine.ReadStream(r.ctx, c.read))
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("got %v, %v, want %v", got, err, want)
			}
		})
	}

	t.Run("finds no stream", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		prepare(r)
		for _, s := range []string{"new", "meta", "soft", "$$live"} {
			r.wantMissing(s)
		}
	})

	t.Run("shows the last event of a metadata stream alone", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.setMetadata("s", `{"a":1}`)
		r.setMetadata("s", `{"a":2}`)
		r.setMetadata("$$s", `{"$tb":9}`)
		r.wantStream("$$s", `1:{"a":2}`)
	})

	t.Run("goes on past a page of either size", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		var want []string
		for i := range 2_500 {
			want = append(want, fmt.Sprintf("%d:%d", i, i+1))
		}
		for i := 0; i < 2_500; i += 500 {
			ids := make([]int, 500)
			for k := range ids {
				ids[k] = i + k + 1
			}
			r.mustAppend("small", engine.Expected(i-1), ids...)
		}
		r.wantStream("small", want...)
		for i := range 5 {
			big := storage.NewEvent{ID: id(i + 1), Type: "test", Data: make([]byte, 500_000)}
			if _, err := r.engine.Append(r.ctx, engine.Append{Stream: "big", Expected: engine.Expected(i - 1), Events: []storage.NewEvent{big}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, backwards := range []bool{false, true} {
			n := 0
			for e, err := range r.engine.ReadStream(r.ctx, engine.StreamRead{Stream: "big", From: map[bool]uint64{true: 9}[backwards], Backwards: backwards, Count: everything}) {
				if err != nil || len(e.Event.Data) != 500_000 {
					t.Fatalf("got %d bytes, %v", len(e.Event.Data), err)
				}
				n++
			}
			if n != 5 {
				t.Errorf("got %d events", n)
			}
		}
	})
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	for json, limited := range map[string]bool{
		`{"$maxCount":1}`:                    true,
		`{"$maxCount":1,"other":"x"}`:        true,
		`{"$maxCount":0}`:                    false,
		`{"$maxCount":-1}`:                   false,
		`{"$maxCount":"1"}`:                  false,
		`{"$maxCount":1.5}`:                  false,
		`{"$maxCount":null}`:                 false,
		`{"$maxCount":1,"$maxAge":0}`:        false,
		`{"$maxCount":1,"$tb":-1}`:           false,
		`{"$MaxCount":1}`:                    false,
		`{"$maxCount":1`:                     false,
		`["$maxCount"]`:                      false,
		`null`:                               false,
		``:                                   false,
		`{"$maxCount":99999999999999999999}`: false,
	} {
		t.Run("is read: "+json, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.mustAppend("s", engine.NoStream, 1, 2)
			r.setMetadata("s", json)
			want := []string{"0:1", "1:2"}
			if limited {
				want = want[1:]
			}
			r.wantStream("s", want...)
		})
	}

	t.Run("counts only as JSON", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.mustAppend("s", engine.NoStream, 1, 2)
		if _, err := r.engine.Append(r.ctx, engine.Append{Stream: "$$s", Expected: engine.NoStream, Events: []storage.NewEvent{
			{ID: id(1), Type: "$metadata", Data: []byte(`{"$maxCount":1}`)},
		}}); err != nil {
			t.Fatal(err)
		}
		r.wantStream("s", "0:1", "1:2")
	})

	t.Run("may come before the stream", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.setMetadata("s", `{"$maxCount":1}`)
		r.mustAppend("s", engine.NoStream, 1, 2)
		r.wantStream("s", "1:2")
	})

	t.Run("does not hide events from what appends are judged by", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		first := r.mustAppend("s", engine.NoStream, 1, 2)
		r.setMetadata("s", `{"$tb":2}`)
		if again := r.mustAppend("s", engine.NoStream, 1, 2); again != first {
			t.Fatalf("got %+v, want %+v", again, first)
		}
		if _, err := r.append("s", engine.NoStream, 3); !isConflict(err) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var p [5]uint64
	for i := range p {
		p[i] = r.mustAppend(fmt.Sprintf("s%d", i), engine.NoStream, i+1).Position
	}
	pos := func(c, q uint64) engine.Position { return engine.Position{Commit: c, Prepare: q} }
	types, err := engine.NewFilter(engine.FilterOptions{ByStream: true, Prefixes: []string{"s1", "s3"}})
	if err != nil {
		t.Fatal(err)
	}
	const top = math.MaxUint64
	for name, c := range map[string]struct {
		read engine.AllRead
		want []int
	}{
		"forwards":                              {engine.AllRead{Count: everything}, []int{0, 1, 2, 3, 4}},
		"forwards, counted":                     {engine.AllRead{Count: 2}, []int{0, 1}},
		"forwards, inclusive":                   {engine.AllRead{From: pos(p[2], p[2]), Count: everything}, []int{2, 3, 4}},
		"forwards from before an event's pair":  {engine.AllRead{From: pos(p[2], 0), Count: everything}, []int{2, 3, 4}},
		"forwards from behind an event's pair":  {engine.AllRead{From: pos(p[2], p[2]+1), Count: everything}, []int{3, 4}},
		"forwards from between two events":      {engine.AllRead{From: pos(p[2]+1, p[2]), Count: everything}, []int{3, 4}},
		"forwards from the end":                 {engine.AllRead{FromEnd: true, Count: everything}, nil},
		"forwards from past the end":            {engine.AllRead{From: pos(p[4]+1, 0), Count: everything}, nil},
		"forwards from the last pair there is":  {engine.AllRead{From: pos(top, top), Count: everything}, nil},
		"forwards, filtered":                    {engine.AllRead{Filter: types, Count: everything}, []int{1, 3}},
		"forwards, filtered and counted":        {engine.AllRead{Filter: types, Count: 1}, []int{1}},
		"backwards":                             {engine.AllRead{FromEnd: true, Backwards: true, Count: everything}, []int{4, 3, 2, 1, 0}},
		"backwards, counted":                    {engine.AllRead{FromEnd: true, Backwards: true, Count: 2}, []int{4, 3}},
		"backwards, exclusive":                  {engine.AllRead{From: pos(p[2], p[2]), Backwards: true, Count: everything}, []int{1, 0}},
		"backwards from before an event's pair": {engine.AllRead{From: pos(p[2], 0), Backwards: true, Count: everything}, []int{1, 0}},
		"backwards from behind an event's pair": {engine.AllRead{From: pos(p[2], p[2]+1), Backwards: true, Count: everything}, []int{2, 1, 0}},
		"backwards from the start":              {engine.AllRead{Backwards: true, Count: everything}, nil},
		"backwards from past the end":           {engine.AllRead{From: pos(top, top), Backwards: true, Count: 1}, []int{4}},
		"backwards, filtered":                   {engine.AllRead{FromEnd: true, Filter: types, Backwards: true, Count: everything}, []int{3, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []int
			for e, err := range r.engine.ReadAll(t.Context(), c.read) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, slices.Index(p[:], e.Event.Position))
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for _, o := range []engine.FilterOptions{{}, {Regex: "("}, {Regex: "(?=a)"}, {Regex: `(a)\1`}} {
		if _, err := engine.NewFilter(o); !isInvalid(err) {
			t.Errorf("%+v: got %v", o, err)
		}
	}
	r := newRig(t)
	for i, typ := range []string{"plain", "$system", "other.plain"} {
		event := storage.NewEvent{ID: id(i + 1), Type: typ, Data: []byte(typ)}
		if _, err := r.engine.Append(r.ctx, engine.Append{Stream: "s", Expected: engine.Any, Events: []storage.NewEvent{event}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		options engine.FilterOptions
		want    []string
	}{
		{engine.FilterOptions{Regex: `^[^\$].*`}, []string{"0:plain", "2:other.plain"}},
		{engine.FilterOptions{Regex: "plain"}, []string{"0:plain", "2:other.plain"}},
		{engine.FilterOptions{Prefixes: []string{"plain"}}, []string{"0:plain"}},
		{engine.FilterOptions{Prefixes: []string{"x", "$", "o"}}, []string{"1:$system", "2:other.plain"}},
		{engine.FilterOptions{Prefixes: []string{"s"}, ByStream: true}, []string{"0:plain", "1:$system", "2:other.plain"}},
		{engine.FilterOptions{Regex: "plain", Prefixes: []string{"$"}}, []string{"0:plain", "2:other.plain"}},
	} {
		f, err := engine.NewFilter(c.options)
		if err != nil {
			t.Fatal(err)
		}
		got, err := show(r.engine.ReadAll(r.ctx, engine.AllRead{Filter: f, Count: everything}))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v gives %v, %v, want %v", c.options, got, err, c.want)
		}
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data   string
		change func(*rig)
		want   string
	}{
		"leads to its target":                 {"1@target", nil, "link 0:1@target to 1:2"},
		"leads to a name with an @":           {"0@a@b", func(r *rig) { r.mustAppend("a@b", engine.NoStream, 5) }, "link 0:0@a@b to 0:5"},
		"leads nowhere past the target's end": {"3@target", nil, "link 0:3@target"},
		"leads nowhere without the stream":    {"0@nowhere", nil, "link 0:0@nowhere"},
		"leads nowhere when truncated":        {"0@target", func(r *rig) { r.setMetadata("target", `{"$tb":1}`) }, "link 0:0@target"},
		"leads nowhere when expired": {"0@target", func(r *rig) {
			r.setMetadata("target", `{"$maxAge":1}`)
			r.now = r.now.Add(time.Minute)
		}, "link 0:0@target"},
		"leads nowhere when deleted":     {"0@target", func(r *rig) { r.mustDelete("target", engine.Any) }, "link 0:0@target"},
		"leads nowhere when closed":      {"0@target", func(r *rig) { r.mustTombstone("target", engine.Any) }, "link 0:0@target"},
		"leads nowhere if it is no link": {"what@ever", nil, "link 0:what@ever"},
		"leads nowhere if it is empty":   {"", nil, "link 0:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.mustAppend("target", engine.NoStream, 1, 2, 3)
			link := storage.NewEvent{ID: id(9), Type: "$>", Data: []byte(c.data)}
			if _, err := r.engine.Append(r.ctx, engine.Append{Stream: "links", Expected: engine.NoStream, Events: []storage.NewEvent{link}}); err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(r)
			}
			got, err := show(r.engine.ReadStream(r.ctx, engine.StreamRead{Stream: "links", Count: 1, ResolveLinks: true}))
			if err != nil || len(got) != 1 || got[0] != c.want {
				t.Fatalf("got %v, %v, want %s", got, err, c.want)
			}
			r.wantStream("links", "0:"+c.data)
		})
	}
}
