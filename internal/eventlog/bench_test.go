package eventlog_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
)

// BenchmarkFollowers is an event's way from an append to everybody who follows the
// log. What it costs must hardly depend on how many they are.
func BenchmarkFollowers(b *testing.B) {
	for _, followers := range []int{1, 4} {
		b.Run(strconv.Itoa(followers), func(b *testing.B) {
			log := eventlogtest.Open(b)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			var following, live, told sync.WaitGroup
			live.Add(followers)
			for range followers {
				following.Go(func() {
					begun := sync.OnceFunc(live.Done)
					err := log.Follow(ctx, eventlog.Position{}, func(item eventlog.Item) error {
						if item.CaughtUp {
							begun()
						} else if !item.Lost {
							told.Done()
						}
						return nil
					})
					if !errors.Is(err, context.Canceled) {
						b.Error(err)
					}
				})
			}
			live.Wait()
			b.ReportAllocs()
			for b.Loop() {
				told.Add(followers)
				if _, err := log.Append(ctx, "a", eventlog.Any, event("test.bench")); err != nil {
					b.Fatal(err)
				}
				told.Wait()
			}
			cancel()
			following.Wait()
		})
	}
}

// BenchmarkRecordOf reads the record of a message that a Subscriber delivered, and
// of one that stands for itself.
func BenchmarkRecordOf(b *testing.B) {
	log := eventlogtest.Open(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	if _, err := log.Append(ctx, "a", eventlog.Any, event("test.bench")); err != nil {
		b.Fatal(err)
	}
	subscriber := eventlog.NewSubscriber(log, eventlog.SubscriberOptions{
		After: func(context.Context) (eventlog.Position, error) { return eventlog.Position{}, nil },
	})
	messages, err := subscriber.Subscribe(ctx, "")
	if err != nil {
		b.Fatal(err)
	}
	delivered := <-messages
	r, err := eventlog.RecordOf(delivered)
	if err != nil {
		b.Fatal(err)
	}
	headers, err := eventlog.MessageOf(ctx, r)
	if err != nil {
		b.Fatal(err)
	}
	for name, msg := range map[string]*message.Message{"delivered": delivered, "headers": headers} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := eventlog.RecordOf(msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
