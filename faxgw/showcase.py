"""`faxgw run --demo`: a complete gateway for a newcomer, and a screen that says what to try."""

from __future__ import annotations

import asyncio
import html
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web
from PIL import Image, ImageDraw

from faxgw import logs, rig
from faxgw.daemon import Daemon
from faxgw.demo import MailboxSink

SMTP_PORT = 2525
HTTP_PORT = 8025
SIP_PORT = 5062
"""Ports that the demo likes to have; a free one is taken where they are in use."""
SAMPLE = "sample.tif"
"""A page to send to the gateway."""


async def run_demo(folder: Path) -> int:
    """Run until SIGTERM or Ctrl-C.

    Args:
        folder: Everything of the demo lies here and stays.
    """
    logs.configure(level="INFO", form="auto")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def prepare(daemon: Daemon, mailbox: MailboxSink) -> None:
        daemon.web.mount(mailbox.routes())
        daemon.web.mount(_pages(folder, machines))

    machines = await rig.machines()
    smtp, http = _free(SMTP_PORT, socket.SOCK_STREAM), _free(HTTP_PORT, socket.SOCK_STREAM)
    sip = _free(SIP_PORT, socket.SOCK_DGRAM)
    async with rig.running(folder, smtp=smtp, http=http, sip=sip, level="INFO", prepare=prepare) as gateway:
        await asyncio.to_thread(_draw_sample, folder / SAMPLE)
        sys.stdout.write(screen(gateway.smtp_port, str(gateway.daemon.web_address), sip, folder, machines))
        sys.stdout.flush()
        waits = [asyncio.create_task(event.wait()) for event in (stop, gateway.daemon.failed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        sys.stdout.write("\nstopping; calls in progress are ended properly …\n")
        return 1 if gateway.daemon.failed.is_set() else 0


def _draw_sample(path: Path) -> None:
    page = Image.new("1", (1728, 1143), 1)
    ImageDraw.Draw(page).text((120, 120), "A fax for you.", fill=0, font_size=90)
    page.save(path, "TIFF", compression="group4", dpi=(204, 98))


def _free(port: int, kind: socket.SocketKind) -> int:
    """The port, or 0 where somebody has it."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def screen(smtp: int, http: str, sip: int, folder: Path, machines: Sequence[tuple[str, str]]) -> str:
    """What a newcomer reads."""
    machine = f"--call sip:{rig.CALLER}@127.0.0.1:{sip} --file {folder / SAMPLE} --received {folder / 'calls'}"
    called = f"""
Receive one: a simulated machine calls {rig.CALLER}; the fax comes as a PDF to the mailbox.

    .venv/bin/faxgw simulator {machine}
"""
    numbers = "\n".join(f"    {number}  {text}" for number, text in machines)
    return f"""
faxgw runs. Everything is on this machine; nothing leaves it.

Send your first fax (in another terminal):

    swaks --server 127.0.0.1:{smtp} --from {rig.SENDER} --to 00{rig.FIRST_PAGES[1:]}@{rig.DOMAIN} \\
          --header 'Subject: my first fax' --body 'Hello, fax.' [--attach @letter.pdf]

or  .venv/bin/faxgw --data {folder / "data"} send {rig.FIRST_PAGES} FILE.pdf --from {rig.SENDER}

See what happens:

    http://{http}/           what the far end received, and your status mails
    .venv/bin/faxgw --data {folder / "data"} queue --all

{called if sip else ""}
Other numbers to try (each is a fax machine with a habit):

{numbers}

Stop with Ctrl-C. Settings: {folder / "faxgw.toml"}
"""


def _pages(folder: Path, machines: Sequence[tuple[str, str]]) -> list[web.AbstractRouteDef]:
    received = folder / "received"

    async def front(request: web.Request) -> web.Response:
        rows = "".join(
            f"<tr><td><code>{number}</code></td><td>{html.escape(text)}</td></tr>" for number, text in machines
        )
        return web.Response(text=_FRONT.format(rows=rows), content_type="text/html", headers=_PAGE)

    async def index(request: web.Request) -> web.StreamResponse:
        page = received / "index.html"
        if not await asyncio.to_thread(page.exists):
            return web.Response(text="<p>Nothing was received yet.</p>", content_type="text/html", headers=_PAGE)
        return web.FileResponse(page, headers=_PAGE)

    return [web.get("/", front), web.get("/received/", index), web.static("/received", received)]


_PAGE = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
}
"""The demo's own pages have a style and pictures, and nothing else."""

_FRONT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>faxgw demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; }} td {{ padding: .2rem 1rem .2rem 0; vertical-align: top; }}
a {{ color: #0b5cad; }} code {{ background: #f2f2f2; padding: 0 .3em; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #1b1b1b; color: #eee; }} code {{ background: #333; }}
 a {{ color: #8ec5ff; }} }}
</style></head>
<body><h1>faxgw demo</h1>
<p><a href="/received/">Pages that the far end received</a> ·
<a href="/mailbox">Status mails</a> · <a href="/health">Health</a> · <a href="/metrics">Metrics</a></p>
<h2>Numbers to send to</h2><table>{rows}</table></body></html>
"""
