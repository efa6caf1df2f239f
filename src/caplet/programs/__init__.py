# SPDX-License-Identifier: Apache-2.0
"""Small static C programs that caplet runs in containers, shipped built for amd64 and arm64.

    probe    prints the credentials that execve(2) gave it: the oracle's and the runtime's witness
    http     answers `ok` on port 80: the server of `caplet demo`

They use no libc (`start.h` holds the entry point and the system calls), so each is about 2 KiB. `build` makes the
same bytes from the same sources on any machine; `shipped` finds a built program and checks it against SHA256SUMS.
"""
