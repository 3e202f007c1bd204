package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
)

// peerCredentials refuses unix-socket peers of another uid than root's and
// this process's own (SO_PEERCRED). File mode 0600 says the same; this holds
// also for a descriptor that was passed on. It also serves as the client's
// side, where there is nothing to check.
type peerCredentials struct{}

// peerInfo is the AuthInfo of an accepted peer.
type peerInfo struct {
	credentials.CommonAuthInfo
	uid uint32
	pid int32
}

// AuthType names the mechanism.
func (peerInfo) AuthType() string { return "SO_PEERCRED" }

func (peerCredentials) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, localInfo(0, 0), nil
}

func (peerCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	unixConn, ok := c.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.New("peer is not on a unix socket")
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return nil, nil, fmt.Errorf("peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, nil, fmt.Errorf("peer credentials: %w", err)
	}
	if credErr != nil {
		return nil, nil, fmt.Errorf("peer credentials: %w", credErr)
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Getuid() {
		return nil, nil, fmt.Errorf("peer with uid %d is not allowed", cred.Uid)
	}
	return c, localInfo(cred.Uid, cred.Pid), nil
}

func localInfo(uid uint32, pid int32) peerInfo {
	return peerInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, uid, pid}
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}

func (p peerCredentials) Clone() credentials.TransportCredentials { return p }

func (peerCredentials) OverrideServerName(string) error { return nil }
