package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// process is a program of the shop; its output goes to a file beside its state.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	log  string
}

func (s *shop) run(name, dir, program string, args ...string) (*process, error) {
	logName := filepath.Join(s.dir, name+".log")
	log, err := os.Create(logName)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{}), log: logName}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	s.processes = append(s.processes, p)
	return p, nil
}

func (p *process) interrupt() { _ = p.cmd.Process.Signal(os.Interrupt) }

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) wait(limit time.Duration) {
	select {
	case <-p.done:
	case <-time.After(limit):
		p.kill()
	}
}

// tail is the end of the log, for errors.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// exited returns an error for the first process that ended on its own.
func (s *shop) exited() error {
	for _, p := range s.processes {
		select {
		case <-p.done:
			if p != s.controller {
				return fmt.Errorf("%s ended: %s", p.name, p.tail())
			}
		default:
		}
	}
	return nil
}

// until repeats a check until it holds, a process dies, or the context ends.
func (s *shop) until(ctx context.Context, check func() error) error {
	for {
		err := check()
		if err == nil {
			return nil
		}
		if died := s.exited(); died != nil {
			return died
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// startLimit is how long one part may take to come up.
const startLimit = 60 * time.Second

func (s *shop) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return s.until(ctx, func() error {
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s %s", url, resp.Status, strings.TrimSpace(string(body)))
		}
		return nil
	})
}

// getJSON reads a status document.
func getJSON(url string, into any) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}
