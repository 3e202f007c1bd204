// Package harness runs the real parts for tests, demonstrations and
// measurements: the lab (containerd, registry, Jaeger) and on it a Trivet
// group or containerd's built-in CRI plugin, with clients for both.
//
//	Lab ──▶ Group (trivet run) ──▶ CRI ──▶ Pod ──▶ Container
//	  └───▶ Baseline (built-in plugin) ─┘
//
// Everything that is started has a Stop that waits for its end, and dies with
// this process even when that is killed. Nothing here depends on package
// testing: failures are errors that name the part and quote its log.
package harness
