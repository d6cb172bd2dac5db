package standalone

import (
	"encoding/json"
	"fmt"
	"os"
)

// facts are what goes with the stored release and is not in it.
type facts struct {
	Version   int               `json:"version"`
	Workloads map[string]string `json:"workloads"` // name to identity
}

func readJSON(file string, v any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
