"""A gateway's store and files on a folder of the test's own, with a clock that the test moves."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar  # Any: rows

import pytest
import pytest_asyncio
from sqlalchemy import Connection, Row, delete, select

from faxgw.dispatch.seat import Seat
from faxgw.fax import ids
from faxgw.fax.account import Level, Origin, resolve
from faxgw.fax.job import Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, MailRecipient, MailSubmission, Principal, StoredFile
from faxgw.store import directory, ledger, messages, node, planning, queue, rendering
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, UserSeed
from faxgw.store.engine import Store, open_store
from faxgw.store.errors import StoreError
from faxgw.store.files import Files, Kind
from faxgw.store.journal import ACCOUNTS_TOPIC
from faxgw.store.migrate import upgrade
from faxgw.store.unit import notify
from tests.postgres import Server

P = ParamSpec("P")
T = TypeVar("T")

NOON = 1_795_000_000.0
"""2026-11-18, 11:06 UTC: within the hours in which a person may be called."""
DOMAIN = "fax.example.org"
ALICE = "alice@example.org"
NODE = "n1"
SEED = (
    CustomerSeed(
        "acme",
        "Acme",
        domains=(DOMAIN,),
        addresses=("@example.org",),
        networks=("192.0.2.0/24",),
        users=(UserSeed("bert", login="bert", password_hash="none"),),
    ),
    CustomerSeed("beta", "Beta", domains=("fax.example.net",), addresses=("carol@example.net",)),
)


@dataclass
class Clock:
    """Unix seconds, moved by the test."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    """Store, files and who we are."""

    folder: Path
    store: Store
    files: Files
    fence: int
    clock: Clock = field(default_factory=Clock)
    serial: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def now(self) -> float:
        return self.clock.now

    def seat(self, system: Mapping[str, object] | None = None) -> Seat:
        return Seat(self.store, self.files, NODE, self.fence, self.clock, system or {})

    async def do(self, unit: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of work."""
        return await self.store.run(lambda conn: unit(conn, *args, **kwargs))

    async def ask(self, unit: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit that reads."""
        return await self.store.read(lambda conn: unit(conn, *args, **kwargs))

    async def rows(self, query: Any) -> Sequence[Row[Any]]:
        return await self.store.read(lambda conn: conn.execute(query).all())

    async def change(self, statement: Any) -> None:
        def unit(conn: Connection) -> None:
            conn.execute(statement).close()
            notify(conn, ACCOUNTS_TOPIC)  # as all do who change accounts

        await self.store.run(unit)

    async def next_life(self) -> None:
        """What a restart of the daemon means for the store: a new incarnation with a higher fence."""
        self.fence = (await self.store.run(lambda conn: node.register(conn, NODE, self.now))).fence

    # ------------------------------------------------------------------------------------------------------ intake

    async def keep(self, content: bytes, kind: Kind = Kind.OBJECT) -> StoredFile:
        async with await self.files.open_temp(kind) as file:
            await file.write(content)
            return await file.commit()

    async def mail(
        self,
        *numbers: str,
        content: bytes = b"Subject: fax\r\n\r\nHello\r\n",
        principal: Principal | None = None,
        sender: str = ALICE,
        message_id: str = "<1@example.org>",
        message: str = "",
    ) -> MailSubmission:
        """A mail at its final dot."""
        who = principal or Principal("acme", "", "", sender, "address")
        people = tuple(MailRecipient(f"{n}@{DOMAIN}", n, n, "", who.customer) for n in numbers)
        return MailSubmission(
            message=message or f"msg_{next(self.serial):032x}",
            principal=who,
            sender=sender,
            recipients=people,
            file=await self.keep(content, Kind.MAIL),
            message_id=message_id,
            subject="fax",
            auto_submitted=False,
            received_at=self.now,
        )

    # -------------------------------------------------------------------------------------------------------- jobs

    async def job(
        self,
        *numbers: str | tuple[str, ...],
        customer: str = "acme",
        user: str = "",
        pages: int = 2,
        priority: int = 0,
        latest: float | None = None,
        report_to: tuple[str, ...] = (ALICE,),
        ready: bool = True,
        zone: str = "UTC",
        **settings: object,
    ) -> tuple[str, list[str]]:
        """(job, faxes): one fax per argument; a tuple has alternative numbers. Ready, with a body on the disk."""
        faxes = [
            queue.NewFax(
                ids.fax_id(secrets.token_bytes(16)),
                position,
                tuple(
                    {"typed": n, "e164": n, "sub": "", "zone": zone}
                    for n in ((given,) if isinstance(given, str) else given)
                ),
            )
            for position, given in enumerate(numbers or ("+33199000001",), 1)
        ]
        document = await self.keep(b"%PDF document")
        job = queue.NewJob(
            id=ids.job_id(secrets.token_bytes(16)),
            message=None,
            customer=customer,
            user=user,
            owner=ALICE,
            subject="fax",
            in_reply_to="<1@example.org>",
            accepted_at=self.now,
            settings=resolve([(Origin(Level.JOB), settings)]).snapshot(),
            report_to=report_to,
            documents=(
                {
                    "name": "a.pdf",
                    "kind": "pdf",
                    "charset": None,
                    "origin": "attachment",
                    "key": document.key,
                    "sha256": document.sha256,
                    "size": document.size,
                },
            ),
            faxes=tuple(faxes),
            latest=latest,
            priority=priority,
        )
        await self.do(queue.create, job, fence=None, now=self.now)
        if ready:
            await self.render(job.id, pages)
        return job.id, [f.id for f in faxes]

    async def render(self, job: str, pages: int = 2) -> None:
        """Make the pages of a job that waits for them."""
        leased = await self.do(rendering.lease, fence=self.fence, now=self.now, limit=1000)
        assert job in [j.id for j in leased]
        body = await self.keep(b"II*\0 body")
        assert await self.do(
            rendering.rendered, job, fence=self.fence, body=body, pages=pages, facts=(), thumbnail=b"PNG", now=self.now
        )

    async def ready_fax(self, *numbers: str, pages: int = 2, **more: Any) -> str:
        """One fax, ready; further numbers are its alternatives."""
        _job, faxes = await self.job(numbers or ("+33199000001",), pages=pages, **more)
        return faxes[0]

    async def fax(self, fax: str) -> Row[Any]:
        return await self.ask(queue.fax_row, fax)

    async def state(self, fax: str) -> str:
        return str((await self.fax(fax)).state)

    # ------------------------------------------------------------------------------------------------------- calls

    async def prepared(self, fax: str) -> planning.Prepared:
        found = await self.ask(planning.prepare, fax)
        assert found is not None
        return found

    async def try_plan(
        self, fax: str, *, trunk: str = "t1", channels: int = 10, prepared: planning.Prepared | None = None
    ) -> planning.Planned | planning.NotPlanned:
        attempt = ids.prefixed("att", self.now, secrets.token_bytes(16))
        return await self.do(
            planning.plan,
            attempt=attempt,
            prepared=prepared or await self.prepared(fax),
            tiff=StoredFile("objects/00/" + "0" * 32 + ".n1.1", "0" * 64, 8),
            trunk=trunk,
            channels=channels,
            identity=CallIdentity(attempt, "tag", "z9hG4bK1", 1),
            node=NODE,
            fence=self.fence,
            now=self.now,
        )

    async def plan(self, fax: str) -> str:
        planned = await self.try_plan(fax)
        assert isinstance(planned, planning.Planned), planned
        return planned.attempt

    async def answer(self, attempt: str) -> bool:
        return await self.do(ledger.answered, attempt, dialog={"to_tag": "x"}, fence=self.fence, now=self.now)

    async def expose(self, attempt: str, fax: str, page: int = 1) -> bool:
        return await self.do(ledger.exposed, attempt, fax=fax, page=page, fence=self.fence, now=self.now)

    async def confirm(self, attempt: str, fax: str, page: int) -> bool:
        return await self.do(ledger.confirmed, attempt, fax=fax, page=page, fence=self.fence, now=self.now)

    async def done(self, attempt: str, outcome: Outcome | Cause) -> bool:
        result = outcome if isinstance(outcome, Outcome) else Outcome(outcome)
        return await self.do(ledger.done, attempt, outcome=result, fence=self.fence, now=self.now)

    async def call(self, fax: str, outcome: Outcome | Cause, *, confirmed: int = -1) -> str:
        """A whole call: -1: not answered; 0: answered and exposed; k: k pages confirmed in this call."""
        attempt = await self.plan(fax)
        if confirmed >= 0:
            first = (await self.rows(select(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt)))[0].first_page
            assert await self.answer(attempt)
            assert await self.expose(attempt, fax, first)
            for page in range(first, first + confirmed):
                assert await self.confirm(attempt, fax, page)
        assert await self.done(attempt, outcome)
        return attempt

    async def wait(self, fax: str) -> None:
        """Move the clock to the time at which a fax may be dialled again."""
        self.clock.now = max(self.now, (await self.fax(fax)).until)

    async def wish(self, fax: str, what: Wish) -> str:
        return str(await self.do(queue.wish, fax, what, who="operator", now=self.now))

    # ------------------------------------------------------------------------------------------------------ finding

    async def outbox(self, job: str | None = None) -> Sequence[Row[Any]]:
        query = select(t.outbox).order_by(t.outbox.c.created_at, t.outbox.c.id)
        return await self.rows(query.where(t.outbox.c.job == job) if job else query)

    async def events(self, entity: str) -> list[str]:
        query = select(t.events.c.what).where(t.events.c.entity == entity).order_by(t.events.c.serial)
        return [row.what for row in await self.rows(query)]

    async def ledger(self, fax: str, index: int = 0) -> dict[int, str]:
        query = select(t.page_ledger).where(t.page_ledger.c.fax == fax, t.page_ledger.c.number_index == index)
        return {row.page: row.state for row in await self.rows(query)}

    async def accept(self, mail: MailSubmission) -> str:
        return await self.do(messages.accept, mail)

    async def walk(self, message: str, *, ready: bool = False) -> list[str]:
        """Turn a received message into its job; returns the faxes."""
        leased = await self.do(messages.lease, fence=self.fence, now=self.now, limit=100)
        found = next(m for m in leased if m.id == message)
        faxes = [
            queue.NewFax(
                ids.fax_id(secrets.token_bytes(16)),
                r.position,
                ({"typed": r.typed, "e164": r.e164, "sub": "", "zone": "UTC"},),
            )
            for r in found.recipients
            if not r.linked
        ]
        job = queue.NewJob(
            ids.job_id(secrets.token_bytes(16)), message, found.customer, found.user, found.owner, found.subject,
            found.message_id, found.received_at, resolve([]).snapshot(), (found.sender,), (), tuple(faxes), None, 0,
        )  # fmt: skip
        assert await self.do(queue.create, job, fence=self.fence, now=self.now)
        if ready:
            await self.render(job.id)
        return [f.id for f in faxes]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house_store(
    request: pytest.FixtureRequest, house_engine: str
) -> AsyncIterator[tuple[Path, Store, list[StoreError]]]:
    """One real store for all tests that share it: what a statement costs to compile is paid once.

    In memory where the machine has such, because here thousands of commits are synced and no power is cut.
    """
    memory = Path("/dev/shm")
    failures: list[StoreError] = []
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/faxgw.db"
        if house_engine == "postgresql":
            server: Server = request.getfixturevalue("postgres")
            url = server.url(server.create())
        upgrade(url)
        store = open_store(url, failures.append)
        await store.start()
        yield folder, store, failures
        await store.close()


def _empty(conn: Connection) -> None:
    for table in reversed(t.metadata.sorted_tables):
        conn.execute(delete(table))


@pytest_asyncio.fixture(loop_scope="session")
async def house(house_store: tuple[Path, Store, list[StoreError]]) -> AsyncIterator[House]:
    folder, store, failures = house_store
    await store.run(_empty)
    lease = await store.run(lambda conn: node.register(conn, NODE, NOON))
    files = Files(folder, NODE, lease.incarnation)
    await files.start()
    built = House(folder, store, files, lease.fence)
    await built.do(directory.seed, SEED)
    yield built
    await files.close()
    for place in ("spool", "objects", "tmp"):
        shutil.rmtree(folder / place)
    assert not failures
