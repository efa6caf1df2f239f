# SPDX-License-Identifier: Apache-2.0
"""Reports of what is on disk already: that one cannot be printed must not look as if nothing had been done."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from caplet.cli.terminal import printable
from caplet.errors import CapletError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.descriptor import Digest
    from caplet.image.reference import Reference

EXIT_BROKEN_PIPE = 141
"""As a shell reports a process that ended by SIGPIPE (128 + 13)."""


@contextlib.contextmanager
def reporting(written: Reference | None, digest: Digest) -> Iterator[None]:
    """Print inside. Where standard output does not take it, the error says what was written all the same."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if written is None:
            raise
        _discard_stdout()
        message = f"{written} was written ({digest}), but not all of this report"
        if isinstance(error, BrokenPipeError):
            click.echo(f"caplet: {printable(message)}: its reader is gone", err=True)
            raise click.exceptions.Exit(EXIT_BROKEN_PIPE) from None
        raise CapletError(f"{message}: {error.strerror or error}") from None


def _discard_stdout() -> None:
    """What is still in the buffer would raise the same error when the interpreter ends, with another exit code."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
