package processes

import (
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// Process is a program that was started.
type Process struct {
	Name string

	cmd   *exec.Cmd
	log   string
	done  chan struct{}
	asked atomic.Bool // to end
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Running says whether it has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Interrupt asks it to end.
func (p *Process) Interrupt() {
	p.asked.Store(true)
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
}

// Kill ends it as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	p.asked.Store(true)
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

func (p *Process) wait(limit time.Duration) {
	select {
	case <-p.done:
	case <-time.After(limit):
		p.Kill()
	}
}

// Tail is the end of the log, for errors.
func (p *Process) Tail() string { return Tail(p.log) }

// Tail is the end of a log, without what Envoys write into it about each request.
func Tail(log string) string {
	data, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "{") {
			b.WriteString(line)
		}
	}
	text := b.String()
	return text[max(0, len(text)-tailLength):]
}

const tailLength = 4000
