"""The built-in SFTP server: who may connect, by what key or password, and what each sees (docs/sftp.md).

Only what RFC 9142 and its time hold for good is offered: key exchange by curve25519 (with ML-KEM where the client has
it) or groups of 2,048 bits and more with SHA-2; AES-GCM, ChaCha20 and AES-CTR; MACs of SHA-2; host keys Ed25519 and
RSA of 3,072 bits with SHA-2; and strict key exchange (OpenSSH PROTOCOL section 1.10, against Terrapin,
CVE-2023-48795), which asyncssh does with every client that can. No forwarding, no agent, no shell, no command.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any  # keywords of asyncssh

import asyncssh

from faxgw.fax.access import Caller, Denial, Interface, Logins
from faxgw.fax.errors import FaxError
from faxgw.fax.limits import client_of
from faxgw.intake.sftp_session import SftpSession
from faxgw.intake.sftp_settings import SftpSettings
from faxgw.intake.shelf import Shelf
from faxgw.intake.tree import PlaceMaker, Tree
from faxgw.intake.visitors import Visitors
from faxgw.store.errors import StoreError

LOGIN_S = 60.0
"""Seconds from the connection to a login."""
MAX_TRIES = 6
"""Passwords and keys of one connection (OpenSSH MaxAuthTries)."""
MAX_SESSIONS = 4
"""Sessions of one connection at a time."""
MAX_NAME = 320
"""Characters of a login."""
REKEY_OCTETS = 2**30
"""Octets after which keys are exchanged anew (RFC 4253 section 9)."""
KEEPALIVE_S = 60.0
"""Seconds between questions to a silent client; three without an answer end the connection."""
WINDOW = 2**20
"""Octets that a client may send ahead."""
HOST_KEYS = {"ssh_host_ed25519_key": ("ssh-ed25519", 0), "ssh_host_rsa_key": ("ssh-rsa", 3_072)}
"""File → algorithm and bits."""
MIN_RSA_BITS = 2_048
"""Of an RSA key that came from elsewhere (RFC 8332 section 5.2)."""
MAX_HOST_KEY = 100_000
"""Octets of a host key."""
KEX = (
    "mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org", "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512", "diffie-hellman-group14-sha256",
)  # fmt: skip
CIPHERS = ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr",
           "aes128-ctr")  # fmt: skip
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
"""The last two for libssh2 before 1.11, which curl has in Debian 12, and for older Java clients."""
SIGNATURES = (
    "ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
)  # fmt: skip
"""Of clients' keys."""
HOST_SIGNATURES = (b"ssh-ed25519", b"rsa-sha2-512", b"rsa-sha2-256")
"""Of the server's: never SHA-1."""

log = logging.getLogger(__name__)


def host_keys(folder: Path) -> Sequence[asyncssh.SSHKeyPair]:
    """The server's keys, made at the first start and durable before they are used; blocking.

    Raises:
        OSError: If they cannot be read or written.
    """
    found = []
    with Shelf(folder) as shelf:
        for name, (algorithm, bits) in HOST_KEYS.items():
            if shelf.entry(name) is None:
                more: dict[str, Any] = {"key_size": bits} if bits else {}
                key = asyncssh.generate_private_key(algorithm, **more)
                shelf.put(name, key.export_private_key())
                shelf.put(f"{name}.pub", key.export_public_key())
                log.info("host key made", extra={"event": "sftp.host_key", "key": key.get_fingerprint()})
            found.append(read_host_key(name, shelf.read(name, MAX_HOST_KEY)))
    return found


def read_host_key(name: str, octets: bytes) -> asyncssh.SSHKeyPair:
    """A host key, which may have come from elsewhere: whoever moves in keeps the key that clients know.

    Raises:
        OSError: If it is none that is used under this name; without a word of it.
    """
    algorithm, bits = HOST_KEYS[name]
    try:
        key = asyncssh.import_private_key(octets)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as exc:
        raise OSError(errno.EINVAL, f"{name} is no private key without a passphrase") from exc
    if key.get_algorithm() != algorithm:
        raise OSError(errno.EINVAL, f"{name} is a key of {key.get_algorithm()}, not {algorithm}")
    if bits and (has := getattr(key.pyca_key, "key_size", 0)) < MIN_RSA_BITS:
        raise OSError(errno.EINVAL, f"{name} has {has} bits; {MIN_RSA_BITS} are the least")
    (pair,) = asyncssh.load_keypairs([key])
    pair.host_key_algorithms = [each for each in HOST_SIGNATURES if each in pair.host_key_algorithms]
    return pair


class SftpServer:
    """Listens, and knows every connection.

    Args:
        settings: `[sftp]`.
        logins: Who somebody is.
        places: Makes what a visitor sees.
        keys: Folder of the host keys.
    """

    def __init__(self, settings: SftpSettings, logins: Logins, places: PlaceMaker, keys: Path) -> None:
        self.settings = settings
        self.logins = logins
        self.places = places
        self._keys = keys
        self._acceptors: list[asyncssh.SSHAcceptor] = []
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._clients: Counter[str] = Counter()
        self._visitors = Visitors(logins, Interface.SFTP)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> list[tuple[str, int]]:
        """Listen; where, as bound.

        Raises:
            OSError: If an address cannot be bound, or the host keys not be had.
        """
        logging.getLogger("asyncssh").setLevel(logging.WARNING)  # it would log names that nobody here has
        keys = await asyncio.to_thread(host_keys, self._keys)
        bound = []
        for listener in self.settings.listen:
            acceptor = await asyncssh.listen(
                listener.host,
                listener.port,
                server_factory=lambda: _Connection(self),
                server_host_keys=keys,
                server_version="faxgw",
                kex_algs=KEX,
                encryption_algs=CIPHERS,
                mac_algs=MACS,
                compression_algs=("none",),
                signature_algs=SIGNATURES,
                login_timeout=LOGIN_S,
                keepalive_interval=KEEPALIVE_S,
                rekey_bytes=REKEY_OCTETS,
                encoding=None,
                allow_pty=False,
                allow_scp=False,
                agent_forwarding=False,
                x11_forwarding=False,
                gss_host=None,
                kbdint_auth=False,
                host_based_auth=False,
                line_editor=False,
                window=WINDOW,
            )
            self._acceptors.append(acceptor)
            bound += [(str(place[0]), int(place[1])) for place in acceptor.get_addresses()]
        self._watching = asyncio.create_task(self._visitors.watch(), name="sftp visitors")
        return bound

    async def stop(self, grace: float) -> None:
        """Take no connection any more; end those that are open after the grace."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        for acceptor in self._acceptors:
            acceptor.close()
        for acceptor in self._acceptors:
            await acceptor.wait_closed()
        open_ = [asyncio.ensure_future(connection.wait_closed()) for connection in self._connections]
        if open_:
            await asyncio.wait(open_, timeout=grace)
        for connection in list(self._connections):
            connection.disconnect(asyncssh.DISC_BY_APPLICATION, "The gateway stops.")
        if open_:
            await asyncio.wait(open_, timeout=5.0)

    def enter(self, connection: asyncssh.SSHServerConnection, client: str) -> bool:
        """Whether a connection may stay."""
        if len(self._connections) >= self.settings.connection_limit:
            return False
        if self._clients[client] >= self.settings.client_connection_limit:
            return False
        self._connections.add(connection)
        self._clients[client] += 1
        return True

    def visit(self, connection: asyncssh.SSHServerConnection, caller: Caller) -> None:
        """Somebody has logged in."""
        words = asyncssh.DISC_BY_APPLICATION, "This login holds no longer."
        self._visitors.enter(connection, caller, lambda: connection.disconnect(*words))

    def leave(self, connection: asyncssh.SSHServerConnection, client: str) -> None:
        """A connection that stayed is over."""
        self._connections.discard(connection)
        self._visitors.leave(connection)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]


class _Connection(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, server: SftpServer) -> None:
        self._server = server
        self._caller: Caller | None = None
        self._tree: Tree | None = None
        self._sessions = 0
        self._tries = 0
        self._entered = False
        self._address = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._address = str(conn.get_extra_info("peername")[0])
        self._client = client_of(self._address)
        self._entered = self._server.enter(conn, self._client)
        if not self._entered:
            log.warning("too many connections", extra={"event": "sftp.limit", "peer": self._address})
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._entered:
            self._server.leave(self._connection, self._client)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        self._count()
        try:
            found = await self._server.logins.login(username[:MAX_NAME], password, self._address, Interface.SFTP)
        except StoreError as exc:
            raise asyncssh.DisconnectError(asyncssh.DISC_SERVICE_NOT_AVAILABLE, exc.public) from exc
        return self._admitted(found)

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._count()
        fingerprint = hashlib.sha256(key.public_data).hexdigest()
        try:
            found = await self._server.logins.key(username[:MAX_NAME], fingerprint, self._address, Interface.SFTP)
        except StoreError as exc:
            raise asyncssh.DisconnectError(asyncssh.DISC_SERVICE_NOT_AVAILABLE, exc.public) from exc
        return self._admitted(found)

    def _count(self) -> None:
        self._tries += 1
        if self._tries > MAX_TRIES:
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Too many logins failed.")

    def _admitted(self, found: Caller | Denial) -> bool:
        """A wrong login, a suspended one and one without this interface are refused alike: SSH has no word for it."""
        if found is Denial.BARRED:
            text = "There were too many wrong logins; try again later."
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, text)
        if not isinstance(found, Caller) or not found.customer:
            return False
        self._caller = found
        return True

    def auth_completed(self) -> None:
        if (caller := self._visitor()) is not None:
            log.info("logged in", extra={"event": "sftp.login", "peer": self._address, "login": caller.login})
            self._server.visit(self._connection, caller)
        self._watch()

    def _visitor(self) -> Caller | None:
        """Who has logged in: a key that was only asked about before another login proves nothing."""
        name, caller = self._connection.get_extra_info("username"), self._caller
        return caller if caller is not None and caller.login == name else None

    async def session_requested(self) -> SftpSession:
        """A session on the visitor's own tree, which is made for the first one."""
        caller = self._visitor()
        if caller is None or self._sessions >= MAX_SESSIONS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "There are too many sessions.")
        self._sessions += 1
        try:
            self._tree = self._tree or Tree(await self._server.places(caller))
        except (FaxError, OSError) as exc:
            self._session_ended()
            log.error("folders not there", extra={"event": "sftp.failed", "why": str(exc)})
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, FaxError.default_public) from exc
        return SftpSession(self._tree, float(self._server.settings.idle), self._session_ended)

    def _session_ended(self) -> None:
        self._sessions -= 1
        self._watch()

    def _watch(self) -> None:
        """A connection without a session is ended when it stays so."""
        asyncio.get_running_loop().call_later(float(self._server.settings.idle), self._end_if_unused)

    def _end_if_unused(self) -> None:
        if not self._sessions:
            self._connection.close()
