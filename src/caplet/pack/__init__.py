# SPDX-License-Identifier: Apache-2.0
"""Make an image `FROM scratch` out of static programs: what a Dockerfile with a setcap stage does, without one.

binary        FILE[:PATH][=CAPS], and what is refused: scripts, dynamic programs, programs of other systems
certificates  zones       what a static program may want beside itself
filesystem    the files of a layer, in reproducible order and form
scratch       pack(): layers, configuration, and an index where the programs are for several platforms
"""

from caplet.pack.scratch import Content, pack

__all__ = ["Content", "pack"]
