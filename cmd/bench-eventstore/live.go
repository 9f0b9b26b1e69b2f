package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

const (
	liveFor     = 4 * time.Second
	liveStreams = 100
)

// measureLive is the time from before an append is sent until a subscription has
// its event: of many subscriptions, each to what a client of the platform follows,
// and of all of them to everything, as fast as that can be.
func measureLive(ctx context.Context, b *bench) error {
	some := b.subscriptions
	err := b.live(ctx, "to 100 streams and their filters", b.rate, func(ctx context.Context, client *esdb.Client, i int) (*esdb.Subscription, error) {
		stream := liveStream(i % liveStreams)
		if i%2 == 0 {
			return client.SubscribeToStream(ctx, stream, esdb.SubscribeToStreamOptions{From: esdb.End{}})
		}
		return client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{
			From: esdb.End{}, MaxSearchWindow: 1000, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{stream}},
		})
	})
	if err != nil {
		return err
	}
	return b.live(ctx, "to everything", max(1, b.rate*20/max(some, 20)), func(ctx context.Context, client *esdb.Client, _ int) (*esdb.Subscription, error) {
		return client.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.End{}})
	})
}

func liveStream(i int) string { return fmt.Sprintf("live-%03d.", i) }

func (b *bench) live(
	ctx context.Context, what string, rate int, subscribe func(context.Context, *esdb.Client, int) (*esdb.Subscription, error),
) (err error) {
	dir := b.folder(fmt.Sprintf("l%d", rate))
	node, err := startNode(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close(context.WithoutCancel(ctx))) }()
	list, err := dial(node.Addr(), b.subscriptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.close()) }()
	var receiving sync.WaitGroup
	delays := make([][]time.Duration, b.subscriptions)
	var ends []func() error
	for i := range b.subscriptions {
		sub, err := subscribe(ctx, list.of(i), i)
		if err != nil {
			return err
		}
		ends = append(ends, sub.Close)
		receiving.Go(func() {
			for {
				e := sub.Recv()
				if e.SubscriptionDropped != nil {
					return
				}
				if e.EventAppeared != nil {
					var sent time.Time
					if sent.UnmarshalText(e.EventAppeared.Event.UserMetadata) == nil {
						delays[i] = append(delays[i], time.Since(sent))
					}
				}
			}
		})
	}
	used := cpuTime()
	appended, late, err := b.atRate(ctx, node.Addr(), rate)
	// What is under way arrives, or counts as lost.
	select {
	case <-time.After(500 * time.Millisecond):
	case <-ctx.Done():
	}
	for _, end := range ends {
		err = errors.Join(err, end())
	}
	receiving.Wait()
	used = cpuTime() - used
	if err != nil {
		return err
	}
	all := slices.Concat(delays...)
	slices.Sort(all)
	if len(all) == 0 {
		return errors.New("nothing arrived")
	}
	p99 := all[len(all)*99/100]
	b.report.bound(
		fmt.Sprintf("%d live subscriptions %s, %d appends/s: append to delivery, p99", b.subscriptions, what, rate),
		fmt.Sprintf("%d appended, %d delivered (p50 %s, CPU %.1f µs), %d appends late",
			appended, len(all), short(all[len(all)/2]), used.Seconds()*1e6/float64(len(all)), late),
		p99.Seconds()*1000, 20, "ms",
	)
	return nil
}

// atRate appends by the clock, whether or not earlier appends have been answered,
// through a few clients. An append is late if it could not begin within 10 ms.
func (b *bench) atRate(ctx context.Context, addr string, rate int) (appended, late int, err error) {
	const lanes = 16
	list, err := dial(addr, lanes)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, list.close()) }()
	var mu sync.Mutex
	var working sync.WaitGroup
	began := time.Now()
	for lane := range lanes {
		working.Go(func() {
			for n := lane; ; n += lanes {
				due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
				if due.Sub(began) >= liveFor || ctx.Err() != nil {
					return
				}
				time.Sleep(time.Until(due))
				behind := time.Since(due) > 10*time.Millisecond
				sent, _ := time.Now().MarshalText() // fails for years beyond 9999
				_, failed := list[0].AppendToStream(ctx, liveStream(n%liveStreams), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, esdb.EventData{
					EventID: uuid.New(), EventType: eventType, ContentType: esdb.ContentTypeJson, Data: ready(uint64(n)), Metadata: sent,
				})
				mu.Lock()
				if failed != nil {
					err = errors.Join(err, failed)
				}
				appended++
				if behind {
					late++
				}
				mu.Unlock()
			}
		})
	}
	working.Wait()
	return appended, late, err
}
