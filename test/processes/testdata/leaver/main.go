// Command leaver starts a program of the same kind in a session of its own, as an agent does with
// Envoy, unless it is that itself, and waits to be killed. Its argument is a file below the scratch
// directory.
package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 2 {
		cmd := exec.Command(os.Args[0], os.Args[1], "left")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		if err := os.WriteFile(os.Args[1], nil, 0o600); err != nil {
			panic(err)
		}
	} else {
		signal.Ignore(os.Interrupt, syscall.SIGHUP)
	}
	time.Sleep(time.Hour)
}
