"""Recordings of calls: one compressed file each in a folder of their own, few, small and not for long.

They are no promise to anybody: nothing is synced, no row names them, a backup leaves them out, and when there is no
room they are not kept. The name is the call's id: `recordings/att_….faxrec`, deflated (RFC 1950).
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from pathlib import Path
from typing import Final

from faxgw.store.errors import ObjectDamaged, ObjectMissing

FOLDER: Final = "recordings"
"""Name of the folder in the data folder."""
SUFFIX: Final = ".faxrec"
MAX_KEPT: Final = 500
"""Recordings kept; the oldest go first."""
MAX_OCTETS: Final = 2 * 1024**3
"""Octets of all recordings together."""
MAX_RECORDING: Final = 24 * 1024 * 1024
"""Octets of one recording, unpacked."""
_CALL: Final = re.compile(r"[a-z]{2,8}_[a-z0-9]{1,64}")
_LEVEL: Final = 6


class RecordingFolder:
    """The recordings of one node; every method blocks.

    Args:
        data: The data folder.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def keep(self, call: str, octets: bytes) -> int:
        """Write a recording, whole or not at all; returns its octets on disk.

        Raises:
            OSError: If it cannot be written.
        """
        packed = zlib.compress(octets, _LEVEL)
        final = self._path(call)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        temporary = final.with_suffix(".tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(packed)
            temporary.rename(final)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        return len(packed)

    def read(self, call: str) -> bytes:
        """A recording, unpacked.

        Raises:
            ObjectMissing: If there is none of that call.
            ObjectDamaged: If it cannot be read.
        """
        try:
            packed = self._path(call).read_bytes()
            unpacking = zlib.decompressobj()
            octets = unpacking.decompress(packed, MAX_RECORDING)
        except FileNotFoundError as exc:
            raise ObjectMissing(call, public="There is no recording of this call.") from exc
        except (OSError, zlib.error) as exc:
            raise ObjectDamaged(f"{call}: {exc}") from exc
        if not unpacking.eof:
            raise ObjectDamaged(f"{call}: longer than it may be, or cut off")
        return octets

    def prune(self, older_than: float) -> int:
        """Remove what is older than that (Unix seconds), and the oldest of too many; returns how many went."""
        found = []
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    facts = path.stat()
                    found.append((facts.st_mtime, facts.st_size, path))
        found.sort(reverse=True)
        total, kept, removed = 0, 0, 0
        for at, size, path in found:
            total += size
            kept += 1
            if path.suffix == SUFFIX and at >= older_than and kept <= MAX_KEPT and total <= MAX_OCTETS:
                continue
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
        return removed

    def _path(self, call: str) -> Path:
        if _CALL.fullmatch(call) is None:
            raise ObjectMissing(f"no id of a call: {call!r}", public="There is no recording of this call.")
        return self._folder / f"{call}{SUFFIX}"
