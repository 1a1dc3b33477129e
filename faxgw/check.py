"""`faxgw check`: settings, tools, disk, ports, certificates, relay and line, all faults at once.

Looks, and changes nothing. Every finding says what was looked at and, when it is a fault, what to do.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

from faxgw.check_listeners import Finding, look_at_connections, look_at_files, look_at_ports
from faxgw.client import Control, NotRunning
from faxgw.delivery.dkim import DkimSettings
from faxgw.delivery.mail import MailDelivery, RelaySettings
from faxgw.delivery.mail_look import MailLook, Seen
from faxgw.delivery.mail_route import MailRoutes, MailRouteSettings
from faxgw.document import office_pool, sandbox
from faxgw.document.client import PageClient
from faxgw.document.types import Use
from faxgw.fax.errors import FaxError
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.line.dns import Resolver
from faxgw.line.trunk import SipSettings, Trunk, TrunkSettings
from faxgw.parts import evidence
from faxgw.settings import Settings, load
from faxgw.store.space import FreeSpace, Watermark
from faxgw.tables import SECTIONS, NodeSettings, PagesSection, cross_check

TIMEOUT = 5.0
"""Seconds for one look at something that may not answer."""
MAIL_TIMEOUT = 3 * TIMEOUT
"""Seconds for a mail server: it may ask DNS about us before it greets, and a route may have several."""


async def run_checks(config: Path) -> list[Finding]:
    """Look at everything; findings in a fixed order."""
    if not await asyncio.to_thread(config.exists):
        return [
            Finding("settings", False, f"there is no file {config}; config/faxgw.toml is a sample"),
            *await _tools(),
        ]
    settings = load(config, SECTIONS)
    found = [Finding("settings", False, str(fault)) for fault in settings.faults]
    found += [Finding("settings", False, fault) for fault in ([] if found else cross_check(settings))]
    if not found:
        found = [Finding("settings", True, f"{', '.join(str(f) for f in settings.files)}")]
    found += await _tools()
    if not settings.faults:
        found += await _surroundings(settings)
    return found


async def _tools() -> list[Finding]:
    version = sys.version_info
    found = [Finding("python", version >= (3, 11), f"{version.major}.{version.minor}.{version.micro}")]
    engine = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import faxgw.t30.binding as b; b.library()",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _out, err = await engine.communicate()
    words = err.decode(errors="replace").strip().splitlines()
    text = (
        "libspandsp.so.2 loads"
        if engine.returncode == 0
        else f"{words[-1] if words else 'does not load'}; apt install libspandsp2"
    )
    found.append(Finding("fax engine", engine.returncode == 0, text))
    return found


async def _surroundings(settings: Settings) -> list[Finding]:
    node = settings.one("node", NodeSettings)
    smtp = settings.one("smtp", SmtpSettings)
    running = await _is_running(node.data)
    looks: list[Awaitable[Finding]] = [
        _pages(settings.one("pages", PagesSection)),
        asyncio.to_thread(_office, settings.one("pages", PagesSection)),
        asyncio.to_thread(_data_folder, node.data),
        asyncio.to_thread(_space, node.data, int(smtp.message_limit)),
        asyncio.to_thread(_senders, settings),
    ]
    sip = settings.one("sip", SipSettings)
    looks += [
        _look(f"trunk {trunk.name}", _servers(Trunk(trunk, Resolver(sip.nameservers)), sip))
        for trunk in settings.many("trunk", TrunkSettings)
    ]
    found, mails = await asyncio.gather(asyncio.gather(*looks), _mails(settings))
    found = [*found, *mails, look_at_connections(settings)]
    found += await asyncio.to_thread(look_at_files, settings, time.time())
    if running:
        return [*found, Finding("gateway", True, "is running; its ports are not tried")]
    return [*found, *await asyncio.to_thread(look_at_ports, settings)]


async def _is_running(data: Path) -> bool:
    try:
        await Control(data).status()
    except (NotRunning, FaxError):
        return False
    return True


async def _pages(pages: PagesSection) -> Finding:
    if pages.socket is None:
        probe = await asyncio.to_thread(sandbox.probe, pages.sandbox)
        return Finding("page sandbox", probe.ok, probe.detail)
    client = PageClient(pages.client_settings())
    try:
        await client.start()
    except FaxError as exc:
        return Finding("page service", False, str(exc))
    finally:
        await client.close()
    return Finding("page service", True, f"{pages.socket} answers")


def _office(pages: PagesSection) -> Finding:
    """Whether Office documents are converted; a page service looks at its own machine by itself."""
    kinds = sorted(kind.value for kind in office_pool.installed())
    if pages.office is Use.OFF:
        return Finding("office", True, "switched off: Office documents are refused")
    if not kinds:
        return Finding("office", pages.office is Use.AUTO, "not installed: Office documents are refused")
    return Finding("office", True, f"LibreOffice converts {', '.join(kinds)}")


def _data_folder(data: Path) -> Finding:
    place = data if data.exists() else data.parent
    good = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    return Finding("data folder", good, f"{data}" if good else f"{place} cannot be written by this user")


def _space(data: Path, message_limit: int) -> Finding:
    place = next(p for p in (data, *data.parents) if p.exists())
    space, mark = FreeSpace.of(place), Watermark(message_limit)
    text = f"{space.free // 2**20} MiB free, {mark.floor(space) // 2**20} MiB needed"
    return Finding("disk", not mark.refuses(space), text)


def _senders(settings: Settings) -> Finding:
    ok, text = evidence.look(settings)
    return Finding("senders", ok, text)


async def _look(what: str, work: Awaitable[str]) -> Finding:
    try:
        async with asyncio.timeout(TIMEOUT):
            return Finding(what, True, await work)
    except (OSError, TimeoutError) as exc:
        return Finding(what, False, f"{exc or 'no answer'}")


async def _servers(trunk: Trunk, sip: SipSettings) -> str:
    """Where calls of a trunk would go, by DNS (RFC 3263)."""
    found = await trunk.servers(socket.AF_INET6 if ":" in sip.listen.host else socket.AF_INET)
    return f"{trunk.settings.host} is {', '.join(str(server) for server in found)}"


async def _mails(settings: Settings) -> list[Finding]:
    """Relay, routes and keys of the mails that leave."""
    relay, keys = settings.one("relay", RelaySettings), settings.many("dkim", DkimSettings)
    routes = settings.many("mail_route", MailRouteSettings)
    found = MailRoutes(relay, routes)
    look = MailLook(MailDelivery(relay, routes=found), found)
    seen = await asyncio.gather(
        _bounded("mail relay", look.relay()),
        *(_bounded(f"dkim {key.domain}", look.key(key)) for key in keys),
        *(_bounded(f"mail route {route.domain}", look.route(route)) for route in routes),
    )
    return [Finding(one.what, one.ok, one.text) for some in seen for one in some]


async def _bounded(what: str, work: Awaitable[Seen | Sequence[Seen]]) -> Sequence[Seen]:
    try:
        async with asyncio.timeout(MAIL_TIMEOUT):
            found = await work
    except TimeoutError:
        return [Seen(what, False, "no answer")]
    return [found] if isinstance(found, Seen) else found
