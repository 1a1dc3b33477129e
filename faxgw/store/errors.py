"""What the store can fail with: each error says whether trying again may help, and what a stranger may be told.

Spine sections 5 (250) and 7. `public` never names a path, a host or a table.
"""

from __future__ import annotations

from faxgw.fax.errors import FaxError, Stale


class StoreError(FaxError):
    """The store did not do what it was asked."""

    default_public = "The gateway cannot store this at present."


class StoreDown(StoreError):
    """The database is gone, closing, or poisoned by an I/O error; nothing of this unit is committed."""


class CommitUncertain(StoreDown):
    """COMMIT was sent and its result is not known: the unit may be durable or not.

    The file it names stays: the next start finds the row or sweeps the file (spine section 5, 250, step 4).
    """


class StoreBusy(StoreError):
    """Another process held the write lock too long, or too many units wait; nothing of this unit is committed."""

    default_public = "The gateway is busy at present."


class OutOfSpace(StoreError):
    """No room left for database or file; nothing of this unit is kept (RFC 5321: 452; HTTP: 507)."""

    default_public = "The gateway has no storage space at present."


class FileFailed(StoreError):
    """A spool object could not be written durably and was dropped; a failed fsync is never repeated."""


class ObjectTooLarge(StoreError):
    """More octets came than the caller allowed."""

    default_temporary = False
    default_public = "This is larger than the gateway accepts."


class ObjectDamaged(StoreError):
    """A spool object is not what was written: never a call with it (alarm, failed with TIFF_PAGE_ERR)."""

    default_temporary = False
    default_public = "The stored document is damaged."


class ObjectMissing(ObjectDamaged):
    """A spool object that a row names does not exist."""


class FolderLocked(StoreError):
    """Another daemon uses this data folder."""

    default_temporary = False
    default_public = "The gateway is already running on this data folder."

    def __init__(self, detail: str, pid: int | None) -> None:
        super().__init__(detail)
        self.pid = pid
        """Process id of the owner, if it wrote one."""


class FenceLost(StoreError, Stale):
    """This node's lease is over or another incarnation took its place: it may change nothing more."""


class SchemaMismatch(StoreError):
    """The database was written by another release, or is not set up as it must be."""

    default_temporary = False
    default_public = "The gateway's database does not fit this release."


def fresh(error: Exception) -> Exception:
    """Return a copy for one more caller: an exception raised twice collects both tracebacks."""
    if not isinstance(error, StoreError):
        return error
    copy = type(error)(str(error))
    copy.__cause__ = error
    return copy
