package engine

import "time"

const (
	// viewLease is how long a view of an image outlives a killed process.
	viewLease = 5 * time.Minute
	// undoTimeout bounds what releases things after a call has ended.
	undoTimeout = 10 * time.Second
)
