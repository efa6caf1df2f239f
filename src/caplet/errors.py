# SPDX-License-Identifier: Apache-2.0
"""The exceptions of caplet. "No" is a value; "could not" is one of these.

CapletError                   printed without a traceback: the message, then what to do
  InvalidInput (ValueError)   a format is broken: attribute, archive, reference, document; says where
    ManyInvalid               several such errors of one input, to be shown one by one
  ImageError                  a blob is missing, a digest or a size is wrong, a media type is not supported
  Unavailable                 something this machine lacks: a program, root, a kernel feature
"""

from __future__ import annotations


class CapletError(Exception):
    """Something could not be done. The command line prints it in one line and exits with `exit_code`."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        """What the user can do about it; empty where the message says it."""


class InvalidInput(CapletError, ValueError):
    """The input breaks its format; the message says where and how."""


class ManyInvalid(InvalidInput):
    """Several things are wrong: someone with forty manifests wants forty messages."""

    def __init__(self, problems: tuple[InvalidInput, ...]) -> None:
        first, *rest = problems
        super().__init__(first.message + (f" (and {len(rest)} more)" if rest else ""), first.hint)
        self.problems = problems
        """In the order of the text."""


class ImageError(CapletError):
    """An image is not whole: a blob is missing or wrong, or of a kind that is not supported."""


class Unavailable(CapletError):
    """This machine lacks something; the hint says how to get it."""
