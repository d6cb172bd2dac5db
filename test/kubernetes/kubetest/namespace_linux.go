package kubetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// enter runs this test binary again, as the first process of new network, process and mount
// namespaces, and returns its exit status. The error says why that is not possible.
func enter() (status int, err error) {
	// Short: sockets lie below it, and the path of one has at most 107 bytes.
	temp, err := os.MkdirTemp("", "kt")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(temp)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stageVariable+"="+stageInit, "TMPDIR="+temp)
	cmd.SysProcAttr = namespaces()
	// The kernel sends Pdeathsig when the thread ends that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting a process in namespaces of its own: %w", err)
	}
	defer forward(cmd.Process.Pid)()
	err = cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode() & 0xff, nil // -1 where a signal ended it
	}
	return 0, err
}

// namespaces asks for a user namespace where this process is not root: in it, it is.
func namespaces() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if uid := os.Getuid(); uid != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// forward passes on what ends a test binary: Ctrl-C, and the SIGQUIT of go test's timeout.
func forward(pid int) (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	go func() {
		for s := range signals {
			_ = syscall.Kill(pid, s.(syscall.Signal)) // it may have ended
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// initMain is the first process of the namespaces: it sets them up, runs the tests and takes away
// the processes that lost their parents. When it ends, the kernel kills the rest.
func initMain() int {
	os.Setenv(stageVariable, stageTests)
	if err := setUp(); err != nil {
		os.Setenv(refusalVariable, err.Error())
	}
	pid, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubetest: starting the tests:", err)
		return 1
	}
	defer forward(pid)()
	return reap(pid)
}

// reap waits for children until the one of that id has ended, and returns its exit status.
func reap(pid int) int {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "kubetest: waiting for the tests:", err)
			return 1
		case ended != pid:
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// setUp mounts the /proc of the process namespace and brings the loopback device up.
func setUp() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to this namespace: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := setUpLoopback(); err != nil {
		return err
	}
	return setUpHosts()
}
