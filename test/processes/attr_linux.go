package processes

import "syscall"

// dieWithParent has the kernel kill the child when its parent dies without cleaning up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// ownSession keeps signals to the parent's process group, such as Ctrl-C's, from the child.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
