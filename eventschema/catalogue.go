package eventschema

import "slices"

// All is every event in the log, stream by stream.
var All = NewCatalogue(slices.Concat(
	installationEvents,
	userEvents,
	reservationEvents,
	loginEvents,
	activityEvents,
	settingsEvents,
	providerEvents,
	projectEvents,
	sessionEvents,
)...)
