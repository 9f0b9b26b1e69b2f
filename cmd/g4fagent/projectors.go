package main

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/access"
	"github.com/g4fagent/g4fagent/projections/audit"
	"github.com/g4fagent/g4fagent/projections/idempotency"
	"github.com/g4fagent/g4fagent/projections/messages"
	"github.com/g4fagent/g4fagent/projections/projects"
	"github.com/g4fagent/g4fagent/projections/providers"
	"github.com/g4fagent/g4fagent/projections/runs"
	"github.com/g4fagent/g4fagent/projections/sessions"
	settingsmodel "github.com/g4fagent/g4fagent/projections/settings"
	"github.com/g4fagent/g4fagent/projections/users"
)

// projectors are all read models.
func projectors() []*projections.Projector {
	return []*projections.Projector{
		access.Projector(),
		audit.Projector(),
		idempotency.Projector(),
		messages.Projector(),
		projects.Projector(),
		providers.Projector(),
		runs.Projector(),
		sessions.Projector(),
		settingsmodel.Projector(),
		users.Projector(),
	}
}

// window is how many messages the engine may have in flight.
const window = 2000

// source delivers log to the engine.
func source(log *eventlog.Log) projections.Source {
	return func(after eventlog.Position) message.Subscriber {
		return eventlog.NewSubscriber(log, eventlog.SubscriberOptions{
			After:  func(context.Context) (eventlog.Position, error) { return after, nil },
			Window: window,
		})
	}
}
