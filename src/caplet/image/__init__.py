# SPDX-License-Identifier: Apache-2.0
"""OCI images on disk: read, look inside, change, write; nothing is ever unpacked to be read."""
