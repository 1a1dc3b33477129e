"""Taking files out of a folder that others write to, so that no crash loses them or takes them twice.

    <id>.new/    being moved in; put back at the next start, where nothing of the same names was laid down since
    <id>/        taken: `0.<name>` is the file that caused it, `1.<name>` are its documents

A job's id follows from the id of its folder, which is durable before the job is committed (docs/spine.md section 5):
done again after a crash, it is the same job, and the store knows it. All of this blocks.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import itertools
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faxgw.fax import ids
from faxgw.intake.shelf import Shelf

_ID = re.compile(r"[a-z][0-9a-f]{32}")
_MOVING = ".new"
MAX_TWINS = 1_000
"""Files of one name that are kept beside each other."""


class Take(enum.Enum):
    """What was taken; the value begins its id."""

    JOB = "j"
    """A job file with its documents."""
    PLAIN = "p"
    """A document whose name says its recipient."""
    DIRECTORY = "d"
    """A directory's CSV."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One folder of files that were taken."""

    id: str
    folder: Path
    cause: str
    """Name of the file that caused it."""
    parts: tuple[str, ...]
    """Names of the others."""

    @property
    def kind(self) -> Take:
        """What it is."""
        return Take(self.id[0])

    def job(self, index: int) -> str:
        """Id of one of its jobs, counted from 0."""
        return job_of(self.id, index)

    def open(self, name: str) -> int:
        """A descriptor of a file; the caller closes it. Raises FileNotFoundError."""
        with Shelf(self.folder) as shelf:
            return shelf.open_read(f"1.{name}" if name in self.parts else f"0.{name}")

    def read_cause(self, limit: int) -> bytes:
        """The octets of the file that caused it, at most `limit`."""
        with Shelf(self.folder) as shelf:
            return shelf.read(f"0.{self.cause}", limit)

    def move(self, target: Shelf) -> None:
        """Move the files, under their names, to a shelf of the same file system.

        Where others have these names, a number goes before them, up to MAX_TWINS; the last one is replaced.
        """
        with Shelf(self.folder) as shelf:
            for name in self.parts:
                shelf.move(f"1.{name}", target, _free(target, name))
            shelf.move(f"0.{self.cause}", target, _free(target, self.cause))

    def forget(self) -> None:
        """Remove it: what came of it is committed. A power cut may bring it back, which is then found to be done."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / f"0.{self.cause}").unlink(missing_ok=True)  # first: without it, the rest is known to be done
            _remove_rest(self.folder)


def _free(target: Shelf, name: str) -> str:
    names = itertools.chain([name], (f"{number} {name}" for number in range(2, MAX_TWINS)))
    return next((each for each in names if target.entry(each) is None), f"{MAX_TWINS} {name}")


def job_of(taken: str, index: int) -> str:
    """Id of a job of what was taken: it follows from the id of the folder."""
    return ids.job_id(hashlib.sha256(f"{taken}/{index}".encode()).digest()[: ids.RANDOM_OCTETS])


def take(kind: Take, inbox: Shelf, work: Path, cause: str, parts: Sequence[str]) -> Taken:
    """Take files, durably.

    Args:
        kind: What they are.
        inbox: Where they lie.
        work: Where taken files lie, on the same file system.
        cause: The file that causes it.
        parts: The others, each once.

    Raises:
        FileNotFoundError: If one of them is gone meanwhile; what was moved is put back.
    """
    ident = kind.value + secrets.token_hex(16)
    moving, folder = work / f"{ident}{_MOVING}", work / ident
    try:
        with Shelf(moving) as shelf:
            for name in parts:
                inbox.move(name, shelf, f"1.{name}")
            inbox.move(cause, shelf, f"0.{cause}")
            shelf.sync()
    except FileNotFoundError:
        _put_back(moving, inbox)
        raise
    moving.rename(folder)
    _sync(work)
    inbox.sync()
    return Taken(ident, folder, cause, tuple(parts))


def found(work: Path, inbox: Shelf) -> Sequence[Taken]:
    """What was taken and is not done, oldest first; what was being taken when an earlier life ended is put back."""
    taken: list[tuple[float, Taken]] = []
    for folder in sorted(work.iterdir()):
        if folder.name.endswith(_MOVING):
            if _is_replaced(folder, inbox):
                folder.rename(work / folder.name.removesuffix(_MOVING))
                _sync(work)
            else:
                _put_back(folder, inbox)
    for folder in sorted(work.iterdir()):
        if _ID.fullmatch(folder.name):
            names = sorted(path.name for path in folder.iterdir())
            causes = [name[2:] for name in names if name.startswith("0.")]
            if len(causes) == 1:
                parts = tuple(name[2:] for name in names if name.startswith("1."))
                taken.append((folder.stat().st_mtime, Taken(folder.name, folder, causes[0], parts)))
            else:
                _remove_rest(folder)
    return [each for _at, each in sorted(taken, key=lambda pair: pair[0])]


def _is_replaced(folder: Path, inbox: Shelf) -> bool:
    """Whether all was moved in, and something else has one of the names by now: put back, it would be mixed up."""
    with Shelf(folder) as shelf:
        names = [entry.name for entry in shelf.entries()]
    return any(name.startswith("0.") for name in names) and any(inbox.entry(name[2:]) is not None for name in names)


def _put_back(folder: Path, inbox: Shelf) -> None:
    with contextlib.suppress(FileNotFoundError):
        with Shelf(folder) as shelf:
            for entry in shelf.entries():
                name = entry.name[2:]
                if inbox.entry(name) is None:
                    shelf.move(entry.name, inbox, name)
                else:
                    shelf.remove(entry.name)  # its sender has sent it again since
            inbox.sync()
        folder.rmdir()


def _remove_rest(folder: Path) -> None:
    """What a removal left that was interrupted after the cause was gone."""
    for path in list(folder.iterdir()):
        path.unlink()
    folder.rmdir()


def _sync(folder: Path) -> None:
    with Shelf(folder) as shelf:
        shelf.sync()
