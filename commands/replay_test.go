package commands_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// replays asks that again is the answer to a repetition of what answered first. A
// completion that changes nothing the second time is no part of it.
func replays(t testing.TB, first, again commands.Receipt) {
	t.Helper()
	if first.Replayed || !again.Replayed {
		t.Errorf("replayed: %v, then %v", first.Replayed, again.Replayed)
	}
	if again.Stream != first.Stream || again.Revision != first.Revision || again.Position != first.Position || !again.At.Equal(first.At) {
		t.Errorf("repeated answer\n%+v, first\n%+v", again, first)
	}
	got, want := encoded(t, again), encoded(t, first)
	if again.Types()[len(got)-1] == "user.deleted" {
		want = want[:1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("repeated events\n%s, first\n%s", got, want)
	}
}

func encoded(t testing.TB, r commands.Receipt) []string {
	t.Helper()
	var all []string
	for _, e := range r.Events {
		stored, err := eventschema.All.Encode(e, keys{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stored.Name+" "+string(stored.Data))
	}
	return all
}

// keyed are the commands that a client may repeat under its key, on a rig of
// their own. Each makes, when input is another, another change.
var keyed = map[string]func(r *rig) func(ctx context.Context, input string) (commands.Receipt, error){
	"create a project": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		return func(ctx context.Context, input string) (commands.Receipt, error) {
			return r.CreateProject(ctx, newProject(input))
		}
	},
	"update a project": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		id := r.project()
		return func(ctx context.Context, input string) (commands.Receipt, error) {
			return r.UpdateProject(ctx, commands.UpdateProject{ProjectID: id, Name: &input})
		}
	},
	"delete a project": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		id := r.project()
		return func(ctx context.Context, _ string) (commands.Receipt, error) {
			return r.DeleteProject(ctx, commands.DeleteProject{ProjectID: id})
		}
	},
	"create a session": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		id := r.project()
		return func(ctx context.Context, input string) (commands.Receipt, error) {
			c := newSession(id)
			c.Title = input
			return r.CreateSession(ctx, c)
		}
	},
	"update a session": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		id := r.session("")
		return func(ctx context.Context, input string) (commands.Receipt, error) {
			return r.UpdateSession(ctx, commands.UpdateSession{SessionID: id, Title: &input})
		}
	},
	"post a message": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		id := r.session("")
		return func(ctx context.Context, input string) (commands.Receipt, error) {
			return r.PostMessage(ctx, newMessage(id, input))
		}
	},
	"start a run": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		id := r.session("")
		message := r.message(id, "why?")
		return func(ctx context.Context, input string) (commands.Receipt, error) {
			c := newRun(id, message)
			c.Mode = input
			return r.StartRun(ctx, c)
		}
	},
	"cancel a run": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		run := r.run(r.session(""))
		return func(ctx context.Context, _ string) (commands.Receipt, error) { return r.CancelRun(ctx, run) }
	},
	"create a user": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		return func(ctx context.Context, input string) (commands.Receipt, error) {
			return r.CreateUser(ctx, commands.CreateUser{Name: "Ada", Email: input + "@example.org", Password: input, Roles: []string{"viewer"}})
		}
	},
	"update a user": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		id := r.user("ada@example.org")
		return func(ctx context.Context, input string) (commands.Receipt, error) {
			return r.UpdateUser(ctx, commands.UpdateUser{UserID: id, Name: &input, Password: &input, Disabled: new(true)})
		}
	},
	"delete a user": func(r *rig) func(context.Context, string) (commands.Receipt, error) {
		id := r.user("ada@example.org")
		return func(ctx context.Context, _ string) (commands.Receipt, error) {
			return r.DeleteUser(ctx, commands.DeleteUser{UserID: id})
		}
	},
}

func (r *rig) user(email string, roles ...string) string {
	r.t.Helper()
	receipt := must(r.CreateUser(r.someone(), commands.CreateUser{Name: "Ada", Email: email, Password: "secret", Roles: roles}))(r.t)
	return written[eventschema.UserCreated](r.t, receipt).UserID
}

func TestACommandIsCarriedOutOnceUnderAKey(t *testing.T) {
	t.Parallel()
	for name, make := range keyed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			command := make(r)
			ctx := r.by(request{key: "key", input: "x"})
			first := must(command(ctx, "x"))(t)
			end := head(t, r.log)
			r.clock.pass(time.Minute)
			replays(t, first, must(command(r.by(request{key: "key", input: "x"}), "x"))(t))
			if head(t, r.log) != end {
				t.Error("the repetition appended something")
			}
			_, err := command(r.by(request{key: "key", input: "y"}), "y")
			refused(t, err, commands.ErrKeyReuse)
		})
	}
}

func head(t testing.TB, log *eventlog.Log) eventlog.Position {
	t.Helper()
	p, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAKeyIsUniqueWithinItsScopeAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	for _, scope := range []request{
		{key: "k"}, {key: "K"}, {key: "k", user: "user_b"}, {key: "k", path: "/other"},
	} {
		if receipt := must(r.PostMessage(r.by(scope), newMessage(id, "x")))(t); receipt.Replayed {
			t.Errorf("%+v was taken for another", scope)
		}
	}
}

func TestRetriesAtTheSameTimeAreOne(t *testing.T) {
	t.Parallel()
	for name, make := range keyed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newRig(t)
			command := make(a)
			var mu sync.Mutex
			replayed := 0
			together(8, func(int) {
				receipt, err := command(a.by(request{key: "key", input: "x"}), "x")
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if receipt.Replayed {
					replayed++
				}
			})
			if replayed != 7 {
				t.Errorf("%d of 8 were repetitions", replayed)
			}
		})
	}
}

// The answer was lost, or the append's outcome could not be found out: whoever
// asks again meets what was appended, on another node too, whose cache is older.
func TestARetryElsewhere(t *testing.T) {
	t.Parallel()
	a := newRig(t)
	b := rigOn(t, a.log)
	id := a.session("")
	b.message(id, "warms the cache")
	first := must(a.PostMessage(a.by(request{key: "k"}), newMessage(id, "x")))(t)
	replays(t, first, must(b.PostMessage(b.by(request{key: "k"}), newMessage(id, "x")))(t))

	first = must(a.CreateProject(a.by(request{key: "k2"}), newProject("p")))(t)
	replays(t, first, must(b.CreateProject(b.by(request{key: "k2"}), newProject("p")))(t))
}

// An answer that appended nothing is decided again: it depends on what happened
// since.
func TestOnlyWhatWasAppendedIsRemembered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.project()
	rename := commands.UpdateProject{ProjectID: id, Name: new("p")}
	if receipt := must(r.UpdateProject(r.by(request{key: "k"}), rename))(t); len(receipt.Events) != 0 || receipt.Replayed {
		t.Fatalf("answer %+v", receipt)
	}
	must(r.UpdateProject(r.someone(), commands.UpdateProject{ProjectID: id, Name: new("q")}))(t)
	if receipt := must(r.UpdateProject(r.by(request{key: "k"}), rename))(t); len(receipt.Events) != 1 || receipt.Replayed {
		t.Errorf("answer %+v", receipt)
	}
}

// index is the index of all keys, as far as a test lets it come.
type index struct {
	mu    sync.Mutex
	rows  map[string]int64 // by stream and key
	upTo  eventlog.Position
	err   error
	asked int
}

func (x *index) FindKey(_ context.Context, stream, key string) (int64, bool, eventlog.Position, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked++
	revision, found := x.rows[stream+" "+key]
	return revision, found, x.upTo, x.err
}

// read brings the index to the log's present end.
func (x *index) read(r *rig, streams ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows = map[string]int64{}
	for _, stream := range streams {
		for _, record := range slices.Backward(r.records(stream)) {
			if record.Meta.IdempotencyKey != "" {
				x.rows[stream+" "+record.Meta.IdempotencyKey] = record.Revision
				if x.upTo.Less(record.Position) {
					x.upTo = record.Position
				}
			}
		}
	}
}

func TestAKeyIsNeverForgotten(t *testing.T) {
	t.Parallel()
	x := &index{}
	with := func(o *commands.Options) { o.Keys = x }
	r := newRig(t, with)
	project := r.project()
	id := r.session(project)
	stream := "session-" + id
	first := must(r.PostMessage(r.by(request{key: "first"}), newMessage(id, "x")))(t)
	for i := range 600 {
		if i == 400 {
			if x.asked != 0 {
				t.Error("the index was asked while the ring had every key")
			}
			x.read(r, stream) // from the 512th on the ring has only some
		}
		must(r.PostMessage(r.by(request{key: strconv.Itoa(i)}), newMessage(id, "x")))(t)
	}
	if x.asked == 0 {
		t.Error("the index was never asked")
	}
	x.upTo, x.rows = eventlog.Position{}, nil
	repeat := func(r *rig) (commands.Receipt, error) {
		return r.PostMessage(r.by(request{key: "first"}), newMessage(id, "x"))
	}
	unavailable := func(t *testing.T, r *rig) {
		t.Helper()
		_, err := repeat(r)
		if known, ok := errors.AsType[*fault.Error](err); !ok || known.Kind != fault.Unavailable || !known.Retryable() || known.RetryAfter == 0 {
			t.Errorf("error is %v", err)
		}
	}
	cold := func(t *testing.T) *rig { return rigOn(t, r.log, with) }

	t.Run("while the ring has it, nobody is asked", func(t *testing.T) {
		before := x.asked
		must(r.PostMessage(r.by(request{key: "599"}), newMessage(id, "x")))(t)
		must(r.PostMessage(r.by(request{key: "400"}), newMessage(id, "x")))(t)
		if x.asked != before {
			t.Error("the index was asked for what the ring has")
		}
	})
	t.Run("an index that cannot tell yet is waited for", func(t *testing.T) {
		for _, node := range []*rig{r, cold(t)} {
			unavailable(t, node)
		}
		x.upTo = r.records(stream)[2].Position // the ring's oldest is newer
		for _, node := range []*rig{r, cold(t)} {
			unavailable(t, node)
		}
	})
	t.Run("an index that is away is waited for", func(t *testing.T) {
		x.err = errors.New("no connection")
		for _, node := range []*rig{r, cold(t)} {
			unavailable(t, node)
		}
		x.err = nil
	})
	x.read(r, stream)
	t.Run("the index knows it", func(t *testing.T) {
		for _, node := range []*rig{r, cold(t)} {
			replays(t, first, must(repeat(node))(t))
		}
		_, err := r.PostMessage(r.by(request{key: "first", input: "other"}), newMessage(id, "y"))
		refused(t, err, commands.ErrKeyReuse)
	})
	t.Run("what the index does not know is new", func(t *testing.T) {
		for i, node := range []*rig{r, cold(t)} {
			receipt := must(node.PostMessage(node.by(request{key: fmt.Sprint("new", i)}), newMessage(id, "x")))(t)
			if receipt.Replayed {
				t.Errorf("answer %+v", receipt)
			}
		}
	})
	t.Run("an index that names what is not there is not believed", func(t *testing.T) {
		x.mu.Lock()
		for key := range x.rows {
			x.rows[key] = 1 // the first command's
		}
		x.mu.Unlock()
		_, err := r.PostMessage(r.by(request{key: "5"}), newMessage(id, "x"))
		if err == nil || fault.KindOf(err) != fault.Internal {
			t.Errorf("error is %v", err)
		}
	})
}

// A creation needs no index: its stream's first event says who made it.
func TestACreationIsFoundWithoutAnIndex(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := must(r.CreateProject(r.by(request{key: "first"}), newProject("p")))(t)
	id := written[eventschema.ProjectCreated](t, first).ProjectID
	for i := range 520 {
		must(r.UpdateProject(r.by(request{key: strconv.Itoa(i)}), commands.UpdateProject{ProjectID: id, Name: new(fmt.Sprint("n", i))}))(t)
	}
	for _, node := range []*rig{r, rigOn(t, r.log)} {
		replays(t, first, must(node.CreateProject(node.by(request{key: "first"}), newProject("p")))(t))
	}
}

// A command of many events is replayed whole, and nothing else with it.
func TestAReplayIsTheWholeCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	for range 20 {
		r.run(id)
	}
	first := must(r.CloseSession(r.by(request{key: "k"}), id))(t)
	if len(first.Events) != 21 {
		t.Fatalf("%d events", len(first.Events))
	}
	project := decoded[eventschema.SessionCreated](t, r.records("session-" + id)[0]).ProjectID
	other := r.session(project)
	two := must(r.UpdateUser(r.by(request{key: "k"}), commands.UpdateUser{UserID: r.user("a@example.org"), Name: new("x"), Disabled: new(true)}))(t)
	if len(two.Events) != 2 {
		t.Fatalf("%d events", len(two.Events))
	}
	r.message(other, "x")
	replays(t, first, must(r.CloseSession(r.by(request{key: "k"}), id))(t))
}
