package main_test

import (
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// store is the event store as a process of its own.
type store struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	out  *output
	url  string
	done chan struct{}
}

var storeLine = regexp.MustCompile(`(?m)^\s+clients\s+(esdb://\S+)$`)

// start starts it where it was before.
func (s *store) start() {
	s.t.Helper()
	listen := "127.0.0.1:0"
	if s.url != "" {
		listen = strings.TrimPrefix(strings.Split(s.url, "?")[0], "esdb://")
	}
	s.out = &output{}
	s.cmd = exec.Command(binary, "eventstore", "--listen", listen, "--data-dir", s.dir)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // how it ended is for the test to say
	}()
	eventually(s.t, "the event store starts", func() bool {
		m := storeLine.FindStringSubmatch(s.out.String())
		if m != nil {
			s.url = m[1]
		}
		return m != nil
	})
}

func (s *store) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-s.done
}
