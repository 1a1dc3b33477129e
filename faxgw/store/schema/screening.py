"""How received faxes look and how they were judged."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, text

from faxgw.store.schema.columns import metadata

page_prints = Table(
    "page_prints",
    metadata,
    Column("reception", ForeignKey("receptions.id"), primary_key=True),
    Column("page", Integer, primary_key=True),
    Column("number", String(20), nullable=False),
    Column("at", Float, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("ink", Float, nullable=False),
    Column("print", LargeBinary, nullable=False),
    Index(None, "number", "at"),
    Index(None, "at"),
)
"""How received pages look, for finding the same again (store/likeness.py, fax/likeness.py)."""

junk = Table(
    "junk",
    metadata,
    Column("reception", ForeignKey("receptions.id"), primary_key=True),
    Column("number", String(20), nullable=False),
    Column("state", String(12), nullable=False),
    Column("score", Integer, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("duplicate_of", String(48), nullable=False),
    Column("judged_at", Float, nullable=False),
    Column("release_at", Float),
    Column("settled_at", Float),
    Column("settled_by", String(130), nullable=False, server_default=text("''")),
    Column("told_at", Float),
    Index(None, "state", "release_at"),
    Index(None, "number", "judged_at"),
)
"""How each received fax was judged, and whether its deliveries wait (store/junk.py)."""

junk_verdicts = Table(
    "junk_verdicts",
    metadata,
    Column("number", String(20), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("value", String(160), primary_key=True),
    Column("verdict", String(8), nullable=False),
    Column("at", Float, nullable=False),
    Column("by", String(130), nullable=False),
)
"""What the owner of a number said of senders (`caller`, `ident`) and of faxes (`image`: a reception)."""

link_keys = Table(
    "link_keys",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("made_at", Float, nullable=False),
)
"""What links in mails are signed with, by their purpose (store/link_keys.py)."""
