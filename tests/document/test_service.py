"""The page service: a socket of the service manager's or its own, who may connect, and what outlives what."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from faxgw.document import service
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.document.types import Document, Kind, PageSettings, Rendered, RenderOptions
from tests.document.conftest import Make
from tests.patience import PATIENCE_S

ACTIVATED = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
    " os.environ['LISTEN_FDS'] = '1';"
    " os.execv(sys.executable, [sys.executable, '-m', 'faxgw.document.service', *sys.argv[2:]])"
)


class Activator:
    """What a service manager does for a socket unit: it listens, and starts the service with the socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pages.sock"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(8)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify.sock"))
        self.notify.settimeout(30)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, watchdog: float = 0.0) -> None:
        environ = os.environ | {"NOTIFY_SOCKET": str(self.notify.getsockname())}
        if watchdog:
            environ["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        descriptor = self.listener.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATED, str(descriptor), *arguments], pass_fds=(descriptor,), env=environ
        )

    def end(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def hear(self) -> dict[str, str]:
        lines = self.notify.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def children(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end()
        self.listener.close()
        self.notify.close()


@pytest.fixture
def activator(tmp_path: Path) -> Iterator[Activator]:
    made = Activator(tmp_path)
    yield made
    made.close()


@contextlib.asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[PageClient]:
    client = PageClient(PageSettings(socket=path))
    try:
        yield client
    finally:
        await client.close()


async def convert(client: PageClient, make: Make, pages: int = 1) -> int:
    """Pages of a converted PDF."""
    pdf = make.pdf(*[(595.0, 842.0)] * pages)
    rendered = await client.render([Document(make.fd(pdf), "a.pdf", Kind.PDF)], RenderOptions())
    assert isinstance(rendered, Rendered)
    rendered.close()
    return len(rendered.pages)


async def until(true: Callable[[], bool], within: float = PATIENCE_S) -> None:
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110 - what another process does sets no event here
            await asyncio.sleep(0.02)


async def test_documents_and_pages_pass_through_the_socket(activator: Activator, make: Make) -> None:
    activator.start()
    async with client_of(activator.path) as client:
        assert await convert(client, make, 2) == 2
        assert client.pid is None and client.plan is None
    assert activator.process is not None and activator.process.poll() is None


async def test_a_service_that_died_is_used_again_as_soon_as_it_is_back(activator: Activator, make: Make) -> None:
    """The socket is the manager's: connections wait in it while the service is started again."""
    activator.start()
    async with client_of(activator.path) as client:
        assert await convert(client, make) == 1
        activator.end()
        with pytest.raises(PagesUnavailable):
            while True:  # until the end of the connection is noticed
                await asyncio.wait_for(convert(client, make), 1.0)
        activator.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await convert(client, make) == 1
                    break
                except PagesUnavailable:
                    await asyncio.sleep(0.2)


async def test_two_gateways_are_served_beside_each_other(activator: Activator, make: Make) -> None:
    activator.start()
    async with client_of(activator.path) as one, client_of(activator.path) as other:
        pages = await asyncio.gather(convert(one, make, 3), convert(other, make, 4))
        assert list(pages) == [3, 4]


async def test_a_gateway_that_goes_takes_its_documents_with_it(activator: Activator, make: Make) -> None:
    activator.start()
    async with client_of(activator.path) as client:
        await client.start()
        work = asyncio.create_task(convert(client, make, 400))
        await until(lambda: bool(activator.children()))
        await client.close()
        with pytest.raises(PagesUnavailable):
            await work
        await until(lambda: not activator.children())
    async with client_of(activator.path) as client:
        assert await convert(client, make) == 1


async def test_the_manager_is_told_and_the_watchdog_fed(activator: Activator) -> None:
    """sd_notify(3)."""
    activator.start(watchdog=0.6)
    told = [await asyncio.to_thread(activator.hear) for _ in range(4)]
    assert told[0]["READY"] == "1"
    assert [message.get("WATCHDOG") for message in told[1:]] == ["1", "1", "1"]
    assert await asyncio.to_thread(activator.end, signal.SIGTERM) == 0
    while "STOPPING" not in (message := await asyncio.to_thread(activator.hear)):
        assert message["WATCHDOG"] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which needs root")
async def test_another_user_is_turned_away() -> None:
    """unix(7), SO_PEERCRED: a second look beside the mode of the socket."""
    with open_activator() as activator:
        activator.start("--peer", "nobody")
        async with client_of(activator.path) as client:
            with pytest.raises(PagesUnavailable):
                await client.start()
        assert await asyncio.to_thread(_greeting_as, 65534, activator) > 0
        assert await asyncio.to_thread(_greeting_as, 65533, activator) == 0


@contextlib.contextmanager
def open_activator() -> Iterator[Activator]:
    """With a socket that everybody may open."""
    with tempfile.TemporaryDirectory(prefix="faxgw-") as folder:
        Path(folder).chmod(0o711)
        activator = Activator(Path(folder))
        activator.path.chmod(0o777)
        try:
            yield activator
        finally:
            activator.close()


GREETED = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(len(s.recv(100)))"


def _greeting_as(user: int, activator: Activator) -> int:
    """How many octets a process of another user hears when it connects."""
    done = subprocess.run(
        ["/usr/bin/python3", "-c", GREETED, str(activator.path)],
        user=user,
        group=user,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return int(done.stdout)


def run_service(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "faxgw.document.service", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_without_a_socket_it_says_so() -> None:
    done = run_service()
    assert done.returncode == 1
    assert "name one with --listen" in done.stderr


def test_an_unknown_peer_is_named() -> None:
    done = run_service("--peer", "nobody-of-that-name", "--listen", "/nowhere/pages.sock")
    assert done.returncode == 1
    assert "nobody-of-that-name" in done.stderr


def test_a_socket_that_is_served_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "pages.sock"
    with service.listen(path):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(service.NoSocket, match="in use"):
            service.listen(path)
    with service.listen(path):  # what the first left behind
        pass


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pages.sock"
    path.write_text("mine")
    with pytest.raises(service.NoSocket):
        service.listen(path)
    assert path.read_text() == "mine"


async def test_by_hand_it_makes_its_socket_and_removes_it(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "pages.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw.document.service", "--listen", str(path), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until(path.exists)
        async with client_of(path) as client:
            assert await convert(client, make) == 1
    finally:
        process.terminate()
        assert await process.wait() == 0
    assert not path.exists()


async def test_a_service_that_is_not_there_is_no_fault_of_the_document(tmp_path: Path) -> None:
    async with client_of(tmp_path / "pages.sock") as client:
        with pytest.raises(PagesUnavailable, match="cannot be reached") as error:
            await client.start()
    assert error.value.temporary


def test_what_was_handed_to_another_process_is_not_ours() -> None:
    """sd_listen_fds(3)."""
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "pages"}
    assert service.handed_over(environ) is None
    assert environ == {}
