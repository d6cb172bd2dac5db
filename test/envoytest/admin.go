package envoytest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Admin gets a page of Envoy's admin interface, for example "/clusters".
func (e *Envoy) Admin(path string) ([]byte, error) { return e.admin(http.MethodGet, path) }

// AdminPost does what changes something, for example "/healthcheck/fail".
func (e *Envoy) AdminPost(path string) ([]byte, error) { return e.admin(http.MethodPost, path) }

func (e *Envoy) admin(method, path string) ([]byte, error) {
	req, err := http.NewRequest(method, "http://admin"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking envoy's admin for %s: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("asking envoy's admin for %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking envoy's admin for %s: %s: %s", path, resp.Status, bytes.TrimSpace(body))
	}
	return body, nil
}

// Stats returns the counters and gauges whose names start with prefix.
func (e *Envoy) Stats(prefix string) (map[string]uint64, error) {
	page, err := e.Admin("/stats?filter=" + url.QueryEscape("^"+regexp.QuoteMeta(prefix)))
	if err != nil {
		return nil, err
	}
	stats := map[string]uint64{}
	for lines := bufio.NewScanner(bytes.NewReader(page)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		// Text readouts and histograms are no numbers.
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			stats[name] = n
		}
	}
	return stats, nil
}

// ConfigDump returns all of Envoy's configuration as JSON, with endpoints.
func (e *Envoy) ConfigDump() ([]byte, error) { return e.Admin("/config_dump?include_eds") }
