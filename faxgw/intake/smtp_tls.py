"""Certificate and key of the SMTP server as octets: read once, tried together, held and handed over.

Where they lie on the disk they are replaced one after the other, and for a moment do not fit. Whoever has held a pair
that fits gives it to a mail process however the files look when that one starts. They are never written to a disk.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self  # Any: plain JSON values

from faxgw.settings import Tls

MAX_PEM = 1_048_576
"""Octets of a certificate's or a key's file; a chain of ten has 20 kB."""
_AS_TEXT = "latin-1"
"""What may stand between the lines of a PEM file are letters of any kind."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain, and its key; both PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def read(cls, tls: Tls) -> Self:
        """What lies there, if it can be used.

        Raises:
            OSError: If it cannot.
        """
        pair = cls(_octets(tls.certificate), _octets(tls.key))
        pair.context()
        return pair

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """From plain values, as `row` made them. Raises ValueError."""
        certificate, key = row
        return cls(str(certificate).encode(_AS_TEXT), str(key).encode(_AS_TEXT))

    def row(self) -> list[str]:
        """As plain values."""
        return [self.certificate.decode(_AS_TEXT), self.key.decode(_AS_TEXT)]

    def context(self) -> ssl.SSLContext:
        """How a server encrypts with it. Raises OSError if it cannot be used."""
        with self.as_files() as tls:
            return context_of(tls)

    @contextlib.contextmanager
    def as_files(self) -> Iterator[Tls]:
        """For what only reads files: paths that lead to memory, as long as the context lasts."""
        with contextlib.ExitStack() as made:
            paths = [_in_memory(made, octets) for octets in (self.certificate, self.key)]
            yield Tls.model_construct(certificate=paths[0], key=paths[1])


def context_of(tls: Tls) -> ssl.SSLContext:
    """How servers encrypt.

    Raises:
        OSError: If certificate and key cannot be used.
    """
    context = tls.server_context()
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _octets(path: Path) -> bytes:
    with path.open("rb") as file:
        octets = file.read(MAX_PEM + 1)
    if len(octets) > MAX_PEM:
        raise OSError(f"{path} has more than {MAX_PEM} octets")
    return octets


def _in_memory(made: contextlib.ExitStack, octets: bytes) -> Path:
    descriptor = os.memfd_create("faxgw-tls", os.MFD_CLOEXEC)
    made.callback(os.close, descriptor)
    os.fchmod(descriptor, 0o600)
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return Path(f"/proc/self/fd/{descriptor}")
