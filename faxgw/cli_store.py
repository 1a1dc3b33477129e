"""The operator's commands on a data folder: migrate, backup, restore; and the release of what a restore holds."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from faxgw.fax.errors import FaxError

if TYPE_CHECKING:
    from faxgw.client import Control

T = TypeVar("T")
SHOW_EVERY = 1.0
"""Seconds between two lines of progress."""
DAMAGED_SHOWN = 20
"""Damaged objects that are named."""


def register(
    main: click.Group, data_of: Callable[[click.Context], Path], url_of: Callable[[click.Context], str]
) -> None:
    """Add the commands to the group.

    Args:
        main: The group.
        data_of: The data folder that a call is about.
        url_of: The URL of its database.
    """

    @main.command()
    @click.option("--dry-run", is_flag=True, help="Only show what would be done.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
    @click.pass_context
    def migrate(context: click.Context, dry_run: bool, as_json: bool) -> None:
        """Bring the database of a stopped gateway to this release.

        The gateway does so by itself when it starts; this shows what it would do, or does it beforehand. A copy of the
        database is left beside it.
        """
        result = _tried(lambda: _migrate(data_of(context), url_of(context), dry_run))
        click.echo(json.dumps(result) if as_json else _told(result))

    @main.command()
    @click.argument("target", type=click.Path(path_type=Path))
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
    @click.pass_context
    def backup(context: click.Context, target: Path, as_json: bool) -> None:
        """Back up database and documents to TARGET, a new folder or NAME.tar, while the gateway runs.

        Exit code 1 with a backup made: an object was damaged already; it is named.
        """
        from faxgw.store import backup as backups

        if not url_of(context).startswith("sqlite:"):
            raise click.ClickException("Back PostgreSQL up by its own tools, then copy the folders spool and objects.")
        manifest = _tried(lambda: backups.make(data_of(context), target.absolute(), time.time(), _Shown()))
        if as_json:
            click.echo(json.dumps({"target": str(target), **asdict(manifest)}))
        else:
            click.echo(f"{target}: database, {manifest.objects} objects, {manifest.octets / 2**20:.1f} MiB")
            for key in manifest.damaged[:DAMAGED_SHOWN]:
                click.echo(f"  damaged or missing, not in the backup: {key}", err=True)
        sys.exit(1 if manifest.damaged else 0)

    @main.command()
    @click.argument("source", type=click.Path(exists=True, path_type=Path))
    @click.option("--data", "data", required=True, type=click.Path(path_type=Path), help="The new data folder.")
    @click.option("--verify", "verify_only", is_flag=True, help="Only check the backup.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
    def restore(source: Path, data: Path, verify_only: bool, as_json: bool) -> None:
        """Restore a backup into a new data folder; everything that was open waits for `release --restored`."""
        from faxgw.store import backup as backups

        if verify_only:
            manifest = _tried(lambda: backups.verify(source.absolute(), _Shown()))
            click.echo(json.dumps(asdict(manifest)) if as_json else f"{source} is whole: {manifest.objects} objects")
            return
        done = _tried(lambda: backups.unpack(source.absolute(), data.absolute(), time.time(), _Shown()))
        if as_json:
            click.echo(json.dumps(asdict(done)))
            return
        click.echo(f"{data}: {done.manifest.objects} objects; epoch {done.epoch}")
        click.echo(f"  {done.held} faxes are held, {done.unknown} are in doubt, {done.asleep} reports sleep.")
        click.echo("  Start the gateway on this folder, look at `faxgw queue`, cancel what must not go out again,")
        click.echo("  then: faxgw release --restored")


async def release_restored(control: Control, *, reports: bool) -> str:
    """Release what a restore holds; what to tell the operator."""
    answer = await control.restored("release", getpass.getuser(), reports="1" if reports else "0")
    what = "wake" if reports else "were given up"
    return f"{answer['faxes']} faxes go on, each page marked POSSIBLE DUPLICATE; {answer['items']} reports {what}."


async def cancel_restored(control: Control) -> str:
    """Cancel what a restore holds; what to tell the operator."""
    answer = await control.restored("cancel", getpass.getuser())
    return f"{answer['faxes']} faxes cancelled. Reports sleep until: faxgw release --restored"


def _tried(work: Callable[[], T]) -> T:
    from faxgw.store.errors import FolderLocked

    try:
        return work()
    except FolderLocked as exc:
        raise click.ClickException("The gateway is running on this data folder; stop it first.") from exc
    except FaxError as exc:
        raise click.ClickException(exc.public) from exc


def _migrate(data: Path, url: str, dry_run: bool) -> dict[str, Any]:
    """Look, and migrate unless told not to; Any: JSON."""
    from faxgw.store import migrate as migrations
    from faxgw.store.archive import DATABASE
    from faxgw.store.node import FolderLock

    if url.startswith("sqlite:") and not (data / DATABASE).exists():
        raise FaxError(f"no database in {data}", public=f"There is no database in {data}.")
    with FolderLock(data):
        before = migrations.current(url)
        result: dict[str, Any] = {"from": before, "to": migrations.head(), "backup": None, "done": False}
        if not dry_run:
            done = migrations.upgrade(url)
            result |= {"backup": str(done.backup) if done.backup else None, "done": True}
    return result


def _told(result: dict[str, Any]) -> str:
    if result["from"] == result["to"]:
        return f"The database is at revision {result['to']} already."
    if not result["done"]:
        return f"The database is at revision {result['from']}; it would be brought to {result['to']}."
    kept = f" A copy of it as it was: {result['backup']}" if result["backup"] else ""
    return f"The database was brought from revision {result['from']} to {result['to']}.{kept}"


class _Shown:
    """Progress on standard error, a line a second at most."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SHOW_EVERY

    def __call__(self, what: str, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SHOW_EVERY
            click.echo(f"  {what}: {100 * done // max(1, total)} %", err=True)
