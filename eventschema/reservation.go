package eventschema

// ReservationEvent is any event of a reservation's stream: what may exist only
// once is taken there, by an append that expects no stream.
//
//sumtype:decl
type ReservationEvent interface {
	Event
	ofReservation()
}

type reservationEvent struct{}

func (reservationEvent) ofReservation() {}

var reservationEvents = []Declaration{
	Declare[EmailReserved](1),
	Declare[EmailReleased](1),
}

// EmailReserved gives an e-mail address to a user. It carries the whole user, so
// that the creation can be completed whatever happens after it.
type EmailReserved struct {
	reservationEvent

	User UserCreated `json:"user"`
}

// EventName is the stored name.
func (EmailReserved) EventName() string { return "reservation.email_taken" }

// EmailReleased makes the address free again.
type EmailReleased struct {
	reservationEvent

	UserID string `json:"user_id"`
}

// EventName is the stored name.
func (EmailReleased) EventName() string { return "reservation.email_released" }
