"""The operator's commands. Each prints a few lines for people, or JSON with `--json`; exit codes: 0 done, 1 not done,
2 wrong use.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import mimetypes
import os
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from pathlib import Path
from typing import Any, TypeVar  # JSON

import click
from argon2 import PasswordHasher

from faxgw import (
    __version__,
    cli_accounts,
    cli_calls,
    cli_destinations,
    cli_keeping,
    cli_papers,
    cli_preview,
    cli_routing,
    cli_store,
    cli_templates,
    show,
)
from faxgw.client import Control, NotRunning
from faxgw.document.types import PageSettings
from faxgw.fax.account import SETTINGS
from faxgw.fax.errors import FaxError
from faxgw.settings import Settings, load

T = TypeVar("T")

CONFIG = Path("/etc/faxgw/faxgw.toml")
"""The settings file unless --config or FAXGW_CONFIG says otherwise."""
PROGRESS_EVERY = 0.5
"""Seconds between looks of `send --wait`."""


class Unusable(click.ClickException):
    """The settings must be mended first; starting again would not help."""

    exit_code = 2


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; a FaxError becomes one line and exit code 1."""
    try:
        return asyncio.run(work)
    except NotRunning as exc:
        raise click.ClickException(f"{exc.public} Start one with: faxgw run") from exc
    except FaxError as exc:
        raise click.ClickException(exc.public) from exc


def _load(path: Path) -> Settings:
    from faxgw.tables import SECTIONS

    return load(path if path.exists() else None, SECTIONS)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    default=CONFIG,
    envvar="FAXGW_CONFIG",
    show_default=True,
    help="The settings file.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Data folder of the gateway to talk to.")
@click.pass_context
def main(context: click.Context, config: Path, data: Path | None) -> None:
    """Faxgw: a fax gateway. Mail in, a SIP/T.38 call out, the truth back to the sender."""
    context.obj = {"config": config, "data": data}


def _control(context: click.Context) -> Control:
    return Control(_data(context))


def _data(context: click.Context) -> Path:
    """The data folder: --data, FAXGW_DATA, or the settings' own."""
    data = context.obj["data"] or os.environ.get("FAXGW_DATA")
    if data is None:
        from faxgw.tables import NodeSettings

        data = _load(context.obj["config"]).one("node", NodeSettings).data
    return Path(data)


def _database(context: click.Context) -> str:
    """URL of the database."""
    from faxgw.store.location import DatabaseSection

    return _load(context.obj["config"]).one("database", DatabaseSection).location(_data(context))


def _pages(context: click.Context) -> tuple[PageSettings, Mapping[str, Any]]:
    """The page processes and the system level of the account settings."""
    from faxgw.store.seed import AccountSection
    from faxgw.tables import PagesSection

    settings = _load(context.obj["config"])
    return settings.one("pages", PagesSection).client_settings(), settings.one("settings", AccountSection).values


cli_store.register(main, _data, _database)
cli_destinations.register(main, _control, _run)
cli_keeping.register(main, _control, _run)
cli_calls.register(main, _control, _run)
cli_accounts.register(main, _control, _run)
cli_preview.register(main, _pages, _run, lambda context: _control(context))
cli_templates.register(main, _control, _run)
cli_papers.register(main, _control, _run)


# ------------------------------------------------------------------------------------------------------- serving


@main.command()
@click.option("--demo", is_flag=True, help="A complete gateway with a simulated far end, all on this machine.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("var/demo"), help="Folder of the demo.")
@click.pass_context
def run(context: click.Context, demo: bool, folder: Path) -> None:
    """Run the gateway until it is told to stop (SIGTERM, Ctrl-C)."""
    if demo:
        from faxgw.showcase import run_demo

        sys.exit(_run(run_demo(folder.resolve())))
    path = context.obj["config"]
    if not path.exists():
        raise Unusable(f"There is no settings file {path}. Try: faxgw run --demo")
    from faxgw.service import serve

    sys.exit(_run(serve(path, _checked(path))))


def _checked(path: Path) -> Settings:
    from faxgw.tables import cross_check

    settings = _load(path)
    faults = [str(f) for f in settings.faults] or cross_check(settings)
    if faults:
        raise Unusable("The settings are faulty:\n" + "\n".join(f"  {f}" for f in faults))
    return settings


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Look at settings, tools, disk and line; name all faults at once."""
    from faxgw.check import run_checks

    findings = _run(run_checks(context.obj["config"]))
    if as_json:
        click.echo(json.dumps([f.as_json() for f in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok   ' if finding.ok else 'FAULT'}  {finding.what}: {finding.text}")
    sys.exit(0 if all(f.ok for f in findings) else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep everything in this folder.")
@click.option("--pages-socket", type=click.Path(path_type=Path), help="Use the page service that listens there.")
def selftest(as_json: bool, keep: Path | None, pages_socket: Path | None) -> None:
    """Send a fax to itself: SMTP, pages, SIP and T.38 for real, compared pixel by pixel."""
    from faxgw.selftest import run_selftest

    result = _run(run_selftest(keep.resolve() if keep else None, None if as_json else click.echo, pages_socket))
    click.echo(json.dumps(result) if as_json else "passed" if result["ok"] else f"FAILED: {result['why']}")
    sys.exit(0 if result["ok"] else 1)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulator(arguments: Sequence[str]) -> None:
    """Run the park of simulated fax machines (its own --help lists the numbers)."""
    os.execv(sys.executable, [sys.executable, "-m", "faxgw.simulator", *arguments])


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def pages(arguments: Sequence[str]) -> None:
    """Run the page processes as a service of their own (--listen PATH, or a socket of the service manager)."""
    os.execv(sys.executable, [sys.executable, "-P", "-B", "-m", "faxgw.document.service", *arguments])


@main.command()
def password() -> None:
    """Ask for a password and print its hash for the settings file."""
    text = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not text:
        raise click.ClickException("An empty password is none.")
    click.echo(PasswordHasher().hash(text))


@main.command()
@click.option("--keys", is_flag=True, help="List the account settings instead (customer, profile, user).")
@click.option("--account", default="", help="Show what is in force for a CUSTOMER or CUSTOMER/USER instead.")
@click.pass_context
def settings(context: click.Context, keys: bool, account: str) -> None:
    """Show every setting in force and where it comes from; secrets are masked."""
    if account:
        for key, found in _run(_control(context).settings(account)).items():
            click.echo(f"{key:22} {found['value']!r:40} {found['origin']}")
        return
    if keys:
        for setting in SETTINGS.values():
            click.echo(f"{setting.key:22} {setting.default!r:28} {setting.doc}")
        return
    from faxgw.settings import effective

    for value in effective(_load(context.obj["config"])):
        click.echo(f"{value.key} = {value.value}    # {value.origin}")


# --------------------------------------------------------------------------------------------------------- faxes


@main.command()
@click.argument("number")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "more", multiple=True, help="Further numbers.")
@click.option("--customer", default="", help="Customer who sends; default: the first.")
@click.option("--user", default="", help="User of that customer.")
@click.option("--from", "sender", default="", help="Address that gets the status mail.")
@click.option("--subject", default="", help="Subject, for the status mail.")
@click.option("--wait/--no-wait", default=True, help="Show progress until the fax is sent or given up.")
@click.option("--server", default="", envvar="FAXGW_SERVER", help="A gateway elsewhere: https://fax.example.org.")
@click.option("--token", default="", envvar="FAXGW_TOKEN", help="API token for it; better in FAXGW_TOKEN.")
@click.pass_context
def send(
    context: click.Context,
    number: str,
    files: Sequence[Path],
    more: Sequence[str],
    customer: str,
    user: str,
    sender: str,
    subject: str,
    wait: bool,
    server: str,
    token: str,
) -> None:
    """Send FILES as one fax to NUMBER, by the gateway of this machine or by that of --server."""
    if server:
        from faxgw import cli_remote

        try:
            sys.exit(cli_remote.send(server, token, [number, *more], files, subject=subject, wait=wait))
        except FaxError as exc:
            raise click.ClickException(exc.public) from exc
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = subject or files[0].name
    mail["Message-ID"] = make_msgid(domain="faxgw.local")
    mail.set_content("")
    mail.make_mixed()
    mail.set_payload([])
    for file in files:
        kind = (mimetypes.guess_type(file.name)[0] or "application/octet-stream").split("/")
        mail.add_attachment(file.read_bytes(), maintype=kind[0], subtype=kind[1], filename=file.name)
    query = {"customer": customer, "user": user, "from": sender}
    facts = {"message_id": str(mail["Message-ID"]), "subject": subject}
    sys.exit(_run(_send(_control(context), mail.as_bytes(), [number, *more], query | facts, wait)))


async def _send(control: Control, mail: bytes, numbers: Sequence[str], query: dict[str, str], wait: bool) -> int:
    receipt = await control.send(mail, numbers, **query)
    if receipt["duplicate_of"]:
        click.echo(f"This was accepted before as {receipt['duplicate_of']}; it is not sent again.")
        return 0
    click.echo(f"accepted as {receipt['message']}")
    if not wait:
        return 0
    shown = ""
    while True:
        found = await control.find(receipt["message"])
        calls = (await control.status())["calls"]
        line = show.progress(found, calls, time.time())
        if line != shown:
            click.echo(line)
            shown = line
        if (final := show.final(found)) is not None:
            click.echo(show.detail(found))
            return 0 if final else 1
        await asyncio.sleep(PROGRESS_EVERY)


@main.command()
@click.option("--all", "final", is_flag=True, help="Finished ones too.")
@click.option("--limit", default=50, show_default=True, help="Lines at most.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def queue(context: click.Context, final: bool, limit: int, as_json: bool) -> None:
    """List faxes that wait or are being sent."""
    faxes = _run(_control(context).faxes(limit=limit, final=final))
    click.echo(json.dumps(list(faxes), indent=2) if as_json else show.table(faxes, time.time()))


@main.group(invoke_without_command=True)
@click.option("--all", "everything", is_flag=True, help="Calls that brought no page, too.")
@click.option("--limit", default=50, show_default=True, help="Lines at most.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def inbox(context: click.Context, everything: bool, limit: int, as_json: bool) -> None:
    """List received faxes, newest first."""
    if context.invoked_subcommand is not None:
        return
    found = _run(_control(context).receptions(limit=limit, everything=everything))
    click.echo(json.dumps(list(found), indent=2) if as_json else show.inbox(found, time.time()))


cli_routing.register(main, inbox, _control, _run)


@main.command()
@click.argument("ident")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def fetch(context: click.Context, ident: str, file: Path) -> None:
    """Write the PDF of the received fax IDENT to FILE (- for standard output)."""
    octets = _run(_control(context).document(ident))
    if str(file) == "-":
        sys.stdout.buffer.write(octets)
    else:
        file.write_bytes(octets)


@main.command()
@click.pass_context
def status(context: click.Context) -> None:
    """Show listeners, trunks, calls in progress and counts."""
    click.echo(show.status(_run(_control(context).status()), time.time()))


@main.command("show")
@click.argument("ident")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def show_(context: click.Context, ident: str, as_json: bool) -> None:
    """Show a fax, job or message with its attempts, or a received fax (IDENT: an id or its beginning)."""
    found = _run(_control(context).find(ident))
    click.echo(json.dumps(found, indent=2) if as_json else show.detail(found))


def _wish(context: click.Context, ident: str, verb: str) -> None:
    for fax, result in _run(_control(context).wish(ident, verb, getpass.getuser())).items():
        click.echo(f"{fax}: {result}")


@main.command()
@click.argument("ident", required=False)
@click.option("--restored", is_flag=True, help="All faxes that a restored backup holds.")
@click.pass_context
def cancel(context: click.Context, ident: str | None, restored: bool) -> None:
    """Cancel a fax, or all faxes of a job."""
    if _one_of(ident, restored):
        _wish(context, str(ident), "cancel")
    else:
        click.echo(_run(cli_store.cancel_restored(_control(context))))


def _one_of(ident: str | None, restored: bool) -> bool:
    """Whether IDENT was given; it or --restored must be."""
    if (ident is not None) == restored:
        raise click.UsageError("Give either IDENT or --restored.")
    return ident is not None


@main.command()
@click.argument("ident")
@click.pass_context
def hold(context: click.Context, ident: str) -> None:
    """Hold a fax, or all faxes of a job, until released."""
    _wish(context, ident, "hold")


@main.command()
@click.argument("ident", required=False)
@click.option("--restored", is_flag=True, help="Everything that a restored backup holds.")
@click.option("--reports/--no-reports", default=True, help="With --restored: send the reports that sleep, or none.")
@click.pass_context
def release(context: click.Context, ident: str | None, restored: bool, reports: bool) -> None:
    """Let a held fax go on."""
    if _one_of(ident, restored):
        _wish(context, str(ident), "release")
    else:
        click.echo(_run(cli_store.release_restored(_control(context), reports=reports)))


@main.command()
@click.pass_context
def clock(context: click.Context) -> None:
    """Say that the machine's clock is right after a jump: expiry and purge go on."""
    _run(_control(context).confirm_clock(getpass.getuser()))
    click.echo("noted")
