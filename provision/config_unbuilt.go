package provision

// Refused are settings that regctl knows and cannot carry out yet.
func (c Config) Refused() []Problem {
	var p problems
	if c.TLS.Mode == TLSACME {
		p.add("tls.mode", "%s is not built yet: use %s or %s", TLSACME, TLSLocal, TLSFiles)
	}
	return p
}

// Caveats are what a person should know about settings that are kept and do not
// have their full effect yet.
func (c Config) Caveats() []Problem {
	var p problems
	if backend := c.WithDefaults().Firewall.Backend; backend != "none" {
		p.add("firewall.backend", "%s is kept for later: the firewall step is not built yet, and no port was closed", backend)
	}
	return p
}
