// Package golden compares the OCI specs that Trivet makes with those that
// containerd's built-in CRI plugin makes for the same requests, on the same
// containerd, with the build tag e2e:
//
//	tools/test e2e
//
//	request ─┬─▶ built-in plugin ─▶ container record ─▶ Normal ─┐
//	         └─▶ Trivet ──────────▶ container record ─▶ Normal ─┴─▶ Compare ─▶ differences.txt
//
// The invariant: whatever differs is in differences.txt with its reason, and
// nothing else is there. A difference that is not listed fails the test, and
// so does an entry that no request needs any more. What both must refuse is a
// table of its own.
package golden
