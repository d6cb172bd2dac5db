//go:build !linux

package kubetest

import "errors"

var errLinux = errors.New("only Linux has network namespaces")

func enter() (int, error) { return 0, errLinux }

func initMain() int { return 1 }
