"""The envelope of a mail as it was accepted, for the reports that speak of it (docs/dsn.md)."""

from __future__ import annotations

from sqlalchemy import Connection, select

from faxgw.fax.dsn import Envelope, EnvelopeRecipient, read_notify
from faxgw.fax.ports import StoredFile
from faxgw.store import schema as t


def envelope_of(conn: Connection, message: str | None) -> Envelope | None:
    """The envelope of a message; None for a job that came by no mail.

    Linked recipients are left out: the DSN about their fax goes out for the mail that made it.
    """
    row = conn.execute(select(t.messages).where(t.messages.c.id == message)).first() if message else None
    if row is None:
        return None
    people = conn.execute(
        select(t.message_recipients, t.faxes.c.latest)
        .outerjoin(t.faxes, t.faxes.c.id == t.message_recipients.c.fax)
        .where(t.message_recipients.c.message == message, t.message_recipients.c.duplicate_of.is_(None))
        .order_by(t.message_recipients.c.position)
    ).all()
    return Envelope(
        message=row.id,
        sender=row.sender,
        received_at=row.received_at,
        envid=row.envid,
        ret=row.ret,
        recipients=tuple(
            EnvelopeRecipient(p.fax or "", p.number_typed, p.address, read_notify(p.notify), p.orcpt, p.latest)
            for p in people
        ),
    )


def original_of(conn: Connection, message: str) -> StoredFile | None:
    """The spool file of a message."""
    row = conn.execute(select(t.messages).where(t.messages.c.id == message)).first()
    return None if row is None else StoredFile(row.file_key, row.file_sha256, row.file_size)
