#!/usr/bin/env bash
# Runs this module's tests, with the race detector, against the RabbitMQ of another
# release of Debian than this machine's.
#
#   debian.sh SUITE ROOT [TEST FLAG…]     debian.sh trixie /var/tmp/trixie -test.v
#
# ROOT is where that Debian is unpacked from its mirror unless it was before (450 MB);
# DEBIAN_MIRROR names another mirror. The broker and the tests run in it, in
# namespaces of their own: they take no port of this machine, and nothing outlives
# them. Needs root, debootstrap, iproute2 and Go.
set -euo pipefail

suite=$1 root=$2
shift 2

if [[ ! -e $root/unpacked ]]; then
	debootstrap --variant=minbase "$suite" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # starts nothing
	chmod 755 "$root/usr/sbin/policy-rc.d"
	DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -qq --no-install-recommends rabbitmq-server faketime
	touch "$root/unpacked"
fi

go test -C "$(dirname "$0")/.." -race -c -o "$root/srv/rabbitbus.test" .

cat >"$root/srv/run" <<'END'
set -eu
HOME=$(mktemp -d)
cd "$HOME"
export HOME PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin RABBITMQ_NODENAME=swale@localhost
: >plugins
RABBITMQ_MNESIA_BASE=$HOME/data RABBITMQ_LOG_BASE=$HOME RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
	RABBITMQ_ENABLED_PLUGINS_FILE=$HOME/plugins rabbitmq-server >log 2>&1 &
until rabbitmqctl await_startup >/dev/null 2>&1; do
	kill -0 $! || { cat log; exit 1; }
	sleep 1
done
dpkg-query --show rabbitmq-server
unset RABBITMQ_NODENAME
SWALE_TEST_RABBITMQ=amqp://guest:guest@127.0.0.1:5672/ SWALE_TEST_REQUIRE_SERVERS=1 /srv/rabbitbus.test "$@"
END

# The script below is the first process of its namespace: all others end with it.
# shellcheck disable=SC2016 # its own variables
exec unshare --mount --net --pid --fork --kill-child sh -euc '
	ip link set lo up
	mount -t proc proc "$1/proc"
	root=$1
	shift
	chroot "$root" sh /srv/run "$@"
' debian "$root" "$@"
