package storage_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

var concurrencies = []int{1, 16, 64}

// BenchmarkCommit is one event of 400 bytes a commit, on the disk.
func BenchmarkCommit(b *testing.B) {
	for _, c := range concurrencies {
		b.Run(fmt.Sprintf("c=%d", c), func(b *testing.B) {
			log := openOn(b, storage.Options{Dir: b.TempDir(), Logger: quiet})
			event := storage.NewEvent{ID: [16]byte{1}, Type: "benchmark.event", JSON: true, Data: make([]byte, 400)}
			var workers atomic.Int64
			runAt(b, c, func(work func(func())) {
				stream := fmt.Sprintf("stream-%d", workers.Add(1))
				work(func() {
					err := log.Commit(b.Context(), func(tx *storage.Tx) error {
						s, err := tx.Stream(stream)
						if err != nil {
							return err
						}
						s.Last++
						tx.Put(stream, uint64(s.Last), &event)
						tx.PutStream(stream, s)
						return nil
					})
					if err != nil {
						b.Error(err)
					}
				})
			})
		})
	}
}

// BenchmarkPebble is what BenchmarkCommit is measured by: synced batches of the
// same keys and sizes, and nothing else.
func BenchmarkPebble(b *testing.B) {
	for _, c := range concurrencies {
		b.Run(fmt.Sprintf("c=%d", c), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), &pebble.Options{
				MemTableSize: 16 << 20, Logger: discard{}, FormatMajorVersion: pebble.FormatValueSeparation,
			})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
			var position, workers atomic.Uint64
			event := make([]byte, 470)
			runAt(b, c, func(work func(func())) {
				stream := fmt.Sprintf("stream-%d", workers.Add(1))
				n := uint64(0)
				work(func() {
					n++
					batch := db.NewBatch()
					_ = batch.Set(binary.BigEndian.AppendUint64([]byte("e"), position.Add(1)), event, nil)
					_ = batch.Set(binary.BigEndian.AppendUint64([]byte("s0000"+stream), n), event[:20], nil)
					_ = batch.Set([]byte("m"+stream), event[:46], nil)
					if err := batch.Commit(pebble.Sync); err != nil {
						b.Error(err)
					}
					_ = batch.Close()
				})
			})
		})
	}
}

var quiet = slog.New(slog.DiscardHandler)

type discard struct{}

func (discard) Infof(string, ...any)  {}
func (discard) Errorf(string, ...any) {}
func (discard) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// runAt shares b.N operations among c goroutines.
func runAt(b *testing.B, c int, worker func(work func(func()))) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	b.ResetTimer()
	before := cpuTime(b)
	for range c {
		go func() {
			defer func() { done <- struct{}{} }()
			worker(func(op func()) {
				for left.Add(-1) >= 0 {
					op()
				}
			})
		}()
	}
	for range c {
		<-done
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpuTime is what the process has used, which other processes disturb less than
// they do the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func openOn(t testing.TB, o storage.Options) *storage.Log {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	log, err := storage.Open(o)
	if err != nil {
		t.Fatalf("open a log: %v", err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}
