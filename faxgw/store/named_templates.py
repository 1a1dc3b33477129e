"""Templates that settings name: a name that means nothing is refused where it is set, not where a fax needs it.

A customer's setting means its own template, else the operator's, else a shipped one; one of the system means what
everybody has. What was set before such names were looked at, or names a template that was removed since, stays as it
is: each job that needs it is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # settings

from sqlalchemy import Connection, select

from faxgw.fax import cover, overlay
from faxgw.fax.errors import Refused
from faxgw.store import schema as t

SHIPPED_MAIL = "default"
"""Name of the mails' shipped designs."""
MAX_SHOWN = 10
"""Names that are told instead of an unknown one."""
KINDS: Mapping[str, tuple[str, str]] = {
    "cover": ("cover", "cover page"),
    "fax_reply": ("cover", "cover page"),
    "overlay": ("overlay", "overlay"),
    "mail_template": ("mail", "mail template"),
}
"""Setting → kind of the template, and what people call it."""


class UnknownName(Refused):
    """A setting names a template that there is not; the text says which, and which there are."""


def faults(
    conn: Connection, customer: str, settings: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> list[str]:
    """What is wrong with the names in the settings of a level, each a sentence that begins with its key.

    Args:
        conn: A connection.
        customer: Whose level it is; empty: of the system.
        settings: Checked settings of one level, those that are set.
        before: What the level had; what is the same is not looked at.
    """
    found = []
    for key, (kind, called) in KINDS.items():
        value = settings.get(key)
        if value is None or (before is not None and before.get(key) == value):
            continue
        name = _meant(key, str(value))
        if not name or _is_shipped(kind, name):
            continue
        there = _names(conn, customer, kind)
        if name not in there:
            known = ", ".join([*there[:MAX_SHOWN], *(["…"] if len(there) > MAX_SHOWN else [])])
            ask = f"there are {known}" if there else "there is none yet: faxgw template add"
            found.append(f"{key}: there is no {called} “{name[:80]}”; {ask}")
    return found


def require(
    conn: Connection, customer: str, settings: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> None:
    """The same, raised. Raises UnknownName."""
    if told := faults(conn, customer, settings, before):
        raise UnknownName(public="; ".join(told) + ".")


def _meant(key: str, value: str) -> str:
    """The name that a value means; empty: none."""
    name = value.strip()
    return "" if name.lower() in (cover.NONE, overlay.NONE) and key != "mail_template" else name


def _is_shipped(kind: str, name: str) -> bool:
    return (kind == "cover" and bool(cover.design(name))) or (kind == "mail" and name == SHIPPED_MAIL)


def _names(conn: Connection, customer: str, kind: str) -> Sequence[str]:
    """The names that mean something to a customer, shipped ones too."""
    c = t.templates.c
    query = select(c.name).where(c.customer.in_({customer, ""}), c.kind == kind).distinct()
    shipped = {"cover": cover.SHIPPED, "mail": (SHIPPED_MAIL,)}.get(kind, ())
    return sorted({*conn.execute(query).scalars(), *shipped})
