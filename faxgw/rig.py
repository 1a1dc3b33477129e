"""A whole gateway with a far end of its own, on loopback: for the demo and the self-test.

Everything is real but the people: the daemon with SMTP, SQLite, page processes and call workers; the simulator in a
process of its own with real SIP and T.38; a mailbox that takes the status mails as their relay. Free ports are found;
what is started is ended by its pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from faxgw.daemon import Daemon
from faxgw.demo import MailboxSink
from faxgw.fax.errors import FaxError
from faxgw.settings import load
from faxgw.tables import SECTIONS

log = logging.getLogger(__name__)

DOMAIN = "fax.example.org"
"""The demo's fax domain."""
SENDER = "you@example.org"
"""Who may send to it."""
NUMBERS = "+331990000"
"""What the demo's numbers begin with; the simulator looks at the two digits after it. Nobody has such a number:
France keeps the range for fiction."""
FIRST_PAGES = NUMBERS + "00"
"""A number whose machine receives well."""
CALLER = "+33199000099"
"""The demo's own number: it calls from it and receives on it."""
READY_WITHIN = 20.0
"""Seconds the simulator may take to start."""
STOP_WITHIN = 10.0
"""Seconds it may take to end."""

_SETTINGS = """\
# Made by faxgw for its demo and its self-test. Look at config/faxgw.toml for a sample with every key explained.
[node]
data = "{data}"
grace = "30s"
ballast = "4MiB"

[log]
level = "{level}"

[smtp]
hostname = "faxgw.localhost"

[[smtp.listeners]]
name = "submission"
listen = "127.0.0.1:{smtp}"

[http]
listen = "127.0.0.1:{http}"

[relay]
host = "127.0.0.1"
port = {relay}
tls = "none"
sender = "fax@{domain}"
organisation = "faxgw demo"

[sip]
listen = "127.0.0.1:{listen}"
media_ports = "{media}"

[[trunk]]
name = "simulator"
host = "127.0.0.1"
port = {sip}
channels = 8
caller = "{caller}"

[pages]
{pages}

[settings.values]
csid = "+33 1 99 00 00 00"
time_zone = "Europe/Paris"
header = "%d.%m.%Y %H:%M %z  %C%cTo: %#%rPage %P/%T"
{more}

[[customer]]
id = "demo"
name = "Demo"
domains = ["{domain}"]
addresses = ["{sender}", "@example.org"]

[[customer.number]]
e164 = "{caller}"
deliver_to = ["{sender}"]
csid = "+33 1 99 00 00 99"
"""


class SimulatorFailed(FaxError):
    """The simulated far end did not start."""

    default_public = "The simulated fax machines did not start."
    default_temporary = False


class Simulator:
    """The park of fax machines as a child process.

    Args:
        received: Folder of its received pages.
        options: Further words of its command line.
    """

    def __init__(self, received: Path, options: Sequence[str] = ()) -> None:
        self._received = received
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0
        """Its SIP port, after `start`."""

    async def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            SimulatorFailed: If it does not within READY_WITHIN.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "faxgw.simulator",
            "--bind",
            "127.0.0.1:0",
            "--received",
            str(self._received),
            *self._options,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None  # asked for above
        try:
            async with asyncio.timeout(READY_WITHIN):
                line = await self._process.stdout.readline()
            self.port = int(json.loads(line)["sip"].rpartition(":")[2])
        except (TimeoutError, ValueError, KeyError, TypeError, AttributeError) as exc:
            await self.stop()
            raise SimulatorFailed(f"simulator: {exc}") from exc

    async def stop(self) -> None:
        """End it: SIGTERM (it says BYE), then SIGKILL."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def machines() -> list[tuple[str, str]]:
    """The simulated machines: (number, what it does), as the simulator itself tells."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw.simulator", "--list", stdout=asyncio.subprocess.PIPE
    )
    out, _err = await process.communicate()
    found = []
    for line in out.decode().splitlines():
        if match := re.match(r"…(\d+)\s+(.*?)\s{2,}(.*)", line):
            suffix, name, text = match.groups()
            found.append((NUMBERS + suffix, f"{name}: {text}" if name not in text else text))
    return found


class Rig:
    """The parts, once they run.

    Attributes:
        folder: Everything lies here: `data`, `mail`, `received`, `faxgw.toml`.
        daemon: The gateway.
        mailbox: Where status mails arrive.
        simulator: The far end.
    """

    def __init__(self, folder: Path, daemon: Daemon, mailbox: MailboxSink, simulator: Simulator) -> None:
        self.folder = folder
        self.daemon = daemon
        self.mailbox = mailbox
        self.simulator = simulator

    @property
    def data(self) -> Path:
        """The gateway's data folder."""
        return self.folder / "data"

    @property
    def received(self) -> Path:
        """What the simulated machines received."""
        return self.folder / "received"

    @property
    def smtp_port(self) -> int:
        """Where mail is taken."""
        return self.daemon.smtp_port


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    *,
    smtp: int = 0,
    http: int = 0,
    sip: int = 0,
    level: str = "WARNING",
    values: Mapping[str, object] | None = None,
    simulator_options: Sequence[str] = (),
    pages: Path | None = None,
    prepare: Callable[[Daemon, MailboxSink], None] = lambda daemon, mailbox: None,
) -> AsyncIterator[Rig]:
    """Start everything; stop it outside-in.

    Args:
        folder: Made if it does not exist.
        smtp: Port for mail; 0: a free one.
        http: Port for HTTP; 0: a free one.
        sip: Port for SIP; 0: a free one.
        level: Log level of the gateway.
        values: Settings of the system level that differ.
        simulator_options: For the simulator's command line.
        pages: Socket of a page service; None: the gateway starts its own.
        prepare: Called before the gateway starts (to mount pages).
    """
    await asyncio.to_thread(_make_folders, folder)
    async with contextlib.AsyncExitStack() as stack:
        mailbox = MailboxSink(folder / "mail")
        await mailbox.start()
        stack.push_async_callback(mailbox.stop)
        simulator = Simulator(folder / "received", simulator_options)
        stack.push_async_callback(simulator.stop)
        await simulator.start()
        text = _SETTINGS.format(
            data=folder / "data",
            level=level,
            smtp=smtp,
            http=http,
            listen=sip,
            relay=mailbox.port,
            domain=DOMAIN,
            sip=simulator.port,
            caller=CALLER,
            sender=SENDER,
            media="20000-29999",
            pages=f"socket = {json.dumps(str(pages))}" if pages is not None else "",
            more="\n".join(f"{key} = {json.dumps(value)}" for key, value in (values or {}).items()),
        )
        config = folder / "faxgw.toml"
        await asyncio.to_thread(config.write_text, text)
        settings = load(config, SECTIONS, environ={})
        settings.check()
        daemon = Daemon(settings)
        prepare(daemon, mailbox)
        await daemon.start()
        stack.push_async_callback(daemon.stop)
        yield Rig(folder, daemon, mailbox, simulator)


def _make_folders(folder: Path) -> None:
    for name in ("", "mail", "received"):
        (folder / name).mkdir(parents=True, exist_ok=True)
