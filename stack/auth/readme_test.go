package auth

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"regctl/stack/auth/store"
)

// readmePart is a piece of README.md: a block of code or a table.
type readmePart struct {
	lang, code string
	head       []string
	rows       [][]string
}

// readReadme returns the whole page, and its blocks and tables in order.
func readReadme(t *testing.T) (text string, parts []readmePart) {
	t.Helper()
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	inCode, inTable := false, false
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, "\n")
		lang, fence := strings.CutPrefix(line, "```")
		last := len(parts) - 1
		switch {
		case fence && !inCode:
			inCode = true
			parts = append(parts, readmePart{lang: lang})
		case fence:
			inCode = false
		case inCode:
			parts[last].code += line + "\n"
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case !inTable:
			inTable = true
			parts = append(parts, readmePart{head: cells(line)})
		case !strings.HasPrefix(line, "|---"):
			parts[last].rows = append(parts[last].rows, cells(line))
		}
	}
	return string(raw), parts
}

func cells(line string) []string {
	var out []string
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		out = append(out, strings.TrimSpace(cell))
	}
	return out
}

// row returns a row of a table by the names of its columns.
func (p readmePart) row(i int) map[string]string {
	row := map[string]string{}
	for k, cell := range p.rows[i] {
		row[p.head[k]] = cell
	}
	return row
}

func (p readmePart) is(columns ...string) bool {
	for _, c := range columns {
		if !slices.Contains(p.head, c) {
			return false
		}
	}
	return true
}

// ticked returns what is between backticks.
func ticked(cell string) (out []string) {
	for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cell, -1) {
		out = append(out, m[1])
	}
	return out
}

// readmeACL loads the acl of a block.
func readmeACL(t *testing.T, f configFiles, block string) *ACL {
	t.Helper()
	cfg, err := f.load(t, partServer+partToken+partUsers+block, LoadOptions{})
	if err != nil || len(cfg.Warnings) > 0 {
		t.Fatalf("%s\n%v, %v", block, err, cfg)
	}
	acl, err := CompileACL(cfg.ACL)
	if err != nil {
		t.Fatal(err)
	}
	return acl
}

// readmeQuestion reads a row that asks something.
func readmeQuestion(t *testing.T, row map[string]string) (Query, time.Time) {
	t.Helper()
	sc, err := parseScope(strings.NewReplacer("`", "", `\`, "").Replace(row["asks"]))
	if err != nil {
		t.Fatal(err)
	}
	q := Query{Account: row["account"], Type: sc.kind, Name: sc.name, Actions: sc.actions, Labels: map[string][]string{}}
	for label := range strings.FieldsSeq(row["labels"]) {
		key, value, _ := strings.Cut(label, "=")
		q.Labels[key] = append(q.Labels[key], value)
	}
	if row["from"] != "" {
		q.IP = netip.MustParseAddr(row["from"])
	}
	now := time.Now()
	if row["at"] != "" {
		if now, err = time.Parse(time.RFC3339, row["at"]); err != nil {
			t.Fatal(err)
		}
	}
	return q, now
}

// Each table of questions is about the rules above it.
func TestReadmeRules(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	_, parts := readReadme(t)
	var acl *ACL
	asked := 0
	for _, p := range parts {
		if strings.HasPrefix(p.code, "acl:\n") {
			acl = readmeACL(t, f, p.code)
		}
		if !p.is("asks", "gets") {
			continue
		}
		for i := range p.rows {
			asked++
			row := p.row(i)
			q, now := readmeQuestion(t, row)
			got := strings.Join(acl.Decide(&q, now).Actions, ",")
			if got == "" {
				got = "nothing"
			}
			if got != row["gets"] {
				t.Errorf("%v\ngets %s", row, got)
			}
		}
	}
	if asked < 25 {
		t.Errorf("found %d questions", asked)
	}
}

func TestReadmePatterns(t *testing.T) {
	t.Parallel()
	_, parts := readReadme(t)
	for _, p := range parts {
		if !p.is("pattern", "holds for") {
			continue
		}
		for i := range p.rows {
			row := p.row(i)
			pattern := ticked(row["pattern"])[0]
			acl, err := CompileACL([]store.Rule{{Match: store.Match{Name: &pattern}, Actions: []string{"*"}}})
			if err != nil {
				t.Fatal(err)
			}
			for column, want := range map[string]bool{"holds for": true, "does not hold for": false} {
				for _, name := range ticked(row[column]) {
					d := acl.Decide(&Query{Account: "waldi", Type: "repository", Name: name, Actions: []string{"pull"}}, time.Now())
					if (d.Rule != nil) != want {
						t.Errorf("%s and %s: holds %t", pattern, name, !want)
					}
				}
			}
		}
		return
	}
	t.Error("no table of patterns")
}

func TestReadmeRefused(t *testing.T) {
	t.Parallel()
	f := newConfigFiles(t)
	_, parts := readReadme(t)
	for _, p := range parts {
		if !p.is("rule", "why") {
			continue
		}
		for i := range p.rows {
			row := p.row(i)
			text := partServer + partToken + partUsers + "acl:\n- " + ticked(row["rule"])[0] + "\n"
			why := strings.Trim(row["why"], "`")
			if _, err := f.load(t, text, LoadOptions{}); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s\n%v, want %s", row["rule"], err, why)
			}
			got := "accepted"
			if _, err := f.load(t, text, LoadOptions{Compat: true}); err != nil {
				got = "refused"
			}
			if got != row["under `--compat`"] {
				t.Errorf("%s is %s under --compat", row["rule"], got)
			}
		}
		return
	}
	t.Error("no table of refused rules")
}

func TestReadmeDates(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	_, parts := readReadme(t)
	for _, p := range parts {
		if !p.is("written") {
			continue
		}
		for i := range p.rows {
			row := p.row(i)
			text := ticked(row["written"])[0]
			for column, parse := range map[string]func(string, *time.Location) (time.Time, error){
				"as `not_before`": ParseNotBeforeDate, "as `expires`": ParseExpiresDate,
			} {
				got := "refused"
				if at, err := parse(text, berlin); err == nil {
					got = at.Format(time.RFC3339)
				}
				if got != row[column] {
					t.Errorf("%s %s is %s", text, column, got)
				}
			}
		}
		return
	}
	t.Error("no table of dates")
}

// The configurations load without a warning and have all keys that there are,
// but for letsencrypt, which is not supported.
func TestReadmeConfiguration(t *testing.T) {
	t.Parallel()
	f := passwordFiles(t)
	_, parts := readReadme(t)
	all := ""
	for _, p := range parts {
		if !strings.HasPrefix(p.code, "server:\n") {
			continue
		}
		all += p.code
		if cfg, err := f.load(t, p.code, LoadOptions{}); err != nil || len(cfg.Warnings) > 0 {
			t.Errorf("%v, %+v", err, cfg)
		}
	}
	for _, section := range []any{configYAML{}, serverYAML{}, tokenYAML{}, keyYAML{}, userYAML{}, ruleYAML{}, matchYAML{}, storeYAML{}, auditLogYAML{}, mongoYAML{}, dialYAML{}} {
		for field := range reflect.TypeOf(section).Fields() {
			key := field.Tag.Get("yaml")
			if key != "letsencrypt" && !regexp.MustCompile(`(?m)(^|[ {])`+key+`:`).MatchString(all) {
				t.Errorf("%T: %s is not on the page", section, key)
			}
		}
	}
}

func TestReadmeAudit(t *testing.T) {
	t.Parallel()
	_, parts := readReadme(t)
	text := "" // of the table of fields
	for _, p := range parts {
		if p.is("field", "what it is") {
			text = fmt.Sprint(p.rows)
		}
		if p.lang != "json" {
			continue
		}
		decoder := json.NewDecoder(strings.NewReader(p.code))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&Record{}); err != nil {
			t.Error(err)
		}
	}
	for _, of := range []reflect.Type{reflect.TypeFor[Record](), reflect.TypeFor[RecordScope]()} {
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("field %s is not on the page", name)
			}
		}
	}
	for _, o := range []Outcome{Granted, Partial, Denied, Refused, Throttled, Busy, BadRequest, Failed, Changed} {
		if !strings.Contains(text, "`"+string(o)+"`") {
			t.Errorf("outcome %s is not on the page", o)
		}
	}
}

func TestReadmeMetrics(t *testing.T) {
	t.Parallel()
	text, _ := readReadme(t)
	descriptions := make(chan *prometheus.Desc, 1000)
	newMetrics(&Server{}).registry.Describe(descriptions)
	close(descriptions)
	ours := 0
	for d := range descriptions {
		name := regexp.MustCompile(`fqName: "(regctl_\w+)"`).FindStringSubmatch(d.String())
		if name == nil {
			continue
		}
		ours++
		if !strings.Contains(text, "| `"+name[1]) {
			t.Errorf("%s is not on the page", name[1])
		}
	}
	if ours == 0 || strings.Count(text, "| `regctl_") != ours {
		t.Errorf("the page has %d metrics of %d", strings.Count(text, "| `regctl_"), ours)
	}
}

func TestReadmeLimits(t *testing.T) {
	t.Parallel()
	_, parts := readReadme(t)
	want := [][]string{
		{"form of a token request", fmt.Sprint(maxBody, " bytes")},
		{"scopes in a request", fmt.Sprint(maxScopes)},
		{"actions in a scope", fmt.Sprint(maxActions)},
		{"account, service, or name in a scope", fmt.Sprint(maxText, " bytes")},
		{"label values tried for one condition", fmt.Sprint(maxTries)},
		{"failed logins of one address with one account", fmt.Sprintf("%d at once, then one every %s", pairBurst, pairRefill)},
		{"failed logins of one address", fmt.Sprintf("%d at once, then one every %s", addressBurst, addressRefill)},
		{"a proven password is not hashed again for", verifiedFor.String()},
		{"requests waiting for their password to be hashed", fmt.Sprint(hashQueue)},
		{"a password waits for its turn at most", hashWait.String()},
		{"user and token names", fmt.Sprint(maxName, " bytes")},
		{"label value", fmt.Sprint(maxLabelValue, " bytes")},
		{"pattern of a stored rule", fmt.Sprint(maxPattern, " bytes")},
		{"cost of a bcrypt hash", fmt.Sprint(maxHashCost)},
		{"password, as bcrypt has it", fmt.Sprint(maxPassword, " bytes")},
		{"configuration file", fmt.Sprint(maxConfigSize, " bytes")},
	}
	for _, p := range parts {
		if p.is("what", "limit") && !reflect.DeepEqual(p.rows, want) {
			t.Errorf("the page has\n%q\nthe code\n%q", p.rows, want)
		}
	}
	if !slices.ContainsFunc(parts, func(p readmePart) bool { return p.is("what", "limit") }) {
		t.Error("no table of limits")
	}
}
