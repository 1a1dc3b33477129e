"""Compound files ([MS-CFB]): which streams one holds, and whether it is whole. The container of the old Office formats.

Only the sector chains and the directory are read, each octet at most once; nothing of what the streams hold but the
few octets that say whether they are encrypted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""[MS-CFB] section 2.2."""
MAX_ENTRIES = 10_000
"""Directory entries that are read; a document with pictures and objects has some hundreds."""
MINI = 64
"""Octets of a mini sector ([MS-CFB] section 2.2, Mini Sector Shift)."""

_HEADER = struct.Struct("<8s16xHHHHH6xIIIIIIIII")
_HEADER_SIZE = 512
_ENTRY = struct.Struct("<64sHBBIII16xI8x8xIQ")
_END, _FREE, _LAST = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFA
_STREAM, _ROOT = 2, 5


class BadOle(Exception):
    """It is no compound file, or a part of it is missing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream."""

    name: str
    start: int
    """Its first sector, or mini sector."""
    size: int
    """Octets."""
    has_sectors: bool
    """False when it lies in the root's stream, among the mini streams."""
    is_root: bool = False
    """Its stream holds the mini streams."""


class Ole:
    """A compound file that was read.

    Raises:
        BadOle: If it is none, or cut off.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER_SIZE or not data.startswith(MAGIC):
            raise BadOle("no header")
        (_m, _minor, major, _order, shift, _mini, _dirs, fats, directory, _sig, cutoff, _minifat, _n, difat, difats) = (
            _HEADER.unpack_from(data)
        )
        if (major, shift) not in ((3, 9), (4, 12)):
            raise BadOle("unknown version")
        self._data = data
        self._sector = 1 << shift
        self._cutoff = cutoff
        self._fat = self._read_fat(fats, difat, difats)
        self.entries = tuple(self._read_entries(directory))

    @property
    def names(self) -> frozenset[str]:
        """Names of all streams, wherever in the tree they lie."""
        return frozenset(entry.name for entry in self.entries)

    def start_of(self, name: str, octets: int) -> bytes:
        """The first octets of a stream; empty if there is none.

        Args:
            name: Of the stream.
            octets: At most one mini sector, MINI.
        """
        for entry in self.entries:
            if entry.name == name and entry.size:
                first = self._at(entry.start) if entry.has_sectors else self._mini(entry.start)
                return first[: min(octets, entry.size)]
        return b""

    def check(self) -> None:
        """See that every stream is there to its end.

        Raises:
            BadOle: If one is not.
        """
        seen: set[int] = set()
        for entry in self.entries:
            if not entry.has_sectors or not entry.size:
                continue
            count = 0
            for sector in self._chain(entry.start):
                if sector in seen:
                    raise BadOle("two streams share a sector")
                seen.add(sector)
                count += 1
            if count * self._sector < entry.size:
                raise BadOle(f"stream {entry.name!r} is cut off")

    def _read_fat(self, fats: int, difat: int, difats: int) -> tuple[int, ...]:
        """The table of chains ([MS-CFB] sections 2.3 and 2.5)."""
        sectors = len(self._data) // self._sector + 1
        per_sector = self._sector // 4
        if fats * per_sector > sectors + per_sector * (1 + difats) or difats > sectors:
            raise BadOle("more tables than the file could need: it is cut off")
        places = list(struct.unpack_from("<109I", self._data, 76))
        for _ in range(difats):
            numbers = struct.unpack(f"<{per_sector}I", self._whole(difat))
            places += numbers[:-1]
            difat = numbers[-1]
        fat: list[int] = []
        for place in places[:fats]:
            if place != _FREE:
                fat += struct.unpack(f"<{per_sector}I", self._whole(place))
        return tuple(fat)

    def _read_entries(self, directory: int) -> Iterator[Entry]:
        count = 0
        for sector in self._chain(directory):
            block = self._whole(sector)
            for offset in range(0, self._sector, 128):
                raw, length, kind, _color, _left, _right, _child, _bits, start, size = _ENTRY.unpack_from(block, offset)
                count += 1
                if count > MAX_ENTRIES:
                    raise BadOle("too many entries")
                if kind in (_STREAM, _ROOT):
                    name = raw[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
                    size &= 0xFFFFFFFF if self._sector == 512 else size
                    yield Entry(name, start, size, kind == _ROOT or size >= self._cutoff, kind == _ROOT)

    def _chain(self, sector: int) -> Iterator[int]:
        for _ in range(len(self._fat)):
            if sector in (_END, _FREE):
                return
            if sector >= len(self._fat):
                raise BadOle("a chain leaves the file")
            self._at(sector)
            yield sector
            sector = self._fat[sector]
        if sector != _END:
            raise BadOle("a chain has no end")

    def _mini(self, number: int) -> bytes:
        """A mini sector, which lies in the root's stream ([MS-CFB] section 2.4)."""
        place, offset = divmod(number * MINI, self._sector)
        for root in (entry for entry in self.entries if entry.is_root):
            for at, sector in enumerate(self._chain(root.start)):
                if at == place:
                    return self._at(sector)[offset : offset + MINI]
        return b""

    def _whole(self, sector: int) -> bytes:
        found = self._at(sector)
        if len(found) < self._sector:
            raise BadOle("a sector is cut off")
        return found

    def _at(self, sector: int) -> bytes:
        """A sector's octets; the file's last one may be short."""
        offset = (sector + 1) * self._sector
        if sector >= _LAST or offset >= len(self._data):
            raise BadOle("a sector is missing")
        return self._data[offset : offset + self._sector]
