// Package hostload measures how busy the machine is.
package hostload

import (
	"bytes"
	"context"
	"encoding/csv"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

const (
	// freshFor is how long a measurement is answered again: a CPU's share over a
	// shorter time means little.
	freshFor = time.Second
	gpuBound = 2 * time.Second
)

// Load is one measurement. What cannot be measured is zero.
type Load struct {
	CPU               float64 // per cent of all cores
	RAMUsed, RAMTotal int64   // bytes
	GPU               float64 // per cent of the first GPU
	VRAMUsed          int64   // bytes
	VRAMTotal         int64   // bytes
	RxBps, TxBps      float64 // bytes a second, over all interfaces but loopback
}

// Meter measures between two reads. It is safe for concurrent use.
type Meter struct {
	now    func() time.Time
	logger *slog.Logger
	gpu    string // nvidia-smi, or empty

	mu       sync.Mutex
	at       time.Time
	last     Load
	rx, tx   uint64
	measured bool
}

// NewMeter starts to measure.
func NewMeter(ctx context.Context, now func() time.Time, logger *slog.Logger) *Meter {
	m := &Meter{now: now, logger: logger}
	if path, err := exec.LookPath("nvidia-smi"); err == nil {
		m.gpu = path
	}
	m.Read(ctx)
	return m
}

// Read is the load since the last read, or the last one if that is fresh.
func (m *Meter) Read(ctx context.Context) Load {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.measured && now.Sub(m.at) < freshFor {
		return m.last
	}
	load := Load{}
	if pct, err := cpu.PercentWithContext(ctx, 0, false); err == nil && len(pct) > 0 {
		load.CPU = pct[0]
	}
	if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		load.RAMUsed, load.RAMTotal = int64(v.Used), int64(v.Total)
	}
	m.network(ctx, now, &load)
	m.graphics(ctx, &load)
	m.at, m.last, m.measured = now, load, true
	return load
}

func (m *Meter) network(ctx context.Context, now time.Time, load *Load) {
	interfaces, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return
	}
	var rx, tx uint64
	for _, i := range interfaces {
		if i.Name != "lo" {
			rx, tx = rx+i.BytesRecv, tx+i.BytesSent
		}
	}
	if seconds := now.Sub(m.at).Seconds(); m.measured && seconds > 0 && rx >= m.rx && tx >= m.tx {
		load.RxBps, load.TxBps = float64(rx-m.rx)/seconds, float64(tx-m.tx)/seconds
	}
	m.rx, m.tx = rx, tx
}

// graphics asks nvidia-smi, where there is one.
func (m *Meter) graphics(ctx context.Context, load *Load) {
	if m.gpu == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, gpuBound)
	defer cancel()
	out, err := exec.CommandContext(ctx, m.gpu, "--query-gpu=utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits").Output()
	if err != nil {
		m.logger.DebugContext(ctx, "nvidia-smi failed", slog.Any("error", err))
		return
	}
	rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil || len(rows) == 0 || len(rows[0]) != 3 {
		return
	}
	number := func(i int) float64 {
		n, err := strconv.ParseFloat(strings.TrimSpace(rows[0][i]), 64)
		if err != nil {
			return 0
		}
		return n
	}
	load.GPU, load.VRAMUsed, load.VRAMTotal = number(0), int64(number(1))<<20, int64(number(2))<<20
}
