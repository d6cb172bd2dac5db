package main

import (
	"testing"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }
