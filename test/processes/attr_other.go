//go:build !linux

package processes

import "syscall"

// dieWithParent does nothing: only Linux can tie a child to its parent's life.
func dieWithParent() *syscall.SysProcAttr { return nil }

func ownSession() *syscall.SysProcAttr { return nil }
