"""Every table of the settings file, and what is wrong between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from faxgw.delivery.dkim import DkimSettings
from faxgw.delivery.mail import RelaySettings
from faxgw.delivery.mail_route import MailRouteSettings
from faxgw.dispatch.routes import RouteSettings
from faxgw.dispatch.routes import named as named_trunks
from faxgw.document.types import PageSettings, Sandbox, Use
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.parts import PARTS
from faxgw.settings import ByteSize, Duration, LogSettings, Many, Maybe, Section, Settings
from faxgw.store import seed
from faxgw.store.location import DatabaseSection
from faxgw.store.seed import AccountSection, CustomerSection
from faxgw.webserver import WebSettings


class NodeSettings(Section):
    """`[node]`: this machine."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")] = "main"
    """Name of the node: lower-case letters, digits, hyphens."""
    data: Path = Path("/var/lib/faxgw")
    """Folder of the database and the documents."""
    grace: Duration = Duration(900)
    """How long an orderly stop waits for calls to finish."""
    ballast: ByteSize = ByteSize(67_108_864)
    """Size of the file that is given up when the disk is full, so that states can still be written."""
    setups_per_second: Annotated[float, Field(gt=0, le=100)] = 5.0
    """Pace of new calls."""


class PagesSection(Section):
    """`[pages]`: the page processes."""

    sandbox: Sandbox = Sandbox.AUTO
    """`auto`, `bubblewrap`, `unshare`; `none` only where nothing else works."""
    children: Annotated[int, Field(ge=1, le=64)] = 2
    """Documents converted at the same time."""
    office: Use = Use.AUTO
    """`auto`: LibreOffice converts Office documents where it is installed; `on`: it must be; `off`: it does not."""
    offices: Annotated[int, Field(ge=1, le=16)] = 1
    """LibreOffices at the same time, each for one document and with up to 1.5 GB of memory."""
    readers: Annotated[int, Field(ge=1, le=64)] = 1
    """Received pages read at the same time, where `ocr` or `barcodes` is set; each takes a processor for seconds."""
    postscript: Use = Use.OFF
    """`auto` or `on`: Ghostscript converts PostScript files, in the sandbox; a program with many known faults."""
    pcl: Use = Use.OFF
    """The same for PCL files with GhostPCL (`/usr/bin/gpcl6`), which Debian does not have."""
    socket: Path | None = Field(default=None, examples=["/run/faxgw/pages.sock"])
    """Socket of a page service (`faxgw pages`) that is confined by itself; none: the gateway starts its own."""

    def client_settings(self) -> PageSettings:
        """What the client of the page processes wants to know."""
        return PageSettings(
            self.sandbox,
            self.children,
            office=self.office,
            offices=self.offices,
            readers=self.readers,
            postscript=self.postscript,
            pcl=self.pcl,
            socket=self.socket,
        )


SECTIONS: Mapping[str, type[Section] | Many | Maybe] = {
    "node": NodeSettings,
    "database": DatabaseSection,
    "log": LogSettings,
    "smtp": SmtpSettings,
    "http": WebSettings,
    "relay": RelaySettings,
    "mail_route": Many(MailRouteSettings),
    "dkim": Many(DkimSettings),
    "pages": PagesSection,
    "sip": SipSettings,
    "trunk": Many(TrunkSettings),
    "route": Many(RouteSettings),
    "settings": AccountSection,
    "customer": Many(CustomerSection),
    **{name: model for part in PARTS for name, model in part.sections.items()},
}
"""Every table of the settings file: the core's, then those of the parts."""


_MAIL: Mapping[str, type[MailRouteSettings | DkimSettings]] = {"mail_route": MailRouteSettings, "dkim": DkimSettings}


def cross_check(settings: Settings) -> list[str]:
    """Faults between the tables, which no table can see alone."""
    found = seed.faults(settings.many("customer", CustomerSection))
    found += [fault for part in PARTS for fault in part.faults(settings)]
    trunks = [trunk.name for trunk in settings.many("trunk", TrunkSettings)]
    found += [f"trunk {name} stands twice" for name in {n for n in trunks if trunks.count(n) > 1}]
    named = {
        value
        for c in settings.many("customer", CustomerSection)
        for table in (c.settings, *c.profile.values(), *(u.settings for u in c.user), *(n.settings for n in c.number))
        for key in ("trunk", "sandbox")
        for value in named_trunks(str(table.get(key, "")))
    }
    system = settings.one("settings", AccountSection).values
    named |= {value for key in ("trunk", "sandbox") for value in named_trunks(str(system.get(key, "")))}
    found += [f"there is no trunk {name}, which an account names" for name in sorted(named - set(trunks))]
    routed = {route.trunk for route in settings.many("route", RouteSettings)}
    found += [f"there is no trunk {name}, which a route names" for name in sorted(routed - set(trunks))]
    for table in ("mail_route", "dkim"):
        domains = [entry.domain for entry in settings.many(table, _MAIL[table])]
        found += [f"{table} for {name} stands twice" for name in {n for n in domains if domains.count(n) > 1}]
    found += _unowned(settings)
    if not trunks:
        found.append("there is no [[trunk]]: nothing can be sent")
    if not settings.many("customer", CustomerSection):
        found.append("there is no [[customer]]: nobody may send")
    return found


def _unowned(settings: Settings) -> list[str]:
    """Numbers whose faxes nobody would get: calls to them would be refused."""
    values = settings.one("settings", AccountSection).values
    found = []
    for customer in settings.many("customer", CustomerSection):
        for number in customer.number:
            profile = customer.profile.get(number.profile or "", {})
            levels = (values, customer.settings, profile, number.own_settings)
            if not any(level.get(key) for level in levels for key in ("deliver_to", "fallback_mailbox")):
                found.append(
                    f"number {number.e164} has neither deliver_to nor a fallback_mailbox: nobody gets its faxes"
                )
    return found
