"""Received faxes to a customer's SFTP server (docs/deliveries.md).

The server's host key is pinned by fingerprint: a target names the keys that it may have, and another one ends the try
before anything is said, with an alarm. Login by key or password, by no agent and no file of this machine. Each file is
written under another name, checked, and renamed over whatever has the name (posix-rename@openssh.com where the server
has it).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import posixpath
import re
from collections.abc import Callable

import asyncssh
from asyncssh.asn1 import ASN1DecodeError, der_decode
from asyncssh.packet import PacketDecodeError, SSHPacket

from faxgw.delivery.received import Consignment, Undelivered, lay
from faxgw.egress import Egress

PORT = 22
CONNECT_S = 20.0
"""Seconds until a connection stands."""
LOGIN_S = 30.0
"""Seconds for key exchange and login."""
STEP_S = 60.0
"""Seconds for one answer of the server's, or one piece that it takes."""
PIECE = 30 * 1024
"""Octets of one request to write; every server takes 32 KiB (SFTP version 3 section 3)."""
AHEAD = 16
"""Requests to write that are under way at once."""
PART = ".part"
"""Ending of files that are being written."""
MAX_ROUNDS = 1_000_000
"""Rounds of deriving a key from its passphrase: PBKDF2's of PKCS #8 (OpenSSL takes 2,048); some 0.3 s."""
MAX_BCRYPT = 256
"""The same of OpenSSH's own format, whose rounds are dearer (`ssh-keygen -a`, 16 or 24 by itself); some 4 s."""

log = logging.getLogger(__name__)


class SftpWay:
    """Lays files down.

    Args:
        egress: Who may be reached.
        alarm: Told of a target whose server has another host key, and with an empty text when it has the right one.
    """

    def __init__(self, egress: Egress, alarm: Callable[[str, str], None] = lambda target, text: None) -> None:
        self._egress = egress
        self._alarm = alarm

    async def deliver(self, consignment: Consignment) -> str:
        """See `received.Way`."""
        target = consignment.target
        host, port = host_and_port(target.address, PORT)
        pins = frozenset(target.params.get("host_key", "").replace("=", "").split())
        seen: list[str] = []
        keys = await asyncio.to_thread(_keys, consignment)
        try:
            connected = await self._egress.connect(host, port, within=CONNECT_S)
            async with asyncio.timeout(CONNECT_S + LOGIN_S):
                connection = await asyncssh.connect(
                    host,
                    port,
                    sock=connected,
                    config=None,
                    client_factory=lambda: _Pinned(pins, seen),
                    known_hosts=([], [], []),
                    username=target.params.get("user", ""),
                    password=consignment.secrets.get("password"),
                    client_keys=keys,
                    agent_path=None,
                    preferred_auth="publickey,password,keyboard-interactive",
                    login_timeout=LOGIN_S,
                    keepalive_interval=15,
                    gss_host=None,
                    client_version="faxgw",
                )
            self._alarm(target.name, "")
            told = await self._lay(connection, consignment)
        except asyncssh.HostKeyNotVerifiable as exc:
            found = ", ".join(seen) or "unknown"
            self._alarm(target.name, f"another host key, {found}")
            log.error("host key changed", extra={"event": "delivery.host_key", "target": target.name, "key": found})
            raise Undelivered(f"the server has another host key than the target names: {found}") from exc
        except asyncssh.PermissionDenied as exc:
            raise Undelivered(f"the server takes neither key nor password of {target.params.get('user', '')}") from exc
        except asyncssh.SFTPError as exc:
            raise Undelivered(f"the server refuses: {exc.reason or type(exc).__name__}") from exc
        except asyncssh.Error as exc:
            raise Undelivered(f"SSH: {exc.reason or type(exc).__name__}") from exc
        return told

    async def _lay(self, connection: asyncssh.SSHClientConnection, consignment: Consignment) -> str:
        """Put the files there. A conversation that failed is cut off: no goodbye waits for a server that is stuck."""
        try:
            async with asyncio.timeout(STEP_S):
                client = await connection.start_sftp_client()
            folder = _Folder(client, consignment.target.params.get("folder", ""), consignment.item)
            told = await lay(folder, consignment)
        finally:
            connection.abort()
        return told


class _Pinned(asyncssh.SSHClient):
    """Takes the server's key if it is one of those that are named."""

    def __init__(self, pins: frozenset[str], seen: list[str]) -> None:
        self._pins = pins
        self._seen = seen

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        fingerprint = key.get_fingerprint()
        self._seen.append(fingerprint)
        return fingerprint.replace("=", "") in self._pins


class _Folder:
    """A folder of the server's."""

    def __init__(self, client: asyncssh.SFTPClient, folder: str, item: str) -> None:
        self._client = client
        self._folder = folder
        self._mark = item[-8:]

    async def size(self, name: str) -> int | None:
        """See `received.Folder`."""
        try:
            async with asyncio.timeout(STEP_S):
                return (await self._client.stat(self._path(name))).size
        except asyncssh.SFTPNoSuchFile:
            return None

    async def read(self, name: str, size: int) -> bytes:
        """See `received.Folder`. A server that lets nobody read has another file there, for all that is known."""
        try:
            async with asyncio.timeout(STEP_S):
                file = await self._client.open(self._path(name), "rb")
                found = await file.read(size)
                await file.close()
        except asyncssh.SFTPPermissionDenied:
            return b""
        return found if isinstance(found, bytes) else b""

    async def put(self, name: str, octets: bytes) -> None:
        """See `received.Folder`."""
        path, partial = self._path(name), self._path(f"{name}.{self._mark}{PART}")
        async with asyncio.timeout(STEP_S):
            file = await self._client.open(partial, "wb", block_size=0)
        for begin in range(0, len(octets), AHEAD * PIECE):
            offsets = range(begin, min(begin + AHEAD * PIECE, len(octets)), PIECE)
            async with asyncio.timeout(STEP_S):
                done = await asyncio.gather(
                    *(file.write(octets[at : at + PIECE], at) for at in offsets), return_exceptions=True
                )
            if fault := next((one for one in done if isinstance(one, BaseException)), None):
                raise fault
        async with asyncio.timeout(STEP_S):
            with contextlib.suppress(asyncssh.SFTPOpUnsupported):
                await file.fsync()
            await file.close()
        size = await self.size(f"{name}.{self._mark}{PART}")
        if size is not None and size != len(octets):
            raise Undelivered(f"the server kept {size} of {len(octets)} octets")
        async with asyncio.timeout(STEP_S):
            await self._rename(partial, path)

    async def _rename(self, partial: str, path: str) -> None:
        try:
            await self._client.posix_rename(partial, path)
        except asyncssh.SFTPOpUnsupported:
            with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                await self._client.remove(path)
            await self._client.rename(partial, path)

    def _path(self, name: str) -> str:
        return posixpath.join(self._folder, name) if self._folder else name


def _keys(consignment: Consignment) -> list[asyncssh.SSHKey]:
    """The target's private key; blocking. Raises Undelivered when it cannot be read."""
    text = consignment.secrets.get("private_key", "")
    if not text:
        return []
    if fault := key_fault(text):
        raise Undelivered(f"the target's private key {fault}")
    try:
        return [asyncssh.import_private_key(text, consignment.secrets.get("passphrase") or None)]
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as exc:
        raise Undelivered("the target's private key cannot be read; is its passphrase right?") from exc


def key_fault(text: str) -> str:
    """Why a private key is not even tried: its passphrase would take minutes, or for ever. Empty: it is."""
    found = _DEAR.search(text)
    if found is None:
        return ""  # in the older forms a passphrase costs nothing; what is no key at all is told so
    try:
        octets = base64.b64decode(found[2])
        dear = (
            _bcrypt_rounds(octets) > MAX_BCRYPT if found[1] == "OPENSSH" else _largest(der_decode(octets)) > MAX_ROUNDS
        )
    except (ValueError, ASN1DecodeError, PacketDecodeError, RecursionError):
        return "cannot be read"
    return f"derives its key in too many rounds (ssh-keygen -a: at most {MAX_BCRYPT})" if dear else ""


_DEAR = re.compile(r"-----BEGIN (OPENSSH|ENCRYPTED) PRIVATE KEY-----(.*?)-----END", re.DOTALL)
_OPENSSH = b"openssh-key-v1\0"


def _bcrypt_rounds(octets: bytes) -> int:
    """Rounds of a key in OpenSSH's own format (OpenSSH PROTOCOL.key); 0: it has no passphrase."""
    packet = SSHPacket(octets.removeprefix(_OPENSSH))
    _cipher, derivation, options = packet.get_string(), packet.get_string(), SSHPacket(packet.get_string())
    if derivation != b"bcrypt":
        return 0
    options.get_string()  # the salt
    return options.get_uint32()


def _largest(value: object) -> int:
    """The largest number in a structure: the rounds are the only one that may be large."""
    if isinstance(value, tuple | list):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int) else 0


def host_and_port(address: str, default: int) -> tuple[str, int]:
    """`host`, `host:port`, `[address]` or `[address]:port`, as targets have been checked."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and (not host.startswith("[") or host.endswith("]")):
        return host.strip("[]"), int(port)
    return address.strip("[]"), default
