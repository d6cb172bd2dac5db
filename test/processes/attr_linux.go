package processes

import "syscall"

// dieWithParent has the kernel kill the child when its parent dies without cleaning up. Signals to
// the parent's process group, such as Ctrl-C's, are the parent's to pass on.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// ownSession keeps the child from whatever happens to the parent and its terminal.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
