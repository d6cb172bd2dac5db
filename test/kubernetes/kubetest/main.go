package kubetest

import (
	"fmt"
	"os"
	"testing"
)

// stageVariable tells the test binary which of its lives it leads: it starts itself as the first
// process of its namespaces, and that starts it once more to run the tests.
const stageVariable = "KUBETEST_STAGE"

const (
	stageInit  = "init"
	stageTests = "tests"
)

// refusalVariable carries from one life to the next why there are no namespaces.
const refusalVariable = "KUBETEST_REFUSAL"

// Main runs a package's tests in namespaces of their own, stops the cluster that they share, and
// exits. When the test binary ends, however it does, the kernel ends all that it started. Where the
// system does not permit namespaces, the tests run without, and Start skips those that call it.
func Main(m *testing.M) {
	switch os.Getenv(stageVariable) {
	case stageInit:
		os.Exit(initMain())
	case stageTests:
		os.Exit(runTests(m))
	}
	status, err := enter()
	if err != nil {
		os.Setenv(refusalVariable, err.Error())
		status = runTests(m)
	}
	os.Exit(status)
}

func runTests(m *testing.M) int {
	status := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "kubetest: stopping the cluster:", err)
		return max(status, 1)
	}
	return status
}

// RequireNamespace skips a test where Main could not enter namespaces; under CI it fails.
func RequireNamespace(t T) {
	t.Helper()
	refusal := os.Getenv(refusalVariable)
	switch {
	case os.Getenv(stageVariable) == stageTests && refusal == "":
	case refusal == "":
		t.Fatal("kubetest: TestMain of this package does not call kubetest.Main")
	case os.Getenv("CI") == "":
		t.Skip("kubetest: no network namespace: " + refusal)
	default:
		t.Fatal("kubetest: no network namespace: " + refusal)
	}
}
