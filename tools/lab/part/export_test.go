package part

// For the tests of this package.
var (
	SetOptions = setOptions
	SourcesOf  = sourcesOf
)
