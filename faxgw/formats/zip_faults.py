"""Strangers' ZIP archives: how one is opened, and everything `zipfile` raises for one it cannot read. Pure.

`zipfile` says of a broken archive whatever the layer at fault says: a directory may name places that no file has, a
part may name a version, a coding or a password. Who catches `BadZipFile` alone lets a stranger's octets end the task
that reads them. So all three readers of archives (Office documents, Word templates, mail templates) catch
`ZIP_FAULTS`, and open archives here.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Final

ZIP_FAULTS: Final = (
    zipfile.BadZipFile,  # no archive, a directory or part that contradicts itself, a wrong checksum
    NotImplementedError,  # a version, a coding, patched data or strong encryption that zipfile does not know
    RuntimeError,  # a part with a password
    zlib.error,  # deflated octets that are none
    EOFError,  # a part that ends early
    OSError,  # a place before the start of the file
    ValueError,  # the same in other layers; a name in UTF-8 that is none (UnicodeDecodeError)
    OverflowError,  # a 64-bit place (APPNOTE section 4.5.3) beyond what a file can have
)
"""What reading an archive raises when the archive is damaged or of a kind that is not supported.

NotImplementedError and RuntimeError are no faults of ours here: they are how `zipfile` tells that the archive asks for
what it does not do. LZMAError and the MemoryError of a 4 GB dictionary are not among them: `archive_of` lets no part
come to that.
"""
_CODINGS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What ISO/IEC 29500-2 annex B and OpenDocument part 3 section 2 allow. BZIP2 and LZMA would bring bombs of their own
and an uncommon set of faults."""
_ENCRYPTED: Final = 1
"""APPNOTE section 4.4.4, bit 0 of the general purpose flags."""


def archive_of(octets: bytes) -> zipfile.ZipFile:
    """Open an archive whose parts are stored or deflated; the caller closes it.

    Raises:
        ZIP_FAULTS: If it is no archive, or has parts in another coding.
    """
    archive = zipfile.ZipFile(io.BytesIO(octets))
    if any(part.compress_type not in _CODINGS for part in archive.infolist()):
        archive.close()
        raise zipfile.BadZipFile("a part is neither stored nor deflated")
    return archive


def is_encrypted(part: zipfile.ZipInfo) -> bool:
    """Whether a part needs a password."""
    return bool(part.flag_bits & _ENCRYPTED)
