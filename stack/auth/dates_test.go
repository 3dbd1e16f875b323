package auth

import (
	"math"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests name zones; a host may have none
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestParseExpiresAndNotBefore(t *testing.T) {
	t.Parallel()
	const noon = "2027-01-15T12:00:00Z" // now
	for _, test := range []struct {
		text, zone         string
		expires, notBefore string
	}{
		{"2027-01-31", "UTC", "2027-02-01T00:00:00Z", "2027-01-31T00:00:00Z"},
		{"2027-12-31", "UTC", "2028-01-01T00:00:00Z", "2027-12-31T00:00:00Z"},
		{"2020-02-29", "UTC", "2020-03-01T00:00:00Z", "2020-02-29T00:00:00Z"}, // leap day, and in the past
		{"2028-02-28", "UTC", "2028-02-29T00:00:00Z", "2028-02-28T00:00:00Z"},
		{"2027-02-28", "UTC", "2027-03-01T00:00:00Z", "2027-02-28T00:00:00Z"},
		{"2000-01-01", "UTC", "2000-01-02T00:00:00Z", "2000-01-01T00:00:00Z"},
		{"9999-12-30", "UTC", "9999-12-31T00:00:00Z", "9999-12-30T00:00:00Z"},
		{"2027-01-31", "Europe/Berlin", "2027-01-31T23:00:00Z", "2027-01-30T23:00:00Z"},
		{"2027-01-31", "Asia/Kolkata", "2027-01-31T18:30:00Z", "2027-01-30T18:30:00Z"},
		// Days of 23 and 25 hours.
		{"2027-03-28", "Europe/Berlin", "2027-03-28T22:00:00Z", "2027-03-27T23:00:00Z"},
		{"2027-10-31", "Europe/Berlin", "2027-10-31T23:00:00Z", "2027-10-30T22:00:00Z"},
		// Clocks that go from 23:59 to 1:00: west and east of Greenwich.
		{"2018-11-03", "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-03T03:00:00Z"},
		{"2018-11-04", "America/Sao_Paulo", "2018-11-05T02:00:00Z", "2018-11-04T03:00:00Z"},
		{"2027-04-29", "Africa/Cairo", "2027-04-29T22:00:00Z", "2027-04-28T22:00:00Z"},
		{"2027-04-30", "Africa/Cairo", "2027-04-30T21:00:00Z", "2027-04-29T22:00:00Z"},
		// Clocks that go from 23:59 to 23:00.
		{"2018-02-17", "America/Sao_Paulo", "2018-02-18T03:00:00Z", "2018-02-17T02:00:00Z"},
		// A day that was left out.
		{"2011-12-29", "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-29T10:00:00Z"},

		{"2027-01-31T12:00:00Z", "Europe/Berlin", "2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"},
		{"2027-01-31T12:00Z", "Europe/Berlin", "2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"},
		{"2027-01-31T12:00+01:00", "UTC", "2027-01-31T11:00:00Z", "2027-01-31T11:00:00Z"},
		{"2027-01-31T12:00:00-09:30", "UTC", "2027-01-31T21:30:00Z", "2027-01-31T21:30:00Z"},
		{"2027-01-31T12:00:00.1239Z", "UTC", "2027-01-31T12:00:00.123Z", "2027-01-31T12:00:00.123Z"},

		{"72h", "Europe/Berlin", "2027-01-18T12:00:00Z", "2027-01-18T12:00:00Z"},
		{"90d", "Europe/Berlin", "2027-04-15T12:00:00Z", "2027-04-15T12:00:00Z"}, // over a change of clocks
		{"2w", "UTC", "2027-01-29T12:00:00Z", "2027-01-29T12:00:00Z"},
		{"1d12h", "UTC", "2027-01-17T00:00:00Z", "2027-01-17T00:00:00Z"},
		{"1.5d", "UTC", "2027-01-17T00:00:00Z", "2027-01-17T00:00:00Z"},
		{"1s", "UTC", "2027-01-15T12:00:01Z", "2027-01-15T12:00:01Z"},
	} {
		now, err := time.Parse(time.RFC3339, noon)
		if err != nil {
			t.Fatal(err)
		}
		now = now.In(zone(t, test.zone))
		expires, err := ParseExpires(test.text, now)
		wantTime(t, "ParseExpires", test.text, test.zone, expires, err, test.expires)
		notBefore, err := ParseNotBefore(test.text, now)
		wantTime(t, "ParseNotBefore", test.text, test.zone, notBefore, err, test.notBefore)

		if strings.Contains(test.text, "-") {
			expires, err = ParseExpiresDate(test.text, now.Location())
			wantTime(t, "ParseExpiresDate", test.text, test.zone, expires, err, test.expires)
			notBefore, err = ParseNotBeforeDate(test.text, now.Location())
			wantTime(t, "ParseNotBeforeDate", test.text, test.zone, notBefore, err, test.notBefore)
		}
	}
}

func wantTime(t *testing.T, function, text, zone string, got time.Time, err error, want string) {
	t.Helper()
	if err != nil || got.Format(time.RFC3339Nano) != want {
		t.Errorf("%s(%q) in %s: got %v and error %v, want %s", function, text, zone, got, err, want)
	}
}

// TestParseExpiresNow: what counts from now forgets the parts of now that a
// store does not keep.
func TestParseExpiresNow(t *testing.T) {
	t.Parallel()
	now := time.Now()
	got, err := ParseExpires("1h", now)
	if want := now.Add(time.Hour).Round(0).UTC().Truncate(time.Millisecond); err != nil || got != want {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
}

func TestParseDateErrors(t *testing.T) {
	t.Parallel()
	const either, date = "a duration from now (72h, 90d, 2w or 1d12h)", "a date (2027-01-31) or a time with zone (2027-01-31T12:00Z"
	for _, test := range []struct{ text, inFlag, inFile string }{
		{"", either, date},
		{"tomorrow", either, date},
		{"31.01.2027", either, date},
		{"2027-1-31", either, date},
		{"2027-01", either, date},
		{" 2027-01-31", either, date},
		{"2027-01-31\n", either, date},
		{"20270131", either, date},
		{"1800000000", either, date},
		{"2027-01-31T12:00 Z", either, date},
		{"1y", either, date},
		{"90D", either, date},
		{"90 d", either, date},
		{"1.2.3d", either, date},
		{"d", either, date},
		{"-", either, date},
		{"+5h", either, date},
		{"--5h", either, date},
		{"1e3h", either, date},
		{"2027-02-29", "has its day out of range", "has its day out of range"},
		{"2027-13-01", "has its month out of range", "has its month out of range"},
		{"2027-01-31T25:00Z", "has its hour out of range", "has its hour out of range"},
		{"2027-01-31T12:00:60Z", "has its second out of range", "has its second out of range"},
		{"2027-01-31T12:00", "has no zone (add Z", "has no zone (add Z"},
		{"2027-01-31T12:00:00", "has no zone (add Z", "has no zone (add Z"},
		{"2027-01-31 12:00", "has no zone (add Z", "has no zone (add Z"},
		{"1999-12-30", "years 2000 to 9999", "years 2000 to 9999"},
		{"0027-01-31", "years 2000 to 9999", "years 2000 to 9999"},
		{"9999-12-31T23:00:00-05:00", "years 2000 to 9999", "years 2000 to 9999"},
		{"0s", "shorter than a second", "is a duration"},
		{"999ms", "shorter than a second", "is a duration"},
		{"-72h", "shorter than a second", "is a duration"},
		{"-999999w", "shorter than a second", "is a duration"},
		{"72h", "", "is a duration, and a file has no now to count from: give " + date},
		{"999999w", "longer than 292 years", "is a duration"},
		{strings.Repeat("9", 400) + "h", "longer than 292 years", "is a duration"},
	} {
		now := time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)
		for function, parse := range map[string]func(string, time.Time) (time.Time, error){
			"ParseExpires": ParseExpires, "ParseNotBefore": ParseNotBefore,
		} {
			got, err := parse(test.text, now)
			wantDateError(t, function, test.text, got, err, test.inFlag)
		}
		for function, parse := range map[string]func(string, *time.Location) (time.Time, error){
			"ParseExpiresDate": ParseExpiresDate, "ParseNotBeforeDate": ParseNotBeforeDate,
		} {
			got, err := parse(test.text, time.UTC)
			wantDateError(t, function, test.text, got, err, test.inFile)
		}
	}

	// The end of that day is in the year 10000, which JSON cannot tell.
	got, err := ParseExpires("9999-12-31", time.Now().UTC())
	wantDateError(t, "ParseExpires", "9999-12-31", got, err, "leave it out for no limit")
	got, err = ParseExpires("290000d", time.Date(9500, 1, 1, 0, 0, 0, 0, time.UTC))
	wantDateError(t, "ParseExpires in 9500", "290000d", got, err, "longer than 292 years")
	got, err = ParseExpires("100000d", time.Date(9900, 1, 1, 0, 0, 0, 0, time.UTC))
	wantDateError(t, "ParseExpires in 9900", "100000d", got, err, "years 2000 to 9999")
}

func wantDateError(t *testing.T, function, text string, got time.Time, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%s(%q): %v", function, text, err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), want) || !got.IsZero() {
		t.Errorf("%s(%q): got %v and error %v, want an error with %q", function, text, got, err, want)
	} else if len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("%s(%q): the error is long or has lines: %v", function, text, err)
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"1s": time.Second, "90d": 90 * day, "2w": 14 * day, "1w2d3h4m5s": 9*day + 3*time.Hour + 4*time.Minute + 5*time.Second,
		"0.5d": 12 * time.Hour, "0.1w": 60480 * time.Second, "0.29d": 25056 * time.Second, "1500ms": 1500 * time.Millisecond, "1000000us": time.Second, "1000000µs": time.Second,
		"1s1ns": time.Second + 1, "106751d": 106751 * day, "3650d": 3650 * day,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q): got %v and %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is not a duration", "5": "is not a duration", "2027-01-31": "is not a duration", "1 h": "is not a duration",
		"0s": "shorter", "-1h": "shorter", "1h-2h": "is not a duration", "106752d": "longer", ".": "is not a duration", "h1": "is not a duration",
	} {
		got, err := ParseDuration(text)
		if err == nil || got != 0 || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "90d") {
			t.Errorf("ParseDuration(%q): got %v and error %v, want one with %q and an example", text, got, err, want)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	for _, text := range []string{
		"2027-01-31", "2028-02-29", "9999-12-31", "2027-01-31T12:00Z", "2027-01-31T12:00:00.5+01:00", "2027-01-31T12:00",
		"72h", "1d12h", "0.1w", "-5h", "99999999999999999999w", "1µs", "2027-01-31T24:00:00+24:00",
	} {
		f.Add(text, int64(1_800_000_000), uint8(0))
	}
	var zones []*time.Location
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia", "America/Havana", "Australia/Lord_Howe"} {
		zones = append(zones, zone(f, name))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64, z uint8) {
		loc := zones[int(z)%len(zones)]
		// Any now from 2000 to 9999.
		now := time.Unix(946684800+(unix&math.MaxInt64)%(252_000_000_000), 999).In(loc)
		expires, err := ParseExpires(text, now)
		notBefore, err2 := ParseNotBefore(text, now)
		wantSound(t, text, now, expires, err)
		wantSound(t, text, now, notBefore, err2)
		if err == nil && err2 == nil && expires.Before(notBefore) {
			t.Errorf("%q in %v: expires %v is before %v", text, loc, expires, notBefore)
		}

		d, err3 := ParseDuration(text)
		inFile, err4 := ParseExpiresDate(text, loc)
		wantSound(t, text, now, inFile, err4)
		switch {
		case err3 == nil && err4 == nil:
			t.Errorf("%q is a date and a duration", text)
		case err3 == nil && err == nil && (!expires.After(now) || now.Add(d).Sub(expires) >= time.Millisecond):
			t.Errorf("%v from %v: got %v", d, now, expires)
		case err3 != nil && (err4 == nil) != (err == nil), err4 == nil && !inFile.Equal(expires):
			t.Errorf("%q in %v: a flag has %v, %v; a file has %v, %v", text, loc, expires, err, inFile, err4)
		}
	})
}

// wantSound fails the test unless got can be kept, printed and read again.
func wantSound(t *testing.T, text string, now, got time.Time, err error) {
	t.Helper()
	if err != nil {
		if !got.IsZero() {
			t.Errorf("%q: %v beside the error %v", text, got, err)
		}
		return
	}
	if got.Location() != time.UTC || got.Nanosecond()%1e6 != 0 {
		t.Errorf("%q: %v is not in UTC and milliseconds", text, got)
	}
	if again, err := ParseExpires(got.Format(time.RFC3339Nano), now); err != nil || again != got {
		t.Errorf("%q: %v was read again as %v, %v", text, got, again, err)
	}
}
