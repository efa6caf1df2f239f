# SPDX-License-Identifier: Apache-2.0
"""The container engines, for real: one file an engine, all with the interface of `interface`."""
