"""Messages: what a 250 promised (docs/spine.md section 5), until it is walked into a job or refused to its owner."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from faxgw.fax.job import FaxState, MessageState
from faxgw.fax.ports import MailRecipient, MailSubmission, StoredFile
from faxgw.store import outbox
from faxgw.store import schema as t
from faxgw.store.journal import Received, note, note_received
from faxgw.store.node import voided
from faxgw.store.unit import notify

TOPIC = "messages"
"""Noted when a message waits to be walked."""
DUPLICATE_WINDOW = 86400.0
"""Seconds in which the same mail to the same recipient is one fax."""
MAX_TRIES = 3
"""Walks of one message before it is refused as our fault."""
LEASE = 360.0
"""Seconds one walk may last."""
PAUSE = 30.0
"""Seconds before a walk that failed by our fault is tried again."""


_PEOPLE = t.message_recipients.c
_EXISTING = select(t.messages.c.id).where(t.messages.c.id.in_(bindparam("wanted", expanding=True)))
_INSERT = insert(t.messages)
_INSERT_RECIPIENTS = insert(t.message_recipients)
_DELETE_KEYS = delete(t.dedupe).where(t.dedupe.c.key.in_(bindparam("wanted", expanding=True)))
_INSERT_KEYS = insert(t.dedupe)
_FIRSTS = (
    select(t.dedupe.c.key, t.dedupe.c.message, t.messages.c.state, _PEOPLE.fax, t.faxes.c.state.label("fax_state"))
    .join(t.messages, t.messages.c.id == t.dedupe.c.message)
    .join(t.message_recipients, (_PEOPLE.message == t.dedupe.c.message) & (_PEOPLE.position == t.dedupe.c.position))
    .outerjoin(t.faxes, t.faxes.c.id == _PEOPLE.fax)
    .where(t.dedupe.c.key.in_(bindparam("wanted", expanding=True)), t.dedupe.c.created_at >= bindparam("since"))
)


def recipient_key(customer: str, owner: str, sender: str, message_id: str, sha256: str, recipient: str) -> str:
    """The idempotency key of one recipient of one mail."""
    parts = "\x00".join((customer, owner, sender.lower(), message_id, sha256, recipient))
    return hashlib.sha256(parts.encode()).hexdigest()


def owner_of(mail: MailSubmission) -> str:
    """The AUTH login, else the authorised envelope sender (spine section 1); else how it came: the operator."""
    return mail.principal.login or mail.sender or mail.principal.how


def accept(conn: Connection, mail: MailSubmission) -> str:
    """Commit a mail: message, recipients, keys, event. Returns the id of the first message when all is known already.

    A recipient known in the last 24 h is linked, not sent again, unless the first failed, expired, was cancelled
    or refused; a recipient that stands twice in one mail is linked to itself. Run again after an uncertain commit, it
    finds its own id and is done.
    """
    return accept_all(conn, [mail])[0]


def accept_all(conn: Connection, mails: Sequence[MailSubmission]) -> Sequence[str]:
    """Commit mails, each as `accept` does, in the order given; one that cannot be committed takes all with it."""
    answers = [""] * len(mails)
    there = set(conn.execute(_EXISTING, {"wanted": [mail.message for mail in mails]}).scalars())
    todo = [_Arriving(place, mail) for place, mail in enumerate(mails) if mail.message not in there]
    while todo:
        round_, todo = _without_twins(todo)
        firsts = _still_good(conn, [key for one in round_ for key in one.keys], round_[0].mail.received_at)
        new = []
        for one in round_:
            one.link(firsts)
            if one.known and all(one.known):
                answers[one.place] = one.known[0]
                data = {"size": one.mail.file.size}
                note(conn, one.known[0], "message.duplicate", now=one.mail.received_at, who=one.owner, data=data)
            else:
                new.append(one)
        _write(conn, new)
    return answers


class _Arriving:
    """A mail on its way into the tables."""

    def __init__(self, place: int, mail: MailSubmission) -> None:
        self.place = place
        self.mail = mail
        self.owner = owner_of(mail)
        self.keys = [_key_of(mail, self.owner, r) for r in mail.recipients]
        self.known: Sequence[str] = ()
        """For each recipient the message that he is linked to, or empty."""

    def link(self, firsts: Mapping[str, str]) -> None:
        """Link the recipients that are known."""
        keys, own = self.keys, self.mail.message
        self.known = [firsts.get(key) or (own if key in keys[:place] else "") for place, key in enumerate(keys)]


def _without_twins(mails: Sequence[_Arriving]) -> tuple[list[_Arriving], list[_Arriving]]:
    """Mails of which no two share a recipient's key, and those that come after them, for they may be the same again."""
    seen: set[str] = set()
    now: list[_Arriving] = []
    later: list[_Arriving] = []
    for one in mails:
        (later if seen.intersection(one.keys) else now).append(one)
        seen.update(one.keys)
    return now, later


def _write(conn: Connection, mails: Sequence[_Arriving]) -> None:
    if not mails:
        return
    conn.execute(_INSERT, [_message_row(one.mail) for one in mails])
    people = [row for one in mails for row in _people_rows(one)]
    keys = [row for one in mails for row in _key_rows(one)]
    if people:
        conn.execute(_INSERT_RECIPIENTS, people)
        conn.execute(_DELETE_KEYS, {"wanted": [row["key"] for row in keys]})
        conn.execute(_INSERT_KEYS, keys)
    note_received(
        conn,
        [
            Received(
                one.mail.message,
                one.mail.received_at,
                one.owner,
                {"size": one.mail.file.size, "recipients": len(one.keys), "linked": sum(map(bool, one.known))},
            )
            for one in mails
        ],
    )
    notify(conn, TOPIC)


def _message_row(mail: MailSubmission) -> dict[str, object]:
    return {
        "id": mail.message,
        "state": MessageState.RECEIVED.value,
        "received_at": mail.received_at,
        "customer": mail.principal.customer,
        "user": mail.principal.user,
        "how": mail.principal.how,
        "login": mail.principal.login,
        "sender": mail.sender,
        "message_id": mail.message_id[:998],
        "subject": mail.subject[:998],
        "envid": mail.envid,
        "ret": mail.ret,
        "file_key": mail.file.key,
        "file_sha256": mail.file.sha256,
        "file_size": mail.file.size,
    }


def _people_rows(one: _Arriving) -> Iterator[dict[str, object]]:
    for position, (r, first) in enumerate(zip(one.mail.recipients, one.known, strict=True), 1):
        yield {
            "message": one.mail.message,
            "position": position,
            "address": r.address,
            "number_typed": r.number_typed,
            "number_e164": r.number_e164,
            "sub_address": r.sub_address,
            "notify": r.notify,
            "orcpt": r.orcpt,
            "duplicate_of": first or None,
        }


def _key_rows(one: _Arriving) -> Iterator[dict[str, object]]:
    """Keys of the recipients that are new."""
    at = one.mail.received_at
    for position, (key, first) in enumerate(zip(one.keys, one.known, strict=True), 1):
        if not first:
            yield {"key": key, "message": one.mail.message, "position": position, "created_at": at}


def _key_of(mail: MailSubmission, owner: str, recipient: MailRecipient) -> str:
    number = f"{recipient.number_e164 or recipient.number_typed}/{recipient.sub_address}"
    return recipient_key(mail.principal.customer, owner, mail.sender, mail.message_id, mail.file.sha256, number)


def _still_good(conn: Connection, keys: Sequence[str], now: float) -> Mapping[str, str]:
    """Key → the message under which this recipient was accepted, where that fax is alive or sent."""
    rows = conn.execute(_FIRSTS, {"wanted": list(keys), "since": now - DUPLICATE_WINDOW})
    bad = (FaxState.FAILED, FaxState.EXPIRED, FaxState.CANCELLED)
    return {
        row.key: row.message
        for row in rows
        if (row.fax_state not in bad if row.fax is not None else row.state != MessageState.REFUSED)
    }


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of a leased message."""

    position: int
    typed: str
    e164: str
    sub_address: str
    linked: bool
    """True when it is a duplicate and gets no fax."""


@dataclass(frozen=True, slots=True)
class LeasedMessage:
    """A message to be walked."""

    id: str
    tries: int
    received_at: float
    customer: str
    user: str
    owner: str
    sender: str
    message_id: str
    subject: str
    file: StoredFile
    recipients: tuple[Recipient, ...]


def lease(conn: Connection, *, fence: int, now: float, limit: int) -> Sequence[LeasedMessage]:
    """Lease messages to walk, oldest first; those of void fences and expired leases come back."""
    free = or_(voided(t.messages.c.lease_fence), t.messages.c.lease_until < now)
    rows = conn.execute(
        select(t.messages)
        .where(t.messages.c.state == MessageState.RECEIVED, t.messages.c.not_before <= now, free)
        .order_by(t.messages.c.received_at)
        .limit(limit)
    ).all()
    found = []
    for row in rows:
        conn.execute(
            update(t.messages)
            .where(t.messages.c.id == row.id)
            .values(lease_fence=fence, lease_until=now + LEASE, tries=row.tries + 1)
        )
        people = conn.execute(
            select(t.message_recipients)
            .where(t.message_recipients.c.message == row.id)
            .order_by(t.message_recipients.c.position)
        ).all()
        found.append(
            LeasedMessage(
                row.id,
                row.tries + 1,
                row.received_at,
                row.customer,
                row.user,
                row.login or row.sender or row.how,
                row.sender,
                row.message_id,
                row.subject,
                StoredFile(row.file_key, row.file_sha256, row.file_size),
                tuple(
                    Recipient(p.position, p.number_typed, p.number_e164, p.sub_address, p.duplicate_of is not None)
                    for p in people
                ),
            )
        )
    return found


def held_by(conn: Connection, message: str, fence: int) -> bool:
    """True while the message waits to be walked under this fence's lease."""
    return (
        conn.execute(
            select(t.messages.c.id).where(
                t.messages.c.id == message,
                t.messages.c.state == MessageState.RECEIVED,
                t.messages.c.lease_fence == fence,
            )
        ).first()
        is not None
    )


def put_back(conn: Connection, message: str, *, fence: int, now: float, why: str, uncounted: int = 0) -> None:
    """A walk failed by our fault: try again later.

    Args:
        conn: The unit's connection.
        message: The message.
        fence: Whose lease it must be under.
        now: Unix seconds.
        why: For the journal.
        uncounted: Tries given back: 1 where store or disk could not take part, and the mail was not looked at.
    """
    if held_by(conn, message, fence):
        tries = t.messages.c.tries - uncounted
        conn.execute(
            update(t.messages)
            .where(t.messages.c.id == message)
            .values(lease_fence=None, lease_until=None, not_before=now + PAUSE, tries=tries)
        )
        note(conn, message, "message.put_back", now=now, data={"why": why[:400]})


def refuse(
    conn: Connection,
    message: str,
    *,
    fence: int,
    now: float,
    reason: str,
    our_fault: bool,
    targets: Mapping[str, str],
    payload: Mapping[str, object],
    dsn: outbox.Draft | None = None,
) -> None:
    """The message cannot be faxed: its owner is told, its keys are free again.

    Args:
        conn: The unit's connection.
        message: The message.
        fence: Whose lease it must be under.
        now: Unix seconds.
        reason: Public text.
        our_fault: True when the gateway failed, not the mail.
        targets: Outbox id → mail address.
        payload: What the mails say.
        dsn: The DSN that its client asked for.
    """
    if not held_by(conn, message, fence):
        return
    row = conn.execute(select(t.messages).where(t.messages.c.id == message)).one()
    conn.execute(
        update(t.messages)
        .where(t.messages.c.id == message)
        .values(state=MessageState.REFUSED.value, reason=reason, lease_fence=None, lease_until=None)
    )
    conn.execute(delete(t.dedupe).where(t.dedupe.c.message == message))
    note(conn, message, "message.refused", now=now, data={"reason": reason[:400], "our_fault": our_fault})
    for item, target in targets.items():
        outbox.put(conn, item, "refused_mail", target, customer=row.customer, payload=payload, now=now, message=message)
    if dsn is not None:
        outbox.put(
            conn, dsn.id, dsn.kind, dsn.target, customer=row.customer, payload=dsn.payload, now=now, message=message
        )


def release_all(conn: Connection, *, fence: int) -> None:
    """Give back what this fence holds (orderly stop): the tries are not counted."""
    conn.execute(
        update(t.messages)
        .where(t.messages.c.state == MessageState.RECEIVED, t.messages.c.lease_fence == fence)
        .values(lease_fence=None, lease_until=None, tries=t.messages.c.tries - 1)
    )


def forget_old_keys(conn: Connection, *, now: float) -> int:
    """Remove keys older than the window; returns how many."""
    return conn.execute(delete(t.dedupe).where(t.dedupe.c.created_at < now - DUPLICATE_WINDOW)).rowcount


def next_walk(conn: Connection) -> float | None:
    """Unix seconds from which the next message may be walked."""
    return conn.execute(
        select(func.min(t.messages.c.not_before)).where(
            t.messages.c.state == MessageState.RECEIVED, t.messages.c.lease_fence.is_(None)
        )
    ).scalar()
