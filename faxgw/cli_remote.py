"""`faxgw send --server`: send by the native API of a gateway elsewhere, as any program would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from faxgw.api.v1.fax_models import Fax
from faxgw.sdk import Client


def send(server: str, token: str, numbers: Sequence[str], files: Sequence[Path], *, subject: str, wait: bool) -> int:
    """Send files as one fax to each number, and show how they fare.

    Args:
        server: Address of the gateway.
        token: API token.
        numbers: To whom.
        files: The documents, in order.
        subject: For people.
        wait: Until every fax is final.

    Returns:
        0: accepted, or with `wait` all sent; 1: not all were sent.

    Raises:
        FaxError: If the gateway refuses or does not answer.
    """
    with Client(server, token=token) as client:
        accepted = client.send(list(numbers), list(files), subject=subject or files[0].name)
        click.echo(f"accepted as {accepted.job}")
        for one in accepted.faxes:
            if one.state == "failed":
                click.echo(f"{one.number}: {one.detail}")
        if not wait:
            return 0
        faxes = client.wait(accepted.job)
    for fax in faxes:
        click.echo(_line(fax))
    return 0 if all(fax.state == "sent" for fax in faxes) else 1


def _line(fax: Fax) -> str:
    pages = f"{fax.pages_confirmed} of {fax.pages or 0} pages"
    return f"{fax.id}  {fax.number or fax.number_typed}  {fax.state}, {pages}  {fax.detail}".rstrip()
