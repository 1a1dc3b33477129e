"""The operator's commands on calls: those in progress, how one went, and recordings (docs/calls.md)."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faxgw import show
from faxgw.formats.ladder import MAX_ENTRIES
from faxgw.formats.ladder_svg import svg

if TYPE_CHECKING:
    from faxgw.client import Control

FOLLOW_EVERY = 1.0
"""Seconds between two looks of `calls --follow`."""
_CLEAR = "\x1b[H\x1b[2J"
"""Clears a terminal (ECMA-48: CUP, ED)."""


def register(
    main: click.Group,
    control_of: Callable[[click.Context], Control],
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    """Add the commands to the group.

    Args:
        main: The group.
        control_of: The gateway that a call is about.
        run: Runs a command's work.
    """

    @main.command()
    @click.option("--follow", is_flag=True, help="Again every second, until Ctrl-C.")
    @click.option("--full", is_flag=True, help="Show telephone numbers whole.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable; with --follow one object a line.")
    @click.pass_context
    def calls(context: click.Context, follow: bool, full: bool, as_json: bool) -> None:
        """Show the calls in progress: phase, page, speed, far end."""
        control = control_of(context)
        if follow:
            run(_follow(control, full=full, as_json=as_json))
            return
        answer = run(control.calls())
        click.echo(json.dumps(answer, indent=2) if as_json else show.calls(answer, full=full))

    @main.command()
    @click.argument("ident")
    @click.option("--all", "everything", is_flag=True, help="Fold nothing, however long the call was.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
    @click.option("--svg", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the call there.")
    @click.option("--pcap", type=click.Path(dir_okay=False, path_type=Path), help="Write its recording for Wireshark.")
    @click.option("--recording", type=click.Path(dir_okay=False, path_type=Path), help="Write its recording as it is.")
    @click.pass_context
    def trace(
        context: click.Context,
        ident: str,
        everything: bool,
        as_json: bool,
        picture: Path | None,
        pcap: Path | None,
        recording: Path | None,
    ) -> None:
        """Show how a fax's calls went, or one call (IDENT: fax, job, attempt or received fax, or its beginning).

        --svg, --pcap and --recording take the newest call of a fax that is over.
        """
        control = control_of(context)
        found = run(control.find(ident))
        call = ident if ident.lower().startswith("att") else ""
        traced = show.calls_of(found, call)
        if picture is None and pcap is None and recording is None:
            limit = None if everything else MAX_ENTRIES
            answer = {"calls": [one.as_json() for one in traced]}
            click.echo(json.dumps(answer, indent=2) if as_json else show.trace(found, call, limit))
            return
        if not traced:
            raise click.ClickException(f"{ident} has had no call yet.")
        newest = next((one for one in reversed(traced) if one.ladder.entries), traced[-1])
        if picture is not None:
            _write(picture, svg(newest.ladder, newest.title, newest.verdict, newest.far_end).encode())
        for file, form in ((pcap, "pcap"), (recording, "recording")):
            if file is not None:
                _write(file, run(control.recording(newest.id, form)))

    @main.command()
    @click.argument("number")
    @click.pass_context
    def record(context: click.Context, number: str) -> None:
        """Record the next call to or from NUMBER, whatever the settings say; see `trace --pcap`."""
        click.echo(run(control_of(context).record(number, getpass.getuser())))


async def _follow(control: Control, *, full: bool, as_json: bool) -> None:
    """Show the calls again and again."""
    clears = sys.stdout.isatty() and not as_json
    while True:
        answer = await control.calls()
        text = json.dumps(answer) if as_json else show.calls(answer, full=full)
        click.echo(f"{_CLEAR if clears else ''}{text}")
        await asyncio.sleep(FOLLOW_EVERY)


def _write(file: Path, octets: bytes) -> None:
    if str(file) == "-":
        sys.stdout.buffer.write(octets)
    else:
        file.write_bytes(octets)
