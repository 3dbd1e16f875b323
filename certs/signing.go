package certs

import "time"

// SigningCA loads the CA that signs the certificates of token keys from
// signing-ca.crt and signing-ca.key in dir, or makes it, and returns the paths of
// both. The registry trusts the certificate (auth.token.rootcertbundle); only
// the auth server reads the key.
func SigningCA(dir string) (certFile, keyFile string, err error) {
	ca, err := openCA(dir, "signing-ca", "regctl token signing CA", time.Now())
	if err != nil {
		return "", "", err
	}
	return ca.certFile, ca.keyFile, nil
}
