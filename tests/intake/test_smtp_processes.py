"""Sessions in processes of their own: the same dialogues, one count of connections and failed logins, and what becomes
of mails and clients when a process dies, hangs or talks nonsense.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import smtplib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tests.intake.world as world_module
from faxgw.fax.ports import MailSession, Principal, Receipt, Rejection
from faxgw.intake import smtp_processes
from faxgw.intake.smtp_processes import COMMAND, ProcessRoom
from faxgw.intake.smtp_room import Room
from faxgw.settings import Tls
from faxgw.store.errors import StoreError
from faxgw.store.files import Kind
from tests.conftest import MakeCertificate
from tests.intake import test_smtp_mail, test_smtp_session
from tests.intake.world import DOMAIN, Client, Connect, Start, World, listener, settings
from tests.patience import PATIENCE_S

NUMBER = f"+33123456789@{DOMAIN}"
MAIL = b"Subject: Offer\r\nMessage-ID: <1@example.com>\r\n\r\nHello"
"""Its last line ends where the client's `data` ends it."""


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions take place in one process unless a test says otherwise."""
    monkeypatch.setattr(world_module, "PROCESSES", 1)


@pytest.fixture
def tls(make_certificate: MakeCertificate) -> Tls:
    certificate, key = make_certificate()
    return Tls(certificate=certificate, key=key)


def rooms(world: World) -> list[ProcessRoom]:
    found: list[Room] = world.server._rooms
    return [room for room in found if isinstance(room, ProcessRoom)]


async def until(true: Callable[[], object]) -> None:
    """Wait for something that another process brings about."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - what ends it is another process's
            await asyncio.sleep(0.01)


# The dialogues of the other files that pass the border between the two processes, played again across it.
test_starttls_and_auth = test_smtp_session.test_a_mail_goes_through_starttls_and_auth
test_encrypted_from_the_start = test_smtp_session.test_a_mail_goes_through_a_connection_encrypted_from_the_start
test_a_handshake_that_does_not_come = test_smtp_session.test_a_handshake_that_does_not_come_is_cut
test_a_new_certificate = test_smtp_session.test_a_new_certificate_is_used_without_a_restart
test_failed_logins_are_answered_late = (
    test_smtp_session.test_a_failed_login_is_answered_late_and_at_the_same_time_whatever_was_wrong
)
test_guessing_is_stopped = test_smtp_session.test_guessing_is_stopped_per_name_and_address
test_connections_of_one_client = test_smtp_session.test_one_client_has_only_so_many_connections
test_connections_of_all = test_smtp_session.test_the_server_has_only_so_many_connections
test_stress = test_smtp_session.test_under_stress_idle_clients_make_room
test_allowed_networks = test_smtp_session.test_only_allowed_networks_are_let_in
test_stop = test_smtp_session.test_stop_ends_the_idle_and_lets_the_begun_finish
test_stop_waits_for_commits = test_smtp_session.test_stop_cuts_what_does_not_finish_but_no_commit
test_a_mail = test_smtp_mail.test_a_mail_is_accepted_and_lies_in_the_spool_as_it_was_sent
test_pipelining = test_smtp_mail.test_pipelined_commands_are_answered_in_order
test_a_forbidden_sender = test_smtp_mail.test_a_forbidden_sender_learns_it_at_rcpt
test_the_same_mail_again = test_smtp_mail.test_the_same_mail_again_is_not_sent_again_and_says_so
test_any_script = test_smtp_mail.test_a_subject_in_any_script_arrives
test_files_that_stay = test_smtp_mail.test_a_file_stays_only_when_a_row_may_name_it
test_a_client_that_vanishes = test_smtp_mail.test_a_client_that_vanishes_before_the_dot_leaves_nothing
test_a_client_that_vanishes_later = test_smtp_mail.test_a_client_that_vanishes_after_the_dot_changes_nothing
test_a_commit_without_end = test_smtp_mail.test_a_commit_that_does_not_end_is_451_and_is_not_cancelled
test_side_by_side = test_smtp_mail.test_mails_are_taken_side_by_side


async def test_processes_share_connections_and_failed_logins(start: Start, connect: Connect) -> None:
    """Two processes: each gets its half, and a guesser no more tries than with one."""
    quick = listener(plain_auth_on_loopback=True)
    world = await start(settings(processes=2, auth_failures=2, client_connection_limit=4, listeners=(quick,)))
    clients = [await connect(world.port) for _ in range(4)]
    assert [world.server._here[room] for room in rooms(world)] == [2, 2]
    refused = await connect(world.port, greeting=False)
    assert (await refused.reply()).startswith("421 4.7.0 Too many connections from your address")
    for client, reply in zip(clients, ("535", "535", "454", "454"), strict=True):
        await client.say("EHLO client")
        guess = test_smtp_session.plain("anna", "wrong")
        assert (await client.say(f"AUTH PLAIN {guess}")).startswith(reply)
    assert len({room.pid for room in rooms(world)} | {os.getpid()}) == 3


async def test_a_process_that_dies_costs_its_connections_and_is_replaced(
    start: Start, connect: Connect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mail that was being sent is not accepted, and its client sends it again."""
    world = await start()
    shut: list[bool] = []
    monkeypatch.setattr(world.server._door, "shut", lambda: shut.append(world.server.ready))
    (room,) = rooms(world)
    client = await connect(world.port)
    await client.begin()
    assert (await client.say("DATA")).startswith("354")
    await client.send(MAIL)
    dead = room.pid
    os.kill(dead, signal.SIGKILL)
    assert await client.ended()
    await until(lambda: world.server.connections == 0)
    await until(lambda: world.server.ready)
    again = await connect(world.port)
    assert room.pid not in (0, dead)
    await again.begin()
    assert (await again.data(MAIL)).startswith("250")
    assert [world.content(mail) for mail in world.gate.mails] == [MAIL + b"\r\n"]
    assert world.sessions == ["failed"]
    assert shut == [False] and world.server.ready
    assert "mail process ended" in caplog.text


async def test_a_mail_that_is_being_committed_when_its_process_dies_is_committed_once(
    start: Start, connect: Connect
) -> None:
    world = await start()
    reached, go = asyncio.Event(), asyncio.Event()

    async def held() -> None:
        reached.set()
        await go.wait()

    world.gate.before_commit = held
    (room,) = rooms(world)
    client = await connect(world.port)
    await client.begin()
    assert (await client.say("DATA")).startswith("354")
    await client.send(MAIL + b"\r\n.\r\n")
    await reached.wait()
    os.kill(room.pid, signal.SIGKILL)
    assert await client.ended()
    await until(lambda: room.ready)
    assert len(room._removals) == len(world.spooled()) == 1, "what it left waits for the commit"
    go.set()
    await until(lambda: world.gate.mails)
    await until(lambda: not room._removals)
    again = await connect(world.port)
    await again.begin()
    assert "Accepted before as" in await again.data(MAIL)
    assert [world.content(mail) for mail in world.gate.mails] == [MAIL + b"\r\n"]


async def test_a_process_whose_gateway_is_gone_ends_by_itself(start: Start, connect: Connect) -> None:
    """Nobody could commit anything any more: its clients are cut and send again."""
    world = await start()
    (room,) = rooms(world)
    client = await connect(world.port)
    await client.begin()
    child = room._child
    assert child is not None
    child.pipe._sock.shutdown(2)  # as when the gateway is killed
    assert await client.ended()
    assert await asyncio.wait_for(child.process.wait(), PATIENCE_S) == 1


async def test_a_process_that_hangs_is_replaced(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_processes, "PING_EVERY", 0.05)
    monkeypatch.setattr(smtp_processes, "SILENT_AFTER", 0.5)
    world = await start()
    (room,) = rooms(world)
    hung = room.pid
    os.kill(hung, signal.SIGSTOP)
    await until(lambda: room.pid not in (0, hung) and room.ready)
    monkeypatch.setattr(smtp_processes, "SILENT_AFTER", 30.0)
    client = await connect(world.port)
    await client.begin()
    assert (await client.data(MAIL)).startswith("250")


SAYS = """
import socket, sys
from faxgw.pipe import BlockingPipe
pipe = BlockingPipe(socket.socket(fileno=int(sys.argv[2])))
pipe.receive()
{}
"""


@pytest.mark.parametrize(
    "does, why",
    [
        ("pipe.send(b'not JSON'); pipe.receive()", "talks nonsense: not JSON"),
        ("pipe.send(b'[[\"dance\"]]'); pipe.receive()", "talks nonsense: not understood: 'dance'"),
        ("pipe.send(b'[[\"gone\", 5]]'); pipe.receive()", "talks nonsense: no such connection: 5"),
        ("pipe.send(b'[[\"session\", {}]]'); pipe.receive()", "talks nonsense: not understood: 'session'"),
        ('pipe.send(b\'[["session", "x"]]\'); pipe.receive()', "talks nonsense: not understood: 'session'"),
        ('pipe.send(b\'[["mail", "x"]]\'); pipe.receive()', "talks nonsense: not understood: 'mail'"),
        ("pipe.send(b'[[\"seconds\", NaN]]'); pipe.receive()", "talks nonsense: not understood: 'seconds'"),
        (
            "pipe.send(b'[' + b','.join([b'[\"ask\", 1, \"x\"]'] * 16_001) + b']'); pipe.receive()",
            "talks nonsense: too many questions at a time",
        ),
        ("sys.exit(3)", "exit status 3"),
        ("import os; os.abort()", "killed by SIGABRT"),
    ],
)
async def test_what_never_makes_ready_is_an_error_at_the_start(
    start: Start, monkeypatch: pytest.MonkeyPatch, does: str, why: str
) -> None:
    command = (sys.executable, "-c", SAYS.replace("{}", does, 1))
    monkeypatch.setattr(ProcessRoom.__init__, "__defaults__", (None, command))
    with pytest.raises(OSError, match="the mail process did not start") as told:
        await start()
    assert why in str(told.value)


async def test_one_that_is_killed_before_it_is_ready_does_not_end_the_start(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begin, dead = smtp_processes._Child.start, list[int]()

    async def begin_and_kill_the_first(*what: Any) -> Any:  # Any: as `_Child.start`
        child = await begin(*what)
        if not dead:
            dead.append(child.process.pid)
            child.process.kill()
        return child

    monkeypatch.setattr(smtp_processes._Child, "start", begin_and_kill_the_first)
    world = await start()
    [room] = rooms(world)
    assert room.ready and room.pid not in (0, *dead)
    assert "mail process ended" in caplog.text
    await connect(world.port)


async def test_a_certificate_that_cannot_be_read_is_an_error_at_the_start(start: Start, tls: Tls) -> None:
    chosen = settings(tls=tls, listeners=(listener(security="starttls"),))
    tls.key.write_text("no key")
    with pytest.raises(OSError, match=r".") as told:
        await start(chosen)
    assert "did not start" not in str(told.value)


async def test_a_certificate_read_anew_while_a_process_starts_is_that_of_the_process(
    start: Start, connect: Connect, tls: Tls, make_certificate: MakeCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await start(settings(tls=tls, listeners=(listener(security="tls"),)))
    (room,) = rooms(world)
    certificate, key = make_certificate()
    begin = smtp_processes._Child.start

    async def begin_and_reload(*what: Any) -> Any:  # Any: as `_Child.start`
        child = await begin(*what)
        world.server.reload_tls(Tls(certificate=certificate, key=key))
        return child

    monkeypatch.setattr(smtp_processes._Child, "start", begin_and_reload)
    first = room.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: room.ready and room.pid != first)
    client = await connect(world.port, ssl=test_smtp_session.trusting(certificate), server_hostname="localhost")
    assert (await client.say("NOOP")).startswith("250")


async def test_an_unforeseen_fault_in_the_gateway_is_451_and_the_session_goes_on(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = await start()

    async def broken(*args: object) -> Rejection:
        raise RuntimeError("boom")

    client = await connect(world.port)
    await client.begin()
    with monkeypatch.context() as patch:
        patch.setattr(world.gate, "recipient", broken)
        assert (await client.say(f"RCPT TO:<{NUMBER}>")).startswith("451 4.3.0")
        patch.setattr(world.gate, "submit_mail", broken)
        assert (await client.data(MAIL)).startswith("451 4.3.0 It is not certain")
    assert caplog.text.count("RuntimeError: boom") == 2
    assert len(world.spooled()) == 1  # nobody knows whether a row names it
    await client.begin()
    assert (await client.data(MAIL)).startswith("250")


async def test_whoever_is_asked_gets_what_the_session_knows(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field of a session and a principal passes the pipe in both directions, whatever its letters."""
    world = await start()
    seen: list[tuple[MailSession, str]] = []
    who = Principal("c1", "ü\n\udcff", "", "anna@example.com", "network")

    async def sender(session: MailSession, address: str) -> Principal:
        seen.append((session, address))
        return who

    monkeypatch.setattr(world.gate, "sender", sender)

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", world.port, timeout=PATIENCE_S) as client:
            client.sendmail("anna@example.com", [NUMBER, f"+33198765432@{DOMAIN}"], MAIL)

    await asyncio.to_thread(send)
    assert seen == [(MailSession("127.0.0.1", False, "", "submission"), "anna@example.com")]
    (mail,) = world.gate.mails
    assert mail.principal == who
    assert [to.number_e164 for to in mail.recipients] == ["+33123456789", "+33198765432"]


async def test_a_thousand_recipients_and_a_large_mail_pass(start: Start) -> None:
    world = await start()
    numbers = [f"+331{n:08}@{DOMAIN}" for n in range(200_000_00, 200_010_00)]
    content = b"Subject: many\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 20_000

    def send() -> object:
        with smtplib.SMTP("127.0.0.1", world.port, timeout=60) as client:
            return client.sendmail("anna@example.com", numbers, content)

    assert await asyncio.to_thread(send) == {}
    (mail,) = world.gate.mails
    assert len(mail.recipients) == 1000
    assert world.content(mail) == content


async def test_logs_are_those_of_the_gateway(tmp_path: Path) -> None:
    """A process logs where the gateway does and in its manner, without numbers or names, and follows it in time."""
    code = (
        "import asyncio, smtplib, sys\n"
        "from pathlib import Path\n"
        "from faxgw import logs\n"
        "from faxgw.intake import smtp_processes\n"
        "from faxgw.intake.smtp import SmtpServer\n"
        "from faxgw.store.files import Files\n"
        "from tests.intake.world import Gate, settings\n"
        "def send(port):\n"
        "    with smtplib.SMTP('127.0.0.1', port) as client:\n"
        f"        client.sendmail('anna@example.com', ['{NUMBER}'], {MAIL!r})\n"
        "async def main():\n"
        "    smtp_processes.PING_EVERY = 0.05\n"
        "    logs.configure(form='json')\n"
        "    files = Files(Path(sys.argv[1]), 'node', 1)\n"
        "    await files.start()\n"
        "    server = SmtpServer(settings(processes=1), Gate(), files)\n"
        "    (bound,) = await server.start()\n"
        "    await asyncio.to_thread(send, bound.port)\n"
        "    logs.configure(form='text', show_numbers=True)\n"
        "    while server._rooms[0]._child.manner != logs.Manner.now():\n"
        "        await asyncio.sleep(0.01)\n"
        "    await asyncio.to_thread(send, bound.port)\n"
        "    await server.stop(1)\n"
        "    await files.close()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    _out, err = await asyncio.wait_for(process.communicate(), 60)
    lines = err.decode().splitlines()
    assert process.returncode == 0, err.decode()
    before = [line for line in lines if line.startswith('{"time"')]
    after = lines[len(before) :]
    assert lines[: len(before)] == before
    assert any('"event": "mail_accepted"' in line and "+33…89" in line for line in before)
    assert any('"event": "smtp_session"' in line for line in before)
    assert "33123456789" not in "".join(before) and "anna" not in err.decode()
    assert any("event=mail_duplicate" in line for line in after)
    assert any("event=smtp_session" in line for line in after)


async def test_room_is_asked_for_once_a_moment_and_told_exactly_when_it_is_short(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await start(settings(message_limit=10_000, junk_limit=100_000))
    asked: list[int] = []
    limit = [1 << 30]

    async def room_for(octets: int) -> Rejection | None:
        asked.append(octets)
        return Rejection(452, "4.3.1", "no room") if octets > limit[0] else None

    monkeypatch.setattr(world.gate, "room_for", room_for)
    client = await connect(world.port)
    await client.begin()
    assert (await client.data(MAIL)).startswith("250")
    assert asked == [10_000]
    limit[0] = 5_000
    other = await connect(world.port)
    await other.say("EHLO client")
    async with asyncio.timeout(PATIENCE_S):
        while (reply := await other.say("MAIL FROM:<anna@example.com> SIZE=6000")).startswith("250"):
            await other.say("RSET")
    assert reply == "452 4.3.1 no room"
    assert (await other.say("MAIL FROM:<anna@example.com> SIZE=4000")).startswith("250")
    assert asked[-4:] == [10_000, 6_000, 10_000, 4_000]


async def test_receipts_come_back_whole(start: Start, connect: Connect) -> None:
    world = await start()
    world.gate.answer = Receipt("msg_1", duplicate_of="msg_0")
    client = await connect(world.port)
    await client.begin()
    assert await client.data(MAIL) == "250 2.0.0 Accepted before as msg_0; it is not sent again"
    client.close()
    with contextlib.suppress(ConnectionError):
        await client.writer.wait_closed()
    await until(lambda: world.results)
    assert world.results == ["duplicate"]
    assert len(world.seconds) == 1


# ------------------------------------------------------------------------------------ what a killed process leaves


LARGE = b"Subject: large\r\n\r\n" + b"x" * 76 * 10_000 + b"\r\n"
"""Lies on the disk while it comes."""


async def sending(world: World, connect: Connect) -> Client:
    """A client in the middle of a large mail, of which there is a file by now."""
    before = set(world.spooled())
    client = await connect(world.port)
    await client.begin()
    assert (await client.say("DATA")).startswith("354")
    await client.send(LARGE)
    await until(lambda: set(world.spooled()) - before)
    return client


async def test_files_of_a_killed_process_go_those_of_others_stay(start: Start, connect: Connect) -> None:
    """Two processes, a mail coming to each, and one of the gateway's own: one process is killed."""
    world = await start(settings(processes=2))
    first = await sending(world, connect)
    lost = set(world.spooled())
    (room,) = (room for room in rooms(world) if world.server._here[room])
    second = await sending(world, connect)
    async with await world.files.open_temp(Kind.MAIL) as own:
        await own.write(LARGE)
        assert len(world.spooled()) == 3
        os.kill(room.pid, signal.SIGKILL)
        assert await first.ended()
        await until(lambda: not lost & set(world.spooled()))
        await until(lambda: room.ready)
        assert len(world.spooled()) == 2
        kept = await own.commit()
    await second.send(b".\r\n")
    assert (await second.reply()).startswith("250")
    (mail,) = world.gate.mails
    assert world.spooled() == sorted([kept.key, mail.file.key])


async def test_a_file_of_a_killed_process_stays_where_nobody_knows_of_its_commit(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spine section 5, 250, step 4: the row may be there; the next start knows."""
    world = await start()
    (room,) = rooms(world)
    reached, go = asyncio.Event(), asyncio.Event()

    async def lost(mail: object) -> Receipt:
        reached.set()
        await go.wait()
        raise RuntimeError("no answer to COMMIT")

    monkeypatch.setattr(world.gate, "submit_mail", lost)
    client = await connect(world.port)
    await client.begin()
    assert (await client.say("DATA")).startswith("354")
    await client.send(MAIL + b"\r\n.\r\n")
    await reached.wait()
    os.kill(room.pid, signal.SIGKILL)
    assert await client.ended()
    await until(lambda: room._removals)
    go.set()
    await until(lambda: not room._removals)
    assert len(world.spooled()) == 1


async def test_what_cannot_be_removed_now_is_left_to_the_next_start(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = await start()
    (room,) = rooms(world)

    async def gone(keys: object) -> set[str]:
        raise StoreError("the database is away")

    assert room._remains is not None
    monkeypatch.setattr(room._remains, "_known", gone)
    client = await connect(world.port)
    await client.begin()
    assert (await client.say("DATA")).startswith("354")
    await client.send(LARGE + b".\r\n")
    assert (await client.reply()).startswith("250")
    os.kill(room.pid, signal.SIGKILL)
    await until(lambda: "files left to the next start" in caplog.text)
    assert [mail.file.key for mail in world.gate.mails] == world.spooled()


# ------------------------------------------------------------------------------------------------------ descriptors


async def test_no_more_connections_than_a_process_has_descriptors_for(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One more is told to come again, and costs nobody his session; the operator reads it in the log."""
    limited = ("sh", "-c", 'ulimit -n 71; exec "$@"', "sh", *COMMAND)
    monkeypatch.setattr(ProcessRoom.__init__, "__defaults__", (None, limited))
    world = await start()
    clients = [await connect(world.port) for _ in range(3)]
    refused = await connect(world.port, greeting=False)
    assert (await refused.reply()).startswith("421 4.3.2 Too many connections")
    for client in clients:
        await client.begin()
        assert (await client.say("DATA")).startswith("354")
        await client.send(LARGE)
    for number, client in enumerate(clients):
        await client.send(b"%d\r\n.\r\n" % number)
        assert (await client.reply()).startswith("250")
    (told,) = (record for record in caplog.records if getattr(record, "event", "") == "smtp_process.descriptors")
    assert (vars(told)["connections"], vars(told)["wanted"]) == (3, 1_000)
    clients.pop().close()
    await until(lambda: world.server.connections == 2)
    await connect(world.port)  # is greeted


async def test_a_room_that_is_full_leaves_the_others_theirs(start: Start, connect: Connect) -> None:
    world = await start(settings(processes=2))
    one, other = rooms(world)
    one.most, other.most = 1, 2
    world.server._look()
    for _ in range(3):
        await connect(world.port)
    assert (world.server._here[one], world.server._here[other]) == (1, 2)
    refused = await connect(world.port, greeting=False)
    assert (await refused.reply()).startswith("421 4.3.2")


# ------------------------------------------------------------------------------------------------------ certificates


async def test_a_process_begins_with_the_last_pair_that_fitted(
    start: Start, connect: Connect, tls: Tls, make_certificate: MakeCertificate
) -> None:
    """A certificate was replaced and its key was not (yet), or cannot be read any more: mail goes on."""
    trusted = test_smtp_session.trusting(tls.certificate)
    world = await start(settings(tls=tls, listeners=(listener(security="tls"),)))
    (room,) = rooms(world)
    other, _key = make_certificate()
    tls.certificate.write_bytes(other.read_bytes())
    with pytest.raises(OSError, match=r"."):
        world.server.reload_tls()
    tls.key.unlink()
    first = room.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: room.ready and room.pid != first)
    client = await connect(world.port, ssl=trusted, server_hostname="localhost")
    assert (await client.say("NOOP")).startswith("250")
