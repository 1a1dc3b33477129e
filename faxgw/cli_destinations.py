"""The operator's commands on destinations: `faxgw explain` and `faxgw destinations`."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any  # JSON

import click

from faxgw.client import Control
from faxgw.fax import explain as words

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a command's work; an error becomes one line."""
Connect = Callable[[click.Context], Control]
"""The gateway of a command."""


def register(group: click.Group, connect: Connect, run: Run) -> None:
    """Add the commands to a group."""

    @group.command()
    @click.argument("number")
    @click.option("--customer", default="", help="Customer who would send; default: the first.")
    @click.option("--sender", default="", help="User of that customer, or the mail address of a sender.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
    @click.pass_context
    def explain(context: click.Context, number: str, customer: str, sender: str, as_json: bool) -> None:
        """Say what the next call to NUMBER will do and why, without dialling it."""
        found = run(connect(context).explain(number, customer, sender))
        click.echo(json.dumps(found, indent=2) if as_json else words.explain(found, when))

    @group.command()
    @click.argument("number", required=False, default="")
    @click.option("--forget", is_flag=True, help="Forget what was learned of NUMBER.")
    @click.option("--limit", default=50, show_default=True, help="Lines at most.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
    @click.pass_context
    def destinations(context: click.Context, number: str, forget: bool, limit: int, as_json: bool) -> None:
        """List what was learned of the numbers called, those called last first, or all that is known of NUMBER."""
        if forget:
            if not number:
                raise click.UsageError("--forget needs NUMBER.")
            click.echo(f"{run(connect(context).forget(number, getpass.getuser()))} is forgotten")
            return
        found = run(connect(context).destinations(number, limit))
        if as_json:
            click.echo(json.dumps(found, indent=2))
        elif number:
            click.echo(
                "\n".join([found["destinations"][0]["e164"], *words.known(found["destinations"][0]["calls"], when)])
            )
        else:
            click.echo(words.overview(found, when))


def when(at: float) -> str:
    """A time in the zone of this machine."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%d.%m.%Y %H:%M%z")
