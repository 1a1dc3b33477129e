"""Letterheads that were rendered: once for each content, paper and resolution, whoever uses it.

The key is the SHA-256 of the template's content, so a template that is replaced is rendered anew, and two customers
with the same one share it. A job that uses one names the same object in its renditions: it keeps the letterhead that
it was made ready with, whatever happens to the template afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select

from faxgw.fax.ports import StoredFile
from faxgw.store import schema as t
from faxgw.store.templates import Kind


def find(conn: Connection, template: str, paper: str) -> Mapping[str, StoredFile]:
    """What there is of a letterhead on a paper, by resolution.

    Args:
        conn: The unit's connection.
        template: SHA-256 of the template's content.
        paper: As in the settings.
    """
    query = select(t.letterheads).where(t.letterheads.c.template == template, t.letterheads.c.paper == paper)
    return {row.resolution: StoredFile(row.key, row.sha256, row.size) for row in conn.execute(query)}


def keep(conn: Connection, template: str, paper: str, made: Mapping[str, StoredFile]) -> Mapping[str, StoredFile]:
    """Write down what was rendered; what is there already stays.

    Returns:
        What there is now; an object of `made` that is not in it has no row.
    """
    have = find(conn, template, paper)
    new = {resolution: file for resolution, file in made.items() if resolution not in have}
    if new:
        conn.execute(
            insert(t.letterheads),
            [
                {
                    "template": template,
                    "paper": paper,
                    "resolution": resolution,
                    "key": file.key,
                    "sha256": file.sha256,
                    "size": file.size,
                }
                for resolution, file in new.items()
            ],
        )
    return {**new, **have}


def forget_unused(conn: Connection) -> int:
    """Forget letterheads whose template is there no more; how many. Objects that no job names fall to the sweep."""
    used = select(t.templates.c.sha256).where(t.templates.c.kind == Kind.OVERLAY.value)
    return conn.execute(delete(t.letterheads).where(t.letterheads.c.template.not_in(used))).rowcount


def forget(conn: Connection, template: str, paper: str) -> None:
    """Its objects are damaged: it is to be rendered anew. Jobs that name them keep their rows."""
    conn.execute(delete(t.letterheads).where(t.letterheads.c.template == template, t.letterheads.c.paper == paper))
