# SPDX-License-Identifier: Apache-2.0
"""What the programs between the API server and the kernel make of a container: one file a program.

    PodSpec ──kubelet──▶ SecurityContext ──containerd──▶ Spec ──runc──▶ system calls ──▶ caplet.kernel

Everything is pure: values in, values out, each fact with its source (project, version, path, function) beside it.
`model` has the types between the arrows.
"""
