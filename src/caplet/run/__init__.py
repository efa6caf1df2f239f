# SPDX-License-Identifier: Apache-2.0
"""A container on this machine, with exactly the credentials that the node would give it.

    caplet ──fork── keeper ──fork── sandbox init (pid 1 of its own pid namespace; the pause container's part)
                                      │   private mounts, a tmpfs for everything, net + ipc + uts namespaces
                                      ├── unpacker      confined to the new root, writes the image's files
                                      ├── container     embedded: perform() and execve; or runc, crun
                                      └── prober        asks the server from inside

Nothing outlives the process that called: the keeper dies with it (PR_SET_PDEATHSIG), the sandbox init dies
with the keeper, a pid namespace dies with its init, and mounts die with the last process of their namespace.
So even SIGKILL leaves no process, no mount and no file behind.

`pod.plan()` has a Pod and an image explained as the node would run them, as far as this machine can be that node;
`container.run_container()` does what the explanation's config.json says; `report` shows what the kernel made of it beside
what was predicted, and `because` why it lacks something.
"""
