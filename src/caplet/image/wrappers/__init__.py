# SPDX-License-Identifier: Apache-2.0
"""What a started program executes next: wrappers known by name, shell scripts and `sh -c` by reading them.

follow       next_argv(): one step, from a `Program` to what it executes
model        the answers: Executes, Unknown, Nothing
options      command lines as getopt(3) reads them
accounts     /etc/passwd and /etc/group as the C library reads them
inits        tini, dumb-init, catatonit: an init that starts one program
users        gosu, su-exec, chpst, s6-setuidgid, runuser, su: another user
setpriv capsh    ids, capability sets, securebits
surroundings     env, nice, timeout, chroot, unshare, ...: the same credentials, mostly
supervisors      s6, runit, supervisord: what they start stands in their configuration
shell        a reader of shell scripts that says only what is certain
"""
