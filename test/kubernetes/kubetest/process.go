package kubetest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Process is a program with its log in a file. The namespace ends it with the test binary.
type Process struct {
	Log string // file, to which every start appends

	env, command []string
	cmd          *exec.Cmd
	done         chan struct{}
}

// StartProcess starts a program with an environment of its own.
func StartProcess(log string, env []string, program string, args ...string) (*Process, error) {
	p := &Process{Log: log, env: env, command: append([]string{program}, args...)}
	return p, p.Start()
}

// Start starts the program again after it has ended.
func (p *Process) Start() error {
	file, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	cmd, done := exec.Command(p.command[0], p.command[1:]...), make(chan struct{})
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, file, file
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", filepath.Base(p.command[0]), err)
	}
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	p.cmd, p.done = cmd, done
	return nil
}

// Running says whether it has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Pid is the id of the process that was started last.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends it as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// Stop ends it as a kubelet does: politely, and after a while by force.
func (p *Process) Stop(grace time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
	case <-time.After(grace):
		p.Kill()
	}
}

// Tail is the end of the log.
func (p *Process) Tail() string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return end(data)
}

func end(log []byte) string { return string(log[max(0, len(log)-2000):]) }

// apiserver is the API server, to be killed and started again behind envtest's back.
type apiserver struct {
	pid     int
	args    []string
	log     string
	process *Process // nil for the one that envtest started
}

// findAPIServer finds the one whose command line names a directory of certificates.
func findAPIServer(certs string) (*apiserver, error) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte("--cert-dir="+certs+"\x00")) {
			continue // it has ended, or is another
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		a := &apiserver{pid: pid, log: certs + ".log"}
		for arg := range bytes.SplitSeq(bytes.TrimSuffix(line, []byte{0}), []byte{0}) {
			a.args = append(a.args, string(arg))
		}
		return a, nil
	}
	return nil, fmt.Errorf("finding the API server among the processes: none has %s", certs)
}

// kill ends it as kill -9 does.
func (a *apiserver) kill() {
	if a.process != nil {
		a.process.Kill()
		return
	}
	_ = syscall.Kill(a.pid, syscall.SIGKILL) // envtest's goroutine waits for it
}

func (a *apiserver) start() (err error) {
	a.process, err = StartProcess(a.log, nil, a.args[0], a.args[1:]...)
	return err
}
