"""Where directories come from: a watched folder, HTTPS, LDAP. What is in them is not understood here.

LDAP is asked by OpenLDAP's own `ldapsearch` in a process of its own: the protocol is parsed outside the daemon, by the
library that Debian keeps up to date, and a server that hangs is killed with it. An answer that is not complete is an
error, for whoever is missing in it would be ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from faxgw.fax.errors import FaxError
from faxgw.formats.directory_csv import MAX_OCTETS, MAX_ROWS, Entry
from faxgw.formats.ldif import read_ldif
from faxgw.intake.directory_settings import DirectorySettings, LdapSection
from faxgw.settings import Secret

FETCH_S = 120.0
"""Seconds for one answer."""
SETTLED_S = 10.0
"""Seconds for which a file must not have changed before it is taken: it may still be written."""
MAX_FILES = 100
"""Files that are looked at in one look."""
PAGE = 500
"""Entries of one LDAP page (RFC 2696); Active Directory gives no more than 1,000."""
_JOINED = frozenset({"recipients", "reply-to", "reply-cc"})
"""Columns that may have several values."""

_CUT = "The directory did not answer completely: its limits of size or time are too narrow for this search."
_LDAP_FAULTS = {
    3: _CUT,
    4: _CUT,
    11: _CUT,
    32: "The directory has nothing at the base of the search, or does not show it to us.",
    49: "The directory refused the name or the password.",
    50: "The directory does not let us search there.",
    255: "The directory could not be reached, or is not trusted.",
}
"""Result codes (RFC 4511 appendix A), which ldapsearch ends with; 255: no connection."""

log = logging.getLogger(__name__)


class Unreachable(FaxError):
    """The directory could not be had; nothing is changed."""

    default_public = "The directory could not be fetched."


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file in a watched folder."""

    path: Path
    octets: bytes


@dataclass(slots=True)
class Seen:
    """What an HTTPS server said of the last answer that was taken, for the next request (RFC 9110 section 13)."""

    etag: str = ""
    modified: str = ""


def take_files(folder: Path, now: float) -> Sequence[Dropped]:
    """The files of a watched folder that are complete, oldest first; blocking.

    Only plain files, never links; what changed within SETTLED_S waits for the next look.

    Raises:
        Unreachable: If the folder cannot be read.
    """
    found: list[tuple[float, Dropped]] = []
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(".csv"))[:MAX_FILES]
        for name in names:
            path = folder / name
            with contextlib.suppress(FileNotFoundError):
                if (taken := _settled(path, now)) is not None:
                    found.append((taken[0], Dropped(path, taken[1])))
    except OSError as exc:
        raise Unreachable(f"{folder}: {exc}", public="The directory's folder cannot be read.") from exc
    return [dropped for _modified, dropped in sorted(found, key=lambda item: (item[0], item[1].path))]


def _settled(path: Path, now: float) -> tuple[float, bytes] | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        log.warning("file not taken", extra={"event": "directory.skipped", "why": exc.strerror})
        return None
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode) or now - facts.st_mtime < SETTLED_S:
        os.close(fd)
        return None
    with os.fdopen(fd, "rb") as file:
        return facts.st_mtime, file.read(MAX_OCTETS + 1)


def put_away(path: Path, place: str, now: float) -> None:
    """Move a file that was dealt with to a folder beside it; blocking.

    Args:
        path: The file.
        place: `done` or `refused`.
        now: Unix seconds, part of the new name, so that a name may be used again.
    """
    folder = path.parent / place
    folder.mkdir(mode=0o750, exist_ok=True)
    path.rename(folder / f"{path.stem}.{int(now)}{path.suffix}")


async def fetch(settings: DirectorySettings, seen: Seen) -> bytes | None:
    """The CSV behind `url`; None when it has not changed since `seen`.

    Raises:
        Unreachable: If it cannot be had whole.
    """
    headers = {"If-None-Match": seen.etag} if seen.etag else {}
    headers |= {"If-Modified-Since": seen.modified} if seen.modified else {}
    if settings.login and settings.password is not None:
        headers["Authorization"] = aiohttp.encode_basic_auth(settings.login, settings.password.reveal(), "utf-8")
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    timeout = aiohttp.ClientTimeout(total=FETCH_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(str(settings.url), headers=headers, ssl=context, allow_redirects=False) as answer,
        ):
            if answer.status == 304:
                return None
            if answer.status != 200:
                raise Unreachable(public=f"The directory's server answered with {answer.status}.")
            octets = bytearray()
            async for chunk in answer.content.iter_chunked(65_536):
                octets += chunk
                if len(octets) > MAX_OCTETS:
                    raise Unreachable(public=f"The directory is larger than {MAX_OCTETS} octets.")
            seen.etag, seen.modified = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
            return bytes(octets)
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        raise Unreachable(str(exc), public="The directory's server could not be reached, or is not trusted.") from exc


async def search(settings: DirectorySettings, ldap: LdapSection) -> Sequence[Entry]:
    """All entries that an LDAP directory gives.

    Raises:
        Unreachable: If it did not answer completely.
        Refused: If the answer cannot be read.
    """
    text = await _ldapsearch(ldap, settings.ca_file)
    entries: list[Entry] = []
    for number, record in enumerate(read_ldif(text), 1):
        if number > MAX_ROWS:
            raise Unreachable(public=f"The directory has more than {MAX_ROWS} entries.")
        values = {column: record.get(name.lower(), ()) for column, name in ldap.attributes.items()}
        entries.append(Entry(number, {c: ",".join(v) if c in _JOINED else "".join(v[:1]) for c, v in values.items()}))
    return entries


async def _ldapsearch(ldap: LdapSection, ca_file: Path | None) -> str:
    names = sorted(set(ldap.attributes.values()))
    command = ["ldapsearch", "-LLL", "-x", "-H", ldap.url, "-b", ldap.base, "-o", "ldif-wrap=no", "-o", "nettimeout=30"]
    command += ["-E", f"pr={PAGE}/noprompt", "-l", str(int(FETCH_S))]
    command += ["-ZZ"] if ldap.start_tls and ldap.url.startswith("ldap:") else []
    with _secret(ldap.password) as secret:
        if secret is not None:
            command += ["-D", ldap.bind, "-y", f"/proc/self/fd/{secret}"]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                ldap.filter,
                *names,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=() if secret is None else (secret,),
                env=_environment(ca_file),
            )
        except OSError as exc:
            raise Unreachable(str(exc), public="ldapsearch (Debian: ldap-utils) is not installed.") from exc
        return await _answer(process)


async def _answer(process: asyncio.subprocess.Process) -> str:
    """What a search printed, whole. Raises Unreachable."""
    assert process.stdout is not None and process.stderr is not None  # both were asked for
    errors = asyncio.create_task(process.stderr.read(2_000), name="ldapsearch errors")
    octets = bytearray()
    try:
        async with asyncio.timeout(FETCH_S):
            while chunk := await process.stdout.read(65_536):
                octets += chunk
                if len(octets) > MAX_OCTETS:
                    raise Unreachable(public=f"The directory is larger than {MAX_OCTETS} octets.")
            status, said = await process.wait(), await errors
    except TimeoutError as exc:
        raise Unreachable("ldapsearch: timeout", public="The directory did not answer in time.") from exc
    finally:
        errors.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status != 0:
        raise Unreachable(
            f"ldapsearch {status}: {said.decode(errors='replace')[:500]}",
            public=_LDAP_FAULTS.get(status, "The directory could not be asked, or is not trusted."),
        )
    return octets.decode(errors="replace")


def _environment(ca_file: Path | None) -> Mapping[str, str]:
    """Nothing of our own environment or of the machine's LDAP settings but the certificates to trust."""
    trusted = {"LDAPTLS_CACERT": str(ca_file)} if ca_file else {"LDAPTLS_CACERT": "/etc/ssl/certs/ca-certificates.crt"}
    return {"PATH": "/usr/bin:/bin", "LDAPCONF": "/dev/null", "LDAPTLS_REQCERT": "demand", **trusted}


@contextlib.contextmanager
def _secret(password: Secret | None) -> Iterator[int | None]:
    """A descriptor that a password can be read from: it must not stand in the list of processes."""
    if password is None:
        yield None
        return
    fd = os.memfd_create("password")
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, password.reveal().encode())
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
