# SPDX-License-Identifier: Apache-2.0
"""A layer's tar format, whole: its entries, its reader, its writer.

`entry` says what an entry is, `tarreader` reads archives as Go's archive/tar does, `tarwriter` writes ustar and PAX;
below them `header` has the 512-byte block, `pax` the extended records, `sparse` the maps of files with holes.
"""

from caplet.image.entry import Entry, Kind
from caplet.image.tarreader import TarReader
from caplet.image.tarwriter import TarWriter

__all__ = ["Entry", "Kind", "TarReader", "TarWriter"]
