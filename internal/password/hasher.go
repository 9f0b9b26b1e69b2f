package password

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/internal/fault"
)

// errBusy refuses a hash rather than letting a flood of logins take the machine.
var errBusy = fault.New(fault.Unavailable, "unavailable", "Too many passwords are being checked. Try again shortly.").After(time.Second)

// HasherOptions bound what hashing may take. A zero field has the default named
// beside it.
type HasherOptions struct {
	// Workers is how many hashes run at once, 19 MiB and one core each: 2.
	Workers int
	// Queue is how many more may wait for them: 64.
	Queue int
	// Registerer takes the metrics; nil keeps them to itself.
	Registerer prometheus.Registerer
}

// Hasher makes and checks verifiers, a few at a time. Its methods may be called
// from several goroutines. Each fails with an Unavailable fault when the queue is
// full, and with the context's error when it ends while waiting.
type Hasher struct {
	// places are taken by those who hash or wait, workers by those who hash.
	places, workers chan struct{}
	// nobody is the verifier of a password that nobody knows.
	nobody  verifier
	metrics *hasherMetrics
}

// NewHasher makes a hasher. It hashes once, to have a verifier for nobody.
func NewHasher(o HasherOptions) (*Hasher, error) {
	if o.Workers <= 0 {
		o.Workers = 2
	}
	if o.Queue <= 0 {
		o.Queue = 64
	}
	nobody, err := newVerifier(rand.Text())
	if err != nil {
		return nil, fmt.Errorf("make the verifier of nobody: %w", err)
	}
	h := &Hasher{
		places:  make(chan struct{}, o.Workers+o.Queue),
		workers: make(chan struct{}, o.Workers),
		nobody:  nobody,
	}
	h.metrics = newHasherMetrics(o.Registerer, h)
	return h, nil
}

// Hash makes a verifier: what may be stored in place of the password. It does not
// judge the password; see Rules.
func (h *Hasher) Hash(ctx context.Context, password string) (verifier string, err error) {
	err = h.work(ctx, func() error {
		v, err := newVerifier(password)
		verifier = v.String()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return verifier, nil
}

// Verify reports whether password is the one that the verifier was made of. It
// fails with ErrMalformedVerifier when the verifier cannot be read.
func (h *Hasher) Verify(ctx context.Context, verifier, password string) (bool, error) {
	v, err := parse(verifier)
	if err != nil {
		return false, fmt.Errorf("verify a password: %w", err)
	}
	return h.verify(ctx, v, password)
}

// VerifyNobody takes the time and the place in the queue that Verify takes, and
// always denies: for accounts that don't exist, have no password or are disabled,
// so that nobody learns which ones do by watching the clock.
func (h *Hasher) VerifyNobody(ctx context.Context, password string) error {
	_, err := h.verify(ctx, h.nobody, password)
	return err
}

func (h *Hasher) verify(ctx context.Context, v verifier, password string) (matches bool, err error) {
	err = h.work(ctx, func() error {
		matches = v.matches(password)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("verify a password: %w", err)
	}
	return matches, nil
}

// work does one hash on the caller's goroutine, once a worker's place is free.
// It cannot be interrupted, and need not be: it takes a fraction of a second.
func (h *Hasher) work(ctx context.Context, hash func() error) error {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		h.metrics.refused.Inc()
		return errBusy
	}
	select {
	case h.workers <- struct{}{}:
		defer func() { <-h.workers }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// Both may have been ready: who is gone gets no hash.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timer := prometheus.NewTimer(h.metrics.seconds)
	defer timer.ObserveDuration()
	return hash()
}

type hasherMetrics struct {
	seconds prometheus.Histogram
	refused prometheus.Counter
}

func newHasherMetrics(r prometheus.Registerer, h *Hasher) *hasherMetrics {
	m := &hasherMetrics{
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "g4fagent_password_hash_seconds", Help: "Time that a password hash took, without waiting.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 10),
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "g4fagent_password_hashes_refused_total", Help: "Password hashes refused because too many were waiting.",
		}),
	}
	if r != nil {
		waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "g4fagent_password_hashes_in_flight", Help: "Password hashes that run or wait.",
		}, func() float64 { return float64(len(h.places)) })
		r.MustRegister(m.seconds, m.refused, waiting)
	}
	return m
}
