// Command warden waits until its standard input ends, which it does when the one who started it
// closes it or dies. Then it ends every process of the scratch directory DIR and removes that,
// unless it was told to keep it.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/mesh-compile/mesh-compile/test/processes"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: warden DIR")
		os.Exit(2)
	}
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	said, _ := io.ReadAll(os.Stdin) // an error is an end as well
	processes.EndAll(os.Args[1])
	if string(said) == processes.Keep {
		return
	}
	if err := os.RemoveAll(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "warden:", err)
		os.Exit(1)
	}
}
