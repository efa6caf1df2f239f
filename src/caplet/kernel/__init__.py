# SPDX-License-Identifier: Apache-2.0
"""What Linux does with capabilities: values in, values out.

    caps         the forty-one capabilities, sets of them
    captext      libcap's text of three sets: cap_from_text(3), cap_to_text(3)
    filecaps     the security.capability attribute of a file
    credentials  what a process holds: ids, five sets, securebits, no_new_privs, user namespace
    execve       what execve(2) makes of them, step by step
    syscalls     the other system calls that change them
    capable      what an operation needs: binding a port, a raw socket, locked memory

Nothing here reads a file, a clock or this machine. `tests/kernel/oracle.py` compares each answer with the running kernel.
"""
