# SPDX-License-Identifier: Apache-2.0
"""A Pod's container on the real engines of this machine, and what its first program held there.

    engines.ENGINES["docker"]() ──session(image)──▶ Session ──run(pod, container)──▶ Seen

Each engine is asked as a user or a kubelet asks it (flags of `docker run`, a CRI request), never through what caplet
knows of it: what is seen is to judge the model. The five sets are read from /proc/PID/status of the container's own
process, from outside. Everything that a session makes (containers, images, mounts) is removed by a process of its own
(`sweeper`), also where the session is killed.
"""
