package persistent

// Info is how a group is.
type Info struct {
	Key      Key
	Settings Settings
	Status   string
	// StartFrom is where a group without a checkpoint begins; LastCheckpoint and
	// LastKnown are places, or empty if there is none.
	StartFrom, LastCheckpoint, LastKnown string
	Consumers                            []ConsumerInfo
	TotalItems                           int64
	Waiting, Retrying, Outstanding       int
	Parked                               int64
}

// ConsumerInfo is how a consumer is.
type ConsumerInfo struct {
	TotalItems     int64
	AvailableSlots int
	InFlight       int
}

func (g *group) info() Info {
	i := Info{
		Key: g.key, Settings: g.settings, Status: "Behind", StartFrom: g.settings.Start.text(g.key.Stream),
		TotalItems: g.total, Waiting: len(g.waiting), Retrying: len(g.retry), Parked: int64(g.parked.end - g.parked.next), Outstanding: g.outstanding(),
	}
	if g.live {
		i.Status = "Live"
	}
	if g.noted != nil {
		i.LastCheckpoint = g.noted.text(g.key.Stream)
	}
	if g.known != nil {
		i.LastKnown = g.known.text(g.key.Stream)
	}
	for _, c := range g.consumers {
		i.Consumers = append(i.Consumers, ConsumerInfo{TotalItems: c.total, AvailableSlots: c.size - c.count, InFlight: c.count})
	}
	return i
}
