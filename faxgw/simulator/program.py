"""The command line of the simulator; `faxgw simulator` calls `main` with its own arguments.

When the park is ready it prints one line of JSON, `{"event": "ready", "sip": "127.0.0.1:5071", "received": "…"}`.
SIGTERM and SIGINT end it with a BYE for each call. With `--call` it sends one fax, prints the call's record as JSON
and ends, with status 0 when every page was confirmed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from faxgw.foip.errors import LocalProtocolError
from faxgw.simulator.behaviour import BEHAVIOURS, Ending, Fax, table_text
from faxgw.simulator.park import Park, ParkConfig
from faxgw.simulator.ports import NoPorts
from faxgw.t30 import tiff
from faxgw.t30.binding import LibraryFault, library

_URI: Final = re.compile(r"sip:[^@\s]+@(?P<host>\[[0-9a-fA-F:]+\]|[0-9.]+)(?::(?P<port>\d{1,5}))?")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the simulator until it is told to end."""
    options = _parser().parse_args(arguments)
    if options.list:
        sys.stdout.write(table_text())
        return
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    try:
        library()
        options.received = options.received.resolve()
        sys.exit(asyncio.run(_run(options)))
    except (OSError, LibraryFault) as exc:
        sys.exit(f"faxgw simulator: {exc}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faxgw simulator",
        description="A park of fax machines on a SIP port; the last digits dialled decide what happens.",
    )
    parser.add_argument("--bind", type=_host_and_port, default=("127.0.0.1", 5071), metavar="HOST:PORT",
                        help="SIP over UDP; port 0: any free one (default 127.0.0.1:5071)")  # fmt: skip
    parser.add_argument("--media-ports", type=_port_range, metavar="FIRST-LAST",
                        help="ports for RTP and UDPTL (default: any free ones)")  # fmt: skip
    parser.add_argument("--received", type=Path, default=Path("received-faxes"), metavar="FOLDER",
                        help="where received pages go; open its index.html (default ./received-faxes)")  # fmt: skip
    parser.add_argument("--pace", type=float, default=1.0, metavar="FACTOR",
                        help="factor for the machines' own waiting, e.g. 0.1 in tests (default 1)")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print numbers and behaviours, and end")
    call = parser.add_argument_group("placing a call")
    call.add_argument("--call", metavar="SIP-URI", help="send a fax to this address (host must be an IP), and end")
    call.add_argument("--file", type=Path, metavar="TIFF", help="the fax: G3 or G4 pages, 1728 wide")
    call.add_argument("--from", dest="caller", default="+493055500", metavar="NUMBER", help="our number")
    call.add_argument("--machine", default="01", metavar="SUFFIX",
                      choices=sorted(suffix for suffix, behaviour in BEHAVIOURS.items() if behaviour.calls),
                      help="behave like this machine of the list (S…: a sender of the zoo; default 01)")  # fmt: skip
    call.add_argument("--t38", default="waits", choices=[str(value) for value in Fax],
                      help="who re-INVITEs to T.38: we (offers), the far end (waits), nobody (refuses)")  # fmt: skip
    call.add_argument("--goes-wrong", default="normal", metavar="HOW",
                      choices=[str(Ending.NORMAL), str(Ending.AFTER_FIRST_PAGE), str(Ending.MID_PAGE)],
                      help="'after first page' or 'mid-page': hang up, or fall silent, in page 2")  # fmt: skip
    return parser


async def _run(options: argparse.Namespace) -> int:
    host, port = options.bind
    place = options.call is not None
    config = ParkConfig(options.received, host, 0 if place else port, options.media_ports, options.pace)
    park = Park(config)
    address = await park.start()
    try:
        return await _place(park, options) if place else await _serve(park, address, options.received)
    finally:
        await park.stop()


async def _serve(park: Park, address: tuple[str, int], received: Path) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    host, port = address
    ready = {"event": "ready", "sip": f"[{host}]:{port}" if ":" in host else f"{host}:{port}"}
    sys.stdout.write(json.dumps(ready | {"received": str(received)}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    return 0


async def _place(park: Park, options: argparse.Namespace) -> int:
    match = _URI.fullmatch(options.call)
    if match is None or options.file is None:
        sys.stderr.write("faxgw simulator: --call needs sip:number@IP:port, and --file a TIFF\n")
        return 2
    destination = (match["host"].strip("[]"), int(match["port"] or 5060))
    document = await asyncio.to_thread(options.file.read_bytes)
    behaviour = replace(BEHAVIOURS[options.machine], fax=Fax(options.t38), ending=Ending(options.goes_wrong))
    try:
        record = await park.place(options.call, destination, document, caller=options.caller, behaviour=behaviour)
    except (tiff.PageFault, LocalProtocolError, NoPorts) as exc:
        sys.stderr.write(f"faxgw simulator: {exc}\n")
        return 2
    sys.stdout.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
    return 0 if record.code == 0 and record.pages_confirmed == record.pages_sent else 1


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError("HOST:PORT")
    return host.strip("[]"), int(port)


def _port_range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash or not first.isdigit() or not last.isdigit() or not 0 < int(first) < int(last) <= 65535:
        raise argparse.ArgumentTypeError("FIRST-LAST")
    return int(first), int(last)
