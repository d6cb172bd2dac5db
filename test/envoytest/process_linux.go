package envoytest

import "syscall"

// dieWithParent has the kernel kill the child when the test binary dies without cleaning up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
