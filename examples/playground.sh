#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sh examples/playground.sh DIRECTORY: the Pods and images that the sessions in README.md and docs/ begin with.
# Every image is packed of the two small programs that caplet ships, under the names that the sessions need.
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd)
case $(uname -m) in
aarch64) programs=$checkout/src/caplet/programs/arm64 ;; # with other digests than the pages show
*) programs=$checkout/src/caplet/programs/amd64 ;;
esac
mkdir -p "$1"
cd "$1"
cp "$checkout"/examples/pods/*.yaml .
cp "$programs/http" server
cp "$programs/probe" probe
caplet pack --quiet server -o oci:web
caplet pack --quiet probe:/app=NET_ADMIN -o oci:app
caplet pack --quiet server:/coredns=NET_BIND_SERVICE -o oci:coredns
caplet pack --quiet probe:/plain -o oci:plain
caplet pack --quiet probe:/bin/ping -o oci:ping
caplet pack --quiet probe:/bin/vault -o oci:vault
caplet pack --quiet probe:/tini server --entrypoint /tini --entrypoint /server -o oci:wrapped
