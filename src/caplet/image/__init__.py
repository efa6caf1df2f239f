# SPDX-License-Identifier: Apache-2.0
"""OCI images on disk: read, look inside, change, write; nothing is ever unpacked to be read.

    reference    what the user writes: oci:DIR:TAG
    layout archive tarfiles      where blobs come from: sources        -> blobs: found, read, proved
    descriptor config jsontext   the documents, strictly
    image        Image and Index over a source; changed by functions (newlayer: a layer that is made)
    compression content          a layer's bytes                       (compressor: the writers)
    layer        its tar format: entry header pax sparse tarreader tarwriter
    rootfs       the final file system: apply node overlay rootpath; passwd, program
    copy         to where a reference says: layoutwriter archivewriter place staging
    validate     every invariant, checked

`open_image("oci:DIR")`, then `image.append(layer, history)`, then `write_image(image, "oci:DIR:TAG")`.
"""
