// Package version tells which Trivet this is.
package version

// version is set at link time from the tag and commit.
var version = "0.1.0-dev"

// String returns the version.
func String() string { return version }
