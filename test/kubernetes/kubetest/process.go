package kubetest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// process is a program with its log in a file. The namespace ends it with the test binary.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

func startProcess(log, program string, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p := &process{cmd: exec.Command(program, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = file, file
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// tail is the end of a log.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
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
	process *process // nil for the one that envtest started
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
		a.process.kill()
		return
	}
	_ = syscall.Kill(a.pid, syscall.SIGKILL) // envtest's goroutine waits for it
}

func (a *apiserver) start() (err error) {
	a.process, err = startProcess(a.log, a.args[0], a.args[1:]...)
	return err
}
