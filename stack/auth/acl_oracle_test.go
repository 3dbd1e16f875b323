package auth

import (
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"regctl/stack/auth/store"
)

// The oracle decides by the written rules in the plainest way: every rule in
// turn, every combination of labels, everything compiled each time.

func oracleDecide(rules []store.Rule, q *Query, now time.Time) (rule int, until time.Time) {
	for i, r := range rules {
		if r.Over(now) || !oracleMatch(r.Match, q) {
			continue
		}
		if r.Pending(now) {
			if !r.Over(r.NotBefore) && (until.IsZero() || r.NotBefore.Before(until)) {
				until = r.NotBefore
			}
			continue
		}
		if !r.Expires.IsZero() && (until.IsZero() || r.Expires.Before(until)) {
			until = r.Expires
		}
		return i, until
	}
	return -1, until
}

func oracleMatch(m store.Match, q *Query) bool {
	fields := map[string]*string{"account": m.Account, "type": m.Type, "name": m.Name, "service": m.Service}
	for f, pattern := range fields {
		if pattern != nil && !oraclePattern(*pattern, oracleValue(q, f), m, q, true) {
			return false
		}
	}
	if m.IP != nil && !oracleIP(*m.IP, q) {
		return false
	}
	for key, pattern := range m.Labels {
		if !slices.ContainsFunc(q.Labels[key], func(v string) bool { return oraclePattern(pattern, v, m, q, false) }) {
			return false
		}
	}
	return true
}

func oracleIP(pattern string, q *Query) bool {
	if !strings.Contains(pattern, "/") {
		return net.ParseIP(pattern).Equal(net.IP(q.IP.AsSlice()))
	}
	_, network, err := net.ParseCIDR(pattern)
	return err == nil && network.Contains(net.IP(q.IP.AsSlice()))
}

func oracleValue(q *Query, field string) string {
	return map[string]string{"account": q.Account, "type": q.Type, "name": q.Name, "service": q.Service}[field]
}

func oraclePattern(pattern, s string, m store.Match, q *Query, labels bool) bool {
	if oracleFilled(pattern, s, nil, m, q) {
		return true
	}
	if !labels {
		return false
	}
	combinations := []map[string]string{{}}
	some := false
	for key, values := range q.Labels {
		if !strings.Contains(pattern, "${labels:"+key+"}") {
			continue
		}
		some = true
		var longer []map[string]string
		for _, c := range combinations {
			for _, v := range values {
				next := map[string]string{key: v}
				for k, v := range c {
					next[k] = v
				}
				longer = append(longer, next)
			}
		}
		combinations = longer
	}
	return some && slices.ContainsFunc(combinations, func(c map[string]string) bool {
		return oracleFilled(pattern, s, c, m, q)
	})
}

var oraclePlaceholder = regexp.MustCompile(`(?s)\\.|\$\{(?:labels:([^}]*)|([aA]ccount|[tT]ype|[nN]ame|[sS]ervice):(\d+)|(account|type|name|service))\}`)

// oracleFilled fills the pattern twice: as it is matched, and with a letter for
// every value that may not make it a regular expression.
func oracleFilled(pattern, s string, labels map[string]string, m store.Match, q *Query) bool {
	var text, shape strings.Builder
	rest := pattern
	for rest != "" {
		at := oraclePlaceholder.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		group := func(i int) string {
			if at[2*i] < 0 {
				return ""
			}
			return rest[at[2*i]:at[2*i+1]]
		}
		whole := group(0)
		value, ok := "", false
		switch {
		case at[2] >= 0:
			if strings.Contains(group(1), "${") { // not this one, maybe a later one
				text.WriteString(rest[:at[0]+1])
				shape.WriteString(rest[:at[0]+1])
				rest = rest[at[0]+1:]
				continue
			}
			value, ok = labels[group(1)]
			if !ok {
				value = whole
			}
			text.WriteString(rest[:at[0]] + value)
			shape.WriteString(rest[:at[0]] + value)
			rest = rest[at[1]:]
			continue
		case at[4] >= 0:
			value, ok = oracleCapture(strings.ToLower(group(2)), group(3), m, q)
		case at[8] >= 0:
			value, ok = oracleValue(q, group(4)), true
		}
		if ok {
			text.WriteString(rest[:at[0]] + strings.ReplaceAll(regexp.QuoteMeta(value), "-", `\-`))
			shape.WriteString(rest[:at[0]] + "x")
		} else {
			text.WriteString(rest[:at[1]])
			shape.WriteString(rest[:at[1]])
		}
		rest = rest[at[1]:]
	}
	text.WriteString(rest)
	shape.WriteString(rest)
	p, sh := text.String(), shape.String()
	if len(p) > 2 && strings.HasPrefix(sh, "/") && strings.HasSuffix(sh, "/") {
		ok, err := regexp.MatchString(p[1:len(p)-1], s)
		return ok && err == nil
	}
	ok, err := path.Match(p, s)
	return ok && err == nil
}

func oracleCapture(field, number string, m store.Match, q *Query) (string, bool) {
	source := map[string]*string{"account": m.Account, "type": m.Type, "name": m.Name, "service": m.Service}[field]
	n, err := strconv.Atoi(number)
	if err != nil || source == nil || len(*source) < 3 || (*source)[0] != '/' || (*source)[len(*source)-1] != '/' {
		return "", false
	}
	re, err := regexp.Compile((*source)[1 : len(*source)-1])
	if err != nil {
		return "", false
	}
	found := re.FindStringSubmatch(oracleValue(q, field))
	if n < 1 || n >= len(found) {
		return "", false
	}
	return found[n], true
}
