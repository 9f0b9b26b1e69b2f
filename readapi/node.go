package readapi

import (
	"context"
	"time"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/hostload"
)

// Node is what a node says about itself.
type Node struct {
	Version, Build, BasePath string
	Started                  time.Time
	Features                 api.Features
	Limits                   api.Limits
	// Checks asks everything that the server depends on how it is, in bounded
	// time. A nil error is well.
	Checks func(ctx context.Context) map[string]error
	// Requests are the rate, in a second, and the 95th percentile of the
	// durations, in milliseconds, over a window.
	Requests func(window time.Duration) (rps, p95ms float64)
	Load     *hostload.Meter
}

// GetRoot answers GET /.
func (q Reads) GetRoot(context.Context, api.GetRootRequestObject) (api.GetRootResponseObject, error) {
	operations := api.Operations()
	endpoints := make([]api.Endpoint, len(operations))
	for i, o := range operations {
		endpoints[i] = api.Endpoint{Method: o.Method, Path: o.Path}
	}
	return api.GetRoot200JSONResponse{
		OK: true, Name: "G4FAgent Dev Platform API", Version: q.Node.Version, BasePath: q.Node.BasePath, Endpoints: endpoints,
	}, nil
}

// GetHealth answers GET /health. It is always an answer of status 200.
func (q Reads) GetHealth(ctx context.Context, _ api.GetHealthRequestObject) (api.GetHealthResponseObject, error) {
	now := q.Now()
	answer := api.GetHealth200JSONResponse{
		OK: true, Version: q.Node.Version, Build: q.Node.Build, UptimeS: int64(now.Sub(q.Node.Started).Seconds()), Time: api.Time(now),
		Checks: map[string]api.HealthCheck{},
	}
	for name, err := range q.Node.Checks(ctx) {
		check := api.HealthCheck{OK: err == nil}
		if err != nil {
			answer.OK = false
			reason := err.Error()
			check.Message = &reason
		}
		answer.Checks[name] = check
	}
	return answer, nil
}

// GetCapabilities answers GET /capabilities.
func (q Reads) GetCapabilities(context.Context, api.GetCapabilitiesRequestObject) (api.GetCapabilitiesResponseObject, error) {
	return api.GetCapabilities200JSONResponse{Features: q.Node.Features, Limits: q.Node.Limits}, nil
}

const (
	defaultWindow = 60
	maxWindow     = 3600
)

// GetServerStats answers GET /server/stats.
func (q Reads) GetServerStats(ctx context.Context, r api.GetServerStatsRequestObject) (api.GetServerStatsResponseObject, error) {
	window := defaultWindow
	if r.Params.WindowS != nil {
		window = min(max(*r.Params.WindowS, 1), maxWindow)
	}
	rps, p95 := q.Node.Requests(time.Duration(window) * time.Second)
	load := q.Node.Load.Read(ctx)
	return api.GetServerStats200JSONResponse{
		CPU:      api.CPUStats{Pct: load.CPU},
		RAM:      api.RAMStats{UsedBytes: load.RAMUsed, TotalBytes: load.RAMTotal},
		Gpu:      api.GPUStats{Pct: load.GPU, VramUsedBytes: load.VRAMUsed, VramTotalBytes: load.VRAMTotal},
		Network:  api.NetworkStats{RxBps: load.RxBps, TxBps: load.TxBps},
		Requests: api.RequestStats{Rps: rps, P95Ms: p95},
	}, nil
}
