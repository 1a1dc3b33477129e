"""The process that strangers talk to: what is sent to everybody does not end it, and it has room for its clients."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

import tests.intake.world as world_module
from faxgw.fax.ports import MailRecipient, MailSubmission, Principal, Receipt, StoredFile
from faxgw.intake.smtp_pipe import Opening, Outbox, mail_of, messages_of
from faxgw.intake.smtp_process import OOM_SCORE, TOO_LONG, Gateway
from faxgw.intake.smtp_processes import COMMAND, ProcessRoom
from faxgw.intake.smtp_tls import Pair
from faxgw.logs import Manner
from faxgw.pipe import Pipe
from faxgw.pipe import pair as pipe_pair
from faxgw.settings import Tls
from faxgw.store.files import SpoolPlace
from tests.conftest import MakeCertificate
from tests.intake.world import Connect, Start, listener, settings
from tests.patience import PATIENCE_S


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions take place in one process."""
    monkeypatch.setattr(world_module, "PROCESSES", 1)


@pytest.fixture
async def pipes() -> AsyncIterator[tuple[Pipe, Pipe]]:
    """Both ends."""
    ends = Pipe((both := pipe_pair())[0]), Pipe(both[1])
    yield ends
    for end in ends:
        end.close()


async def opened(opening: Opening, *before: str) -> tuple[asyncio.subprocess.Process, Pipe]:
    """A process that was told what it is for, behind the words of another command; its log can be read."""
    ours, theirs = pipe_pair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *before,
            *COMMAND,
            "--fd",
            str(theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stderr=asyncio.subprocess.PIPE,
        )
    pipe = Pipe(ours)
    pipe.send(json.dumps([opening.row()]).encode())
    return process, pipe


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_for_the_gateway_cost_no_session(start: Start, connect: Connect, number: signal.Signals) -> None:
    """A key on a terminal, or a service manager that is asked to signal, reaches all processes of the gateway."""
    world = await start()
    (room,) = world.server._rooms
    assert isinstance(room, ProcessRoom)
    client = await connect(world.port)
    os.kill(room.pid, number)
    assert (await client.say("NOOP")).startswith("250")
    await client.begin()
    assert (await client.data(b"Subject: x\r\n\r\nx")).startswith("250")


async def test_nothing_gains_privileges_by_way_of_a_process(start: Start) -> None:
    """Neither by a setuid program nor otherwise; and the kernel ends it before the gateway."""
    world = await start()
    (room,) = world.server._rooms
    assert isinstance(room, ProcessRoom)
    proc = Path(f"/proc/{room.pid}")
    assert "NoNewPrivs:\t1\n" in (proc / "status").read_text()
    assert int((proc / "oom_score_adj").read_text()) >= OOM_SCORE


async def test_more_clients_than_a_process_usually_has_descriptors(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the usual limit is below that of connections the sessions are not cut: a process takes what it may."""
    limited = ("sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh", *COMMAND)
    monkeypatch.setattr(ProcessRoom.__init__, "__defaults__", (None, limited))
    world = await start(settings(client_connection_limit=100))
    clients = [await connect(world.port) for _ in range(80)]  # each is greeted
    replies = await asyncio.gather(*(client.say("NOOP") for client in clients))
    assert {reply[:3] for reply in replies} == {"250"}


async def test_a_mail_too_long_for_the_pipe_is_refused_alone(pipes: tuple[Pipe, Pipe]) -> None:
    """Recipients whose parameters fill a line each, in letters that take six octets: the process goes on."""
    outbox = Outbox(pipes[0], pytest.fail)
    gateway = Gateway(outbox, 1_000)
    to = MailRecipient("a@b", "0199", "+33199", "", "c1", "", "utf-8;" + "\u00fc" * 494, "")
    who = Principal("c1", "u1", "login", "a@b", "auth")
    mail = MailSubmission(
        "msg_1", who, "a@b", (to,) * 10_000, StoredFile("k", "h", 1), "", "", False, 1.0, "", "", False
    )  # fmt: skip
    assert await gateway.submit_mail(mail) == TOO_LONG
    asked = asyncio.create_task(gateway.submit_mail(replace(mail, recipients=(to,) * 4_000)))
    frame = await asyncio.wait_for(pipes[1].receive(), PATIENCE_S)
    assert frame is not None
    ((word, serial, question, row),) = messages_of(frame.payload)
    assert (word, question) == ("ask", "submit_mail")
    assert mail_of(row).recipients == (to,) * 4_000
    gateway.answered(serial, ["receipt", "msg_1", ""])
    assert await asked == Receipt("msg_1", "")


async def test_why_a_process_cannot_go_on_is_a_line_of_the_log(
    make_certificate: MakeCertificate, tmp_path: Path
) -> None:
    certificate, key = make_certificate()
    chosen = settings(tls=Tls(certificate=certificate, key=key), listeners=(listener(security="tls"),))
    place, pair = SpoolPlace(str(tmp_path), "node", 1), Pair(certificate.read_bytes(), b"no key")
    opening = Opening(chosen, place, False, Manner("INFO", "json", False), pair)
    process, pipe = await opened(opening)
    _out, err = await asyncio.wait_for(process.communicate(), 60)
    pipe.close()
    assert process.returncode == 1
    (line,) = err.decode().splitlines()
    told = json.loads(line)
    assert (told["logger"], told["event"]) == ("faxgw.intake.smtp_process", "smtp_process.broken")
    assert "PEM" in told["why"]


async def test_a_pair_that_a_process_cannot_use_costs_no_session(
    start: Start, connect: Connect, make_certificate: MakeCertificate
) -> None:
    certificate, key = make_certificate()
    tls = Tls(certificate=certificate, key=key)
    world = await start(settings(tls=tls, listeners=(listener(security="starttls"),)))
    (room,) = world.server._rooms
    assert isinstance(room, ProcessRoom) and room._child is not None
    client = await connect(world.port)
    room._child.outbox.say(["tls", certificate.read_text(), "no key"])
    room._child.outbox.say(["tls", "only one"])
    other = await connect(world.port)  # told after that
    for one in (client, other):
        assert (await one.say("NOOP")).startswith("250")


@pytest.mark.parametrize("limit, most", [(66, 1), (264, 100), (2_063, 999), (2_064, 1_000), (3_000, 1_000)])
async def test_a_process_says_for_how_many_connections_it_has_descriptors(
    tmp_path: Path, limit: int, most: int
) -> None:
    """Each connection and the file of its mail, and what the process itself needs; never more than are wanted."""
    opening = Opening(settings(), SpoolPlace(str(tmp_path), "node", 1), False, Manner("WARNING", "json", False))
    process, pipe = await opened(opening, "sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh")
    frame = await asyncio.wait_for(pipe.receive(), 60)
    assert frame is not None and messages_of(frame.payload) == [["ready", most]]
    pipe.close()
    _out, err = await asyncio.wait_for(process.communicate(), 60)
    assert err == b""
