// Package sysctl knows the kernel parameters of which each namespace has its
// own: those that a pod may have, for no other is touched by them.
package sysctl

import (
	"fmt"
	"slices"
	"strings"
)

// Namespace says whose a sysctl is.
type Namespace int

// None is the whole machine.
const (
	None Namespace = iota
	Net
	IPC
	UTS
)

// PingRange has the groups that may send ICMP echo requests.
const PingRange = "net.ipv4.ping_group_range"

// maxValue keeps a value within the one write that the kernel looks at.
const maxValue = 4096

// ofIPC are those of each IPC namespace, beside fs.mqueue.*.
var ofIPC = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

// Of tells which namespace a sysctl is of.
func Of(key string) Namespace {
	switch name := Name(key); {
	case strings.HasPrefix(name, "net."):
		return Net
	case strings.HasPrefix(name, "fs.mqueue."), slices.Contains(ofIPC, name):
		return IPC
	case name == "kernel.domainname":
		return UTS
	}
	return None
}

// Check refuses what cannot be the key and value of any sysctl, and values that
// the kernel would only see a part of.
func Check(key, value string) error {
	if slices.ContainsFunc(Split(key), func(e string) bool { return e == "" || e == "." || e == ".." }) || strings.ContainsRune(key, 0) {
		return fmt.Errorf("sysctl %.200q is no name of one", key)
	}
	if value == "" || len(value) > maxValue || strings.ContainsRune(value, 0) {
		return fmt.Errorf("sysctl %q = %.200q is empty, too long or has zero bytes", key, value)
	}
	return nil
}

// Parse reads name=value. Blanks around both do not count.
func Parse(text string) (key, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return "", "", fmt.Errorf("%q is not name=value", text)
	}
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if err := Check(key, value); err != nil {
		return "", "", err
	}
	return key, value, nil
}

// Name is the one that all spellings of a key have in common.
func Name(key string) string { return strings.Join(Split(key), ".") }

// Split gives the path elements of a key. As with sysctl(8), the first
// separator says which of dot and slash the others are; the other one then
// belongs to a name, as in net/ipv4/conf/eth0.1/forwarding.
func Split(key string) []string {
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '/' {
		return strings.Split(key, "/")
	}
	elements := strings.Split(key, ".")
	for i, e := range elements {
		elements[i] = strings.ReplaceAll(e, "/", ".")
	}
	return elements
}
