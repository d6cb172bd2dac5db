package sign

import (
	"fmt"
	"math"
	"time"
)

// A Time is a moment in a signed document: RFC 3339, UTC, whole seconds, one
// spelling only.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05Z"

// At returns t as documents write it: in UTC, cut to the second.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Second)} }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("the year %d has no RFC 3339 form", y)
	}
	return []byte(`"` + t.UTC().Format(timeLayout) + `"`), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(data []byte) error {
	parsed, err := time.Parse(`"`+timeLayout+`"`, string(data))
	if err != nil || parsed.Format(`"`+timeLayout+`"`) != string(data) {
		return fmt.Errorf("%.40s is not a time like %q", data, timeLayout)
	}
	*t = At(parsed)
	return nil
}

// Seconds is a length of time in whole seconds.
type Seconds uint64

// SecondsOf returns d, cut to the second.
func SecondsOf(d time.Duration) Seconds { return Seconds(max(0, d/time.Second)) }

// Duration returns s, at most the 292 years that a time.Duration holds.
func (s Seconds) Duration() time.Duration {
	return time.Duration(min(uint64(s), math.MaxInt64/uint64(time.Second))) * time.Second
}
