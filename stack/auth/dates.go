package auth

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// What is accepted, for errors.
const (
	dateForms     = "a date (2027-01-31) or a time with zone (2027-01-31T12:00Z, 2027-01-31T12:00:00+01:00)"
	durationForms = "72h, 90d, 2w or 1d12h"
)

// Days to add to a date to get to the moment it stands for.
const (
	startOfDate = 0
	endOfDate   = 1
)

// ParseExpires returns the moment at which something ends: the end of a date
// (2027-01-31) in now's location, a time with zone (RFC 3339, the seconds may
// be left out), or a duration from now (see ParseDuration). The result is in
// UTC, within the years 2000 to 9999, and has no parts of milliseconds.
func ParseExpires(text string, now time.Time) (time.Time, error) {
	return parseFlag(text, now, endOfDate)
}

// ParseNotBefore returns the moment from which on something holds. It differs
// from ParseExpires in that a date stands for its start.
func ParseNotBefore(text string, now time.Time) (time.Time, error) {
	return parseFlag(text, now, startOfDate)
}

// ParseExpiresDate is ParseExpires for files. It refuses durations: a file has
// no now from which to count. Dates are those of loc.
func ParseExpiresDate(text string, loc *time.Location) (time.Time, error) {
	return parseKey(text, loc, endOfDate)
}

// ParseNotBeforeDate is ParseNotBefore for files, as ParseExpiresDate.
func ParseNotBeforeDate(text string, loc *time.Location) (time.Time, error) {
	return parseKey(text, loc, startOfDate)
}

// ParseDuration reads a duration of a second or more: the text is that of
// time.ParseDuration, with two more units, d for 24 hours and w for 7 days.
// There are no months or years; m are minutes.
func ParseDuration(text string) (time.Duration, error) {
	d, ok := scanDuration(text)
	switch {
	case !ok:
		return 0, fmt.Errorf("%.64q is not a duration: give %s", text, durationForms)
	case d < time.Second:
		return 0, fmt.Errorf("duration %.64q is shorter than a second: give %s", text, durationForms)
	case d == math.MaxInt64:
		return 0, fmt.Errorf("duration %.64q is longer than 292 years: give %s", text, durationForms)
	}
	return d, nil
}

func parseFlag(text string, now time.Time, days int) (time.Time, error) {
	if _, ok := scanDuration(text); !ok {
		return parseDate(text, now.Location(), days, dateForms+" or a duration from now ("+durationForms+")")
	}
	d, err := ParseDuration(text)
	if err != nil {
		return time.Time{}, err
	}
	return checkYear(text, now.Add(d))
}

func parseKey(text string, loc *time.Location, days int) (time.Time, error) {
	if _, ok := scanDuration(text); ok {
		return time.Time{}, fmt.Errorf("%.64q is a duration, and a file has no now to count from: give %s", text, dateForms)
	}
	return parseDate(text, loc, days, dateForms)
}

// parseDate reads a date or a time with zone. forms is what an error says to
// give instead.
func parseDate(text string, loc *time.Location, days int, forms string) (time.Time, error) {
	problem := "is not a date"
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02T15:04Z07:00"} {
		t, err := time.Parse(layout, text)
		switch parse, _ := errors.AsType[*time.ParseError](err); {
		case err == nil && layout == time.DateOnly:
			return checkYear(text, startOfDay(t.AddDate(0, 0, days), loc))
		case err == nil:
			return checkYear(text, t)
		case strings.HasSuffix(parse.Message, "out of range"): // as the day in 2027-02-29
			problem = "has its " + strings.TrimPrefix(parse.Message, ": ")
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if _, err := time.Parse(layout, text); err == nil {
			problem = "has no zone (add Z for UTC or an offset such as +01:00)"
		}
	}
	return time.Time{}, fmt.Errorf("%.64q %s: give %s", text, problem, forms)
}

// startOfDay returns the start in loc of the day that t has in UTC. Where clocks
// go forward at midnight that is the moment of the change, for time.Date may
// answer with the day before.
func startOfDay(t time.Time, loc *time.Location) time.Time {
	year, month, day := t.Date()
	start := time.Date(year, month, day, 0, 0, 0, 0, loc)
	before, after := start.ZoneBounds()
	switch {
	case start.Day() != day:
		return after
	case start.Hour() != 0 || start.Minute() != 0:
		return before
	}
	return start
}

// checkYear returns t as it is kept, in UTC and milliseconds, if JSON can tell
// it (RFC 3339 has years of four digits) and it is no slip of the keyboard.
func checkYear(text string, t time.Time) (time.Time, error) {
	t = t.UTC().Truncate(time.Millisecond)
	if year := t.Year(); year < 2000 || year > 9999 {
		return time.Time{}, fmt.Errorf("%.64q is not in the years 2000 to 9999 (UTC): leave it out for no limit", text)
	}
	return t, nil
}

// scanDuration adds up the parts of text, each a number with a unit. It reports
// whether text is a duration; one that does not fit becomes the longest.
func scanDuration(text string) (d time.Duration, ok bool) {
	rest, negative := strings.CutPrefix(text, "-")
	if rest == "" {
		return 0, false
	}
	var sum float64
	for rest != "" {
		var number, unit string
		number, rest = cutSpan(rest, "0123456789.")
		unit, rest = cutSpan(rest, "nuµμmshdw")
		n, err := strconv.ParseFloat(number, 64)
		scale := durationUnit(unit)
		if scale == 0 || err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, false
		}
		sum += n * float64(scale)
	}
	if sum >= math.MaxInt64 {
		d = math.MaxInt64
	} else {
		d = time.Duration(math.Round(sum))
	}
	if negative {
		d = -d
	}
	return d, true
}

// cutSpan cuts off the longest start of s that has only characters of set.
func cutSpan(s, set string) (span, rest string) {
	rest = strings.TrimLeft(s, set)
	return s[:len(s)-len(rest)], rest
}

// durationUnit returns 0 for an unknown unit.
func durationUnit(name string) time.Duration {
	switch name {
	case "w":
		return 7 * 24 * time.Hour
	case "d":
		return 24 * time.Hour
	}
	d, err := time.ParseDuration("1" + name)
	if err != nil {
		return 0
	}
	return d
}
