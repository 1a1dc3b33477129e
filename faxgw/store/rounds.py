"""Small files made durable together, each or not: all written, all synced, their folder synced.

In C (`_rounds.c`) where it could be built (`python -m faxgw.store.build`), else in Python; both take the same steps.
The C side gives the interpreter's lock up once a round instead of six times a file: beside a busy event loop the steps
of five files wait some 12 ms for it.

A file lies under its final name from the beginning: nobody reads it before a row names it, and no row does before it
is durable. The journal of the file system commits a new name with the content; a rename would take another commit.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from faxgw.compiled import version_of
from faxgw.store.durable import sync_folder

SOURCE: Final = Path(__file__).with_name("_rounds.c")
LIBRARY: Final = Path(__file__).with_name("libfaxgwrounds.so")

log = logging.getLogger(__name__)


class _File(ctypes.Structure):
    _fields_ = (
        ("path", ctypes.c_char_p),
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_int64),
        ("fault", ctypes.c_int32),
        ("descriptor", ctypes.c_int32),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library; None where it was not built, or from another source."""
    try:
        wanted = version_of(SOURCE.read_bytes())
        loaded = ctypes.CDLL(str(LIBRARY))
        loaded.rounds_version.restype = ctypes.c_char_p
        found = loaded.rounds_version()
        loaded.rounds_write.argtypes = (ctypes.POINTER(_File), ctypes.c_int, ctypes.c_char_p)
        loaded.rounds_write.restype = None
    except (OSError, AttributeError):
        return None
    if found != wanted.encode():
        log.warning("library of another source not used", extra={"event": "rounds.stale", "library": LIBRARY.name})
        return None
    return loaded


def write(folder: str, files: Sequence[tuple[str, bytes]]) -> list[OSError | None]:
    """Make files durable; blocking.

    Args:
        folder: Where all of them are.
        files: Path, and content; no such file is there yet.

    Returns:
        For each why it is not there, or None: it is durable.
    """
    return write_python(folder, files) if library() is None else write_native(folder, files)


def write_native(folder: str, files: Sequence[tuple[str, bytes]]) -> list[OSError | None]:
    """As `write`, in C; only where there is a `library`."""
    loaded = library()
    assert loaded is not None
    rows = (_File * len(files))(*(_File(os.fsencode(path), data, len(data), 0, -1) for path, data in files))
    loaded.rounds_write(rows, len(files), os.fsencode(folder))
    return [
        OSError(row.fault, os.strerror(row.fault), path) if row.fault else None
        for row, (path, _data) in zip(rows, files, strict=True)
    ]


def write_python(folder: str, files: Sequence[tuple[str, bytes]]) -> list[OSError | None]:
    """As `write`, in Python."""
    faults: list[OSError | None] = [None] * len(files)
    descriptors: dict[int, int] = {}
    for index, (path, data) in enumerate(files):
        try:
            descriptors[index] = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            faults[index] = error
            continue
        try:
            _write_all(descriptors[index], data)
        except OSError as error:
            faults[index] = error
            os.close(descriptors.pop(index))
            _unlink(path)
    whole: list[int] = []
    for index, descriptor in descriptors.items():
        try:
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            faults[index] = error
            _unlink(files[index][0])
        else:
            whole.append(index)
    try:
        if whole:
            sync_folder(folder)
    except OSError as error:
        for index in whole:
            faults[index] = OSError(error.errno, error.strerror, files[index][0])  # each caller's own
            _unlink(files[index][0])
    return faults


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    with contextlib.suppress(OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # Linux begins to write


def _unlink(path: str) -> None:
    try:
        Path(path).unlink(missing_ok=True)
    except OSError:
        log.warning("file left to the sweep", extra={"event": "rounds.left"}, exc_info=True)
