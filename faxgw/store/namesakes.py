"""Names that differ only in case: two of them would be mistaken for one another, so a second one is not made.

People read `ACME` and `acme` as one name, and so do mail systems, file systems of other machines and the REST paths of
the vendor. What was made before this rule stays as it is: names are looked up exactly, only making is refused.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select


def namesake(
    conn: Connection, column: ColumnElement[str], name: str, within: ColumnElement[bool] | None = None
) -> str | None:
    """Another name of a column that differs from one only in case; None: there is none.

    Args:
        conn: The unit's connection.
        column: Where the names stand.
        name: One that is to be made.
        within: Which rows count, such as those of a customer; None: all.
    """
    query = select(column).where(column != name)
    if within is not None:
        query = query.where(within)
    if name.isascii():
        return conn.execute(query.where(func.lower(column) == name.lower()).limit(1)).scalar()
    rows = conn.execute(query.where(func.length(column) == len(name))).scalars()  # SQLite folds ASCII alone
    return next((one for one in rows if one.casefold() == name.casefold()), None)
