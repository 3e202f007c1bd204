package checkpoint

// For tests of the package.
var (
	ParsePod = parsePod
	Renamed  = renamed
)
