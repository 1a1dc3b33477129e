"""`[[folder]]`: a folder of this machine that is watched."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from faxgw.settings import Duration, Section


class Layout(enum.StrEnum):
    """What lies in a watched folder."""

    PLAIN = "plain"
    """Documents named by their number, or with a sidecar; results beside them."""
    JOBS = "jobs"
    """Job files as over SFTP: in `in`, with their results in `out`."""


class FolderSettings(Section):
    """`[[folder]]`: a folder of this machine in which documents or job files are laid down to be faxed."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
    """Short name, unique; the owner of its jobs."""
    path: Path = Field(examples=["/srv/fax/drop"])
    """The folder; the gateway must be able to write in it."""
    customer: Annotated[str, Field(min_length=1, max_length=64)]
    """For whom the faxes are sent."""
    user: Annotated[str, Field(max_length=64)] = ""
    """The user of the customer who sends them; empty: the customer as a whole."""
    layout: Layout = Layout.PLAIN
    """`plain`: documents by their name or a sidecar; `jobs`: job files in `in`, results in `out`."""
    settle: Annotated[Duration, Field(ge=0.5, le=3_600)] = Duration(3)
    """A file must not have changed for so long, and nobody may have it open to write, before it is taken."""
    names_days: Annotated[int, Field(ge=1, le=3_650)] = 400
    """Days for which the name of a job file cannot be used again, and the same document is a duplicate."""


def faults(folders: tuple[FolderSettings, ...]) -> list[str]:
    """What is wrong between the tables."""
    found, names = [], set()
    for folder in folders:
        if folder.name in names:
            found.append(f"folder {folder.name} stands twice")
        names.add(folder.name)
        for other in folders:
            if other is not folder and (other.path == folder.path or other.path in folder.path.parents):
                found.append(f"folder {folder.name} is, or lies in, folder {other.name}")
        if not folder.path.is_absolute():
            found.append(f"folder {folder.name}: path must be absolute")
    return found
