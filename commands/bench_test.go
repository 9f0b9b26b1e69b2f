package commands_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
)

// What a command costs beside the log: the event store is in memory, behind a
// Unix socket.

func BenchmarkPostMessage(b *testing.B) {
	r := newRig(b)
	id := r.session("")
	m := newMessage(id, "A message of some length, as people write them to an agent.")
	b.Run("on one session", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must(r.PostMessage(r.someone(), m))(b)
		}
	})
	b.Run("under a key", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			must(r.PostMessage(r.by(request{key: strconv.Itoa(i)}), m))(b)
		}
	})
	b.Run("again under its key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must(r.PostMessage(r.by(request{key: "again"}), m))(b)
		}
	})
	b.Run("16 at a time on one session", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				must(r.PostMessage(r.someone(), m))(b)
			}
		})
	})
	ids := make([]string, 16)
	for i := range ids {
		ids[i] = r.session("")
	}
	b.Run("16 at a time on as many sessions", func(b *testing.B) {
		var next atomic.Int64
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			m := newMessage(ids[next.Add(1)%16], "x")
			for pb.Next() {
				must(r.PostMessage(r.someone(), m))(b)
			}
		})
	})
}

// A login reads the address and the account to their ends; that the password
// costs a hundred times as much is left out.
func BenchmarkLogin(b *testing.B) {
	r := newRig(b)
	r.user(email, "viewer")
	b.Run("password", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustLogInAs(b, r, email)
		}
	})
	b.Run("refresh", func(b *testing.B) {
		l := mustLogInAs(b, r, email)
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if l, err = r.RefreshLogin(r.someone(), l.RefreshToken); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The first command on a stream of 3,000 events, with and without a snapshot.
func BenchmarkColdStream(b *testing.B) {
	s := newShelf()
	with := func(o *commands.Options) { o.Snapshots = s }
	r := newRig(b, with)
	id := r.session("")
	r.fill(id, 3000)
	r.message(id, "makes the snapshot")
	s.await(b, "session-"+id)
	command := func(b *testing.B, r *rig) {
		b.Helper()
		if err := r.Exists(r.someone(), map[string]string{"session_id": id}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("from its snapshot", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			cold := rigOn(b, r.log, with)
			b.StartTimer()
			command(b, cold)
		}
	})
	b.Run("from its start", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			cold := rigOn(b, r.log)
			b.StartTimer()
			command(b, cold)
		}
	})
}

// What a refused request costs the one who is refused.
func BenchmarkRefusal(b *testing.B) {
	r := newRig(b)
	stop := r.record()
	defer stop()
	ctx := r.from("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		r.refusals.AccessDenied(ctx, "unauthorized")
	}
}

func BenchmarkOutput(b *testing.B) {
	r := newRig(b)
	id := r.session("")
	x := r.execute(id, r.run(id))
	if err := x.Ask(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := x.Output(b.Context(), "a piece of the answer "); err != nil {
			b.Fatal(err)
		}
	}
	if err := x.Complete(b.Context(), "", "x", eventschema.Usage{}); err != nil {
		b.Fatal(err)
	}
}
