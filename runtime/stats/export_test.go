package stats

// The parsers, for tests.
var (
	ParsePressure   = pressure
	ParseInterfaces = interfaces
	ParseLimit      = limit
	ParseTable      = table
)
