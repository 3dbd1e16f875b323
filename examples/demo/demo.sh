#!/bin/sh
# Plays the test scenario of the article that regctl automates, with a real
# client against a real registry in one process: what its user "waldi" may push
# and pull, and what not. With a Docker engine at hand, docker does it too.
#
#   examples/demo/demo.sh PATH-OF-REGCTL PATH-OF-CRANE
#
# Everything lives in a temporary directory and on a loopback port; both are gone
# afterwards. It fails when any step ends otherwise than it should.
set -eu

PATH=$(cd "$(dirname "$1")" && pwd):$(cd "$(dirname "$2")" && pwd):$PATH
work=$(mktemp -d)
export HOME="$work" DOCKER_CONFIG="$work/docker"
server=
cleanup() {
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || true
		wait "$server" || true
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
cd "$work"

say() { printf '\n# %s\n' "$*"; }

# run shows a command as one would type it, and runs it.
run() {
	printf '$ %s\n' "$*"
	"$@" 2>&1
}

# must_fail is run for a command that has to be refused with a certain text.
must_fail() {
	want=$1
	shift
	printf '$ %s\n' "$*"
	if "$@" >out 2>&1; then
		cat out
		echo "demo: this should have been refused" >&2
		exit 1
	fi
	grep . out | tail -n 1
	grep -q "$want" out || { echo "demo: refused, but not with \"$want\"" >&2; exit 1; }
}

# log_in reads the password from a file: arguments are visible to others.
log_in() {
	printf '$ crane auth login %s -u %s --password-stdin < %s\n' "$registry" "$1" "$2"
	crane auth login "$registry" -u "$1" --password-stdin <"$2" 2>&1 | tail -n 1 | sed "s|$work|~|g"
}

say 'A registry, its auth server and the edge, in one process'
echo "\$ regctl serve --dir ./registry --listen 127.0.0.1:0 &"
regctl serve --dir ./registry --listen 127.0.0.1:0 >ready 2>serve.log &
server=$!
for _ in $(seq 100); do
	grep -q '^ready ' ready && break
	kill -0 "$server" 2>/dev/null || { cat serve.log >&2; exit 1; }
	sleep 0.1
done
cat ready
registry=$(sed -n 's|^ready http://||p' ready)
run regctl status --dir ./registry --wait 10s

say 'waldi may do everything in "test" and in what begins with "socke"'
echo 'correct horse' >waldi.pw
echo '$ regctl user add waldi --dir ./registry --password-stdin --label full-access=test --label "full-access=socke*" < waldi.pw'
regctl user add waldi --dir ./registry --password-stdin --label full-access=test --label 'full-access=socke*' <waldi.pw 2>&1
run regctl acl test waldi test push --dir ./registry
log_in waldi waldi.pw

say 'An image of two layers'
mkdir one two
echo 'Hello from the first layer.' >one/hello
head -c 200000 /dev/urandom >two/data
tar -cf one.tar -C one .
tar -cf two.tar -C two .
run crane append --new_layer one.tar --new_layer two.tar --new_tag "$registry/test:latest" --output image.tar
run crane push image.tar "$registry/test:latest"

say 'The same image elsewhere: its layers are mounted, not sent again'
run crane copy "$registry/test:latest" "$registry/socken-test:latest" >mounted
cat mounted
[ "$(grep -c 'mounted blob' mounted)" -ge 2 ] || { echo 'demo: the layers were not mounted' >&2; exit 1; }

say 'test-socke begins with neither: denied'
must_fail '401 Unauthorized' crane push image.tar "$registry/test-socke:latest"
printf '$ regctl acl test waldi test-socke push --dir ./registry\n'
if regctl acl test waldi test-socke push --dir ./registry; then exit 1; fi

say 'Back by digest'
digest=$(crane digest "$registry/test:latest")
run crane pull "$registry/test@$digest" back.tar
run ls -s back.tar

say 'An account that ends: in six seconds'
echo 'only for now' >guest.pw
echo '$ regctl user add guest --dir ./registry --password-stdin --label read-only-access=test --expires 6s < guest.pw'
regctl user add guest --dir ./registry --password-stdin --label read-only-access=test --expires 6s <guest.pw 2>&1
log_in guest guest.pw
run crane digest "$registry/test:latest"
echo '$ sleep 6'
sleep 6
must_fail 'has expired' crane digest "$registry/test:latest"

say 'What the auth server has written down'
run regctl audit --dir ./registry --limit 3

if docker info >/dev/null 2>&1; then
	say 'The same with Docker'
	echo "\$ docker login $registry -u waldi --password-stdin < waldi.pw"
	docker login "$registry" -u waldi --password-stdin <waldi.pw 2>&1 | tail -n 1
	run docker pull "$registry/test:latest"
	run docker tag "$registry/test:latest" "$registry/socken-test:docker"
	run docker push "$registry/socken-test:docker"
	run docker tag "$registry/test:latest" "$registry/test-socke:latest"
	must_fail 'denied' docker push "$registry/test-socke:latest"
	docker rmi "$registry/test:latest" "$registry/socken-test:docker" "$registry/test-socke:latest" >/dev/null
else
	say 'No Docker engine answers here: the part with docker login, push and pull is left out'
fi
