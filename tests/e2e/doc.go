// Package e2e tests Trivet end to end, with the build tag e2e: straight
// scripts against a real containerd in a lab, as root.
//
//	tools/test e2e
//
// One lab and one group serve the tests that only use them; tests that kill
// something or need another configuration start a group of their own, with a
// containerd namespace of its own, on the same lab.
package e2e
