# SPDX-License-Identifier: Apache-2.0
"""The certificates of the authorities that a TLS client trusts, as one PEM file."""

from __future__ import annotations

from caplet.errors import InvalidInput, Unavailable

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Gentoo, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL 6
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/tls/cacert.pem",  # OpenELEC
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # CentOS, RHEL 7
    "/etc/ssl/cert.pem",  # Alpine
)
"""Where the bundle is: certFiles of Go's crypto/x509/root_linux.go (go1.24), in its order."""

IMAGE_PATH = b"/etc/ssl/certs/ca-certificates.crt"
"""Where Go, OpenSSL of Debian, curl and rustls-native-certs look."""

BUNDLE_MAX = 16 << 20
"""Real bundles are some 220 KB; what is larger is another file."""


def read_bundle(file: str = "") -> bytes:
    """The named bundle, or this machine's. InvalidInput where it holds no certificate, or a private key."""
    bundle = _load(file or _machine_bundle())
    if b"PRIVATE KEY-----" in bundle:
        raise InvalidInput(f"{file} holds a private key", "an image must not: give the certificates only")
    if b"-----BEGIN CERTIFICATE-----" not in bundle:
        raise InvalidInput(f"{file or 'the bundle'} holds no certificate in PEM form")
    return bundle


def _load(file: str) -> bytes:
    with open(file, "rb") as stream:
        bundle = stream.read(BUNDLE_MAX + 1)
    if len(bundle) > BUNDLE_MAX:
        raise InvalidInput(f"{file}: more than {BUNDLE_MAX >> 20} MiB are no bundle of certificates")
    return bundle


def _machine_bundle() -> str:
    for file in BUNDLES:
        try:
            with open(file, "rb"):
                return file
        except OSError:
            continue
    raise Unavailable("this machine has no bundle of CA certificates", "give one: --ca-certificates=FILE")
