"""What `faxgw check` says of the ways in: ports, certificates, SSH host keys, passive ports of FTP, watched folders."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import socket
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from faxgw.intake.folder_settings import FolderSettings
from faxgw.intake.ftp_settings import FtpSettings
from faxgw.intake.sftp import HOST_KEYS, MAX_HOST_KEY, read_host_key
from faxgw.intake.sftp_settings import SftpSettings
from faxgw.intake.smtp_limits import connections_within
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.line.trunk import SipSettings
from faxgw.parts import files
from faxgw.settings import Listener, Settings, Tls
from faxgw.store.login_keys import shown
from faxgw.tables import NodeSettings
from faxgw.webserver import WebSettings

DAY_S = 86_400.0
SOON_DAYS = 14
"""Days before its end from which on a certificate is a fault: whoever renews it by machine has done so by then."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    text: str

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {"what": self.what, "ok": self.ok, "text": self.text}


def look_at_ports(settings: Settings) -> Sequence[Finding]:
    """Whether every address can be bound; blocking, and only while the gateway does not run."""
    found = [_port(name, listener, kind) for name, listener, kind in _listeners(settings)]
    ftp = settings.maybe("ftp", FtpSettings)
    if ftp is not None:
        hosts = dict.fromkeys(entry.listen.host for entry in ftp.listeners)
        found += [_passive(host, ftp.ports) for host in hosts]
    return found


def look_at_files(settings: Settings, now: float) -> Sequence[Finding]:
    """Certificates, host keys and watched folders; blocking.

    Args:
        settings: Without faults.
        now: Unix seconds.
    """
    found = [_certificate(name, tls, now) for name, tls in _certificates(settings)]
    if settings.maybe("sftp", SftpSettings) is not None:
        folder = settings.one("node", NodeSettings).data / files.HOST_KEYS
        found += [_host_key(folder / name) for name in HOST_KEYS]
    return [*found, *(_watched(one) for one in settings.many("folder", FolderSettings))]


def look_at_connections(settings: Settings) -> Finding:
    """Whether the mail processes may have a descriptor for every connection, as far as this shell's limits tell."""
    smtp, what = settings.one("smtp", SmtpSettings), "smtp connections"
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not smtp.processes or hard == resource.RLIM_INFINITY:
        return Finding(what, True, f"{smtp.connection_limit} at a time")
    most = min(smtp.connection_limit, smtp.processes * connections_within(hard))
    if most == smtp.connection_limit:
        return Finding(what, True, f"{most} at a time")
    return Finding(
        what,
        False,
        f"{most} at a time, not {smtp.connection_limit}: only {hard} files may be open here (ulimit -H -n); "
        "raise that (LimitNOFILE= of the unit), or lower connection_limit",
    )


def _listeners(settings: Settings) -> Iterator[tuple[str, Listener, socket.SocketKind]]:
    for entry in settings.one("smtp", SmtpSettings).listeners:
        yield f"smtp {entry.name}", entry.listen, socket.SOCK_STREAM
    yield "http", settings.one("http", WebSettings).listen, socket.SOCK_STREAM
    sip = settings.one("sip", SipSettings)
    yield "sip", sip.listen, socket.SOCK_DGRAM
    for name, listener in (("sip tcp", sip.listen_tcp), ("sip tls", sip.listen_tls)):
        if listener is not None:
            yield name, listener, socket.SOCK_STREAM
    sftp, ftp = settings.maybe("sftp", SftpSettings), settings.maybe("ftp", FtpSettings)
    for number, listener in enumerate(() if sftp is None else sftp.listen):
        yield "sftp" + (f" {number + 1}" if number else ""), listener, socket.SOCK_STREAM
    for number, one in enumerate(() if ftp is None else ftp.listeners):
        yield "ftp" + (f" {number + 1}" if number else ""), one.listen, socket.SOCK_STREAM


def _certificates(settings: Settings) -> Iterator[tuple[str, Tls]]:
    ftp = settings.maybe("ftp", FtpSettings)
    tables = {
        "smtp": settings.one("smtp", SmtpSettings).tls,
        "http": settings.one("http", WebSettings).tls,
        "sip": settings.one("sip", SipSettings).tls,
        "ftp": None if ftp is None else ftp.tls,
    }
    for name, tls in tables.items():
        if tls is not None:
            yield name, tls


def _port(name: str, listener: Listener, kind: socket.SocketKind) -> Finding:
    why = _bind_fault(listener.host, listener.port, kind)
    if why is not None:
        return Finding(f"port {name}", False, f"{listener}: {why}")
    return Finding(f"port {name}", True, str(listener))


def _bind_fault(host: str, port: int, kind: socket.SocketKind) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            hint = {
                errno.EADDRINUSE: ": another program uses it",
                errno.EACCES: ": ports below 1024 need CAP_NET_BIND_SERVICE",
                errno.EADDRNOTAVAIL: ": this machine has no such address",
            }.get(exc.errno or 0, "")
            return f"{exc.strerror}{hint}"
    return None


def _passive(host: str, ports: range) -> Finding:
    """One that is free is enough for one transfer; how many are, is said."""
    what, span = "ftp passive ports", f"{host} {ports[0]}-{ports[-1]}"
    faults = [why for port in ports if (why := _bind_fault(host, port, socket.SOCK_STREAM)) is not None]
    free = len(ports) - len(faults)
    if not free:
        return Finding(what, False, f"{span}: none can be used; {faults[0]}")
    return Finding(what, True, f"{span}: {free} of {len(ports)} are free; the firewall has to let them in")


def _certificate(name: str, tls: Tls, now: float) -> Finding:
    """That the files can be read and belong together was found out with the settings."""
    what = f"certificate {name}"
    try:
        leaf = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
    except (OSError, ValueError) as exc:
        return Finding(what, False, f"{tls.certificate}: {exc}")
    begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    until = f"{leaf.not_valid_after_utc:%Y-%m-%d}"
    if now < begins:
        return Finding(what, False, f"{tls.certificate}: not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
    if now >= ends:
        return Finding(what, False, f"{tls.certificate}: ended on {until}; renew it")
    days = int((ends - now) / DAY_S)
    if days < SOON_DAYS:
        return Finding(what, False, f"{tls.certificate}: ends on {until}, in {days} days; renew it")
    return Finding(what, True, f"{tls.certificate}, until {until}")


def _host_key(path: Path) -> Finding:
    what = f"host key {path.name}"
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return Finding(what, True, f"{path} is made at the first start")
    except OSError as exc:
        return Finding(what, False, f"{path}: {exc.strerror}")
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        return Finding(what, False, f"{path} is no plain file of one name; it would be written over")
    try:
        with path.open("rb") as file:
            pair = read_host_key(path.name, file.read(MAX_HOST_KEY))
    except OSError as exc:
        return Finding(what, False, f"{path}: {exc.strerror}")
    if facts.st_mode & 0o077:
        return Finding(what, False, f"{path} is not its owner's alone: chmod 600")
    return Finding(what, True, shown(hashlib.sha256(pair.public_data).hexdigest()))


def _watched(folder: FolderSettings) -> Finding:
    what, path = f"folder {folder.name}", folder.path
    if not path.is_dir():
        return Finding(what, False, f"{path} is no folder; make it, or mount it")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding(what, False, f"{path} cannot be written by this user")
    return Finding(what, True, str(path))
