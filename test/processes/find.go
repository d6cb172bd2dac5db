package processes

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Info is a running process.
type Info struct {
	Pid      int
	Program  string // base name
	Resident uint64 // bytes of memory, those shared with others included
}

// Find returns the processes whose command lines name something below dir, but for this one. Where
// there is no /proc, it finds none.
func Find(dir string) []Info {
	var found []Info
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte(dir+string(filepath.Separator))) {
			continue // it has ended, or is another's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		program, _, _ := bytes.Cut(line, []byte{0})
		found = append(found, Info{Pid: pid, Program: filepath.Base(string(program)), Resident: resident(pid)})
	}
	return found
}

// resident reads VmRSS, as ps shows it.
func resident(pid int) uint64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseUint(fields[0], 10, 64)
	return kib << 10
}

// EndAll kills the processes that Find finds, and those that they start meanwhile, but not a
// warden.
func EndAll(dir string) {
	for range 500 {
		left := 0
		for _, p := range Find(dir) {
			if p.Program == "warden" {
				continue
			}
			if process, err := os.FindProcess(p.Pid); err == nil {
				_ = process.Kill() // it may have ended
				left++
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond) // until the kernel has taken them away
	}
}
