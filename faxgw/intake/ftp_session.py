"""One FTP session on a tree of places: RFC 959, 2389 (FEAT), 2428 (EPSV), 3659 (MLSD, SIZE, REST), 4217 (TLS).

Stream mode and image type alone: TYPE A is taken and changes nothing, as no document survives a change of its line
ends. Passive data connections alone: PORT would let clients send us against others. FTP cannot say that a file is
complete, so the end of the data connection counts as its end; an aborted one leaves it half.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from faxgw.fax.access import Caller, Denial, Interface, Logins
from faxgw.fax.errors import FaxError
from faxgw.intake import ftp_data
from faxgw.intake.ftp_data import NoData, Passive, PassivePorts
from faxgw.intake.ftp_settings import FtpSettings
from faxgw.intake.shelf import Entry
from faxgw.intake.tree import Fault, Opening, Place, PlaceMaker, Spot, Tree, TreeError, read_path
from faxgw.intake.visitors import Visitors

LINE = 2_048
"""Octets of a command."""
MAX_TRIES = 6
"""Passwords of one connection."""
FAILED_S = 1.0
"""Seconds after which a wrong password is answered."""
LOGIN_S = 60.0
"""Seconds from the connection to a login."""
MAX_ERRORS = 50
"""Commands of one connection that are refused for their form."""
_TELNET = b"\xff\xf4\xf2"
"""Signals of Telnet, IP and Synch, that stand before an ABOR (RFC 959 section 4.1.3)."""
_CODES = {
    Fault.EXISTS: 553,
    Fault.NAME: 553,
    Fault.IN_USE: 450,
    Fault.TOO_LARGE: 552,
    Fault.FULL: 552,
    Fault.NO_ROOM: 452,
    Fault.TOO_MANY: 450,
    Fault.UNSUPPORTED: 504,
    Fault.FAILED: 451,
}
"""All others are 550."""
_FEATURES = ("AUTH TLS", "PBSZ", "PROT", "EPSV", "MLST type*;size*;modify*;", "REST STREAM", "SIZE", "MDTM", "UTF8")
_BEFORE_LOGIN = frozenset({"USER", "PASS", "AUTH", "PBSZ", "PROT", "FEAT", "SYST", "NOOP", "QUIT", "OPTS", "HELP"})
_ALIASES = {"XPWD": "PWD", "XCWD": "CWD", "XCUP": "CDUP", "XMKD": "MKD", "XRMD": "RMD"}

log = logging.getLogger(__name__)


class Reply(Exception):
    """What the client is told; raised by commands that end so."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class FtpSession:
    """One control connection.

    Args:
        settings: `[ftp]`.
        logins: Who somebody is.
        places: Makes what a visitor sees.
        context: For TLS; None: there is none.
        reader: The client's octets.
        writer: To the client.
        visitors: Who is in; ends the session when its login holds no longer.
        ports: For data connections.
        secure: The connection is under TLS already.
    """

    def __init__(
        self,
        settings: FtpSettings,
        logins: Logins,
        places: PlaceMaker,
        context: ssl.SSLContext | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        visitors: Visitors,
        ports: PassivePorts,
        *,
        secure: bool,
    ) -> None:
        self._settings = settings
        self._logins = logins
        self._places = places
        self._context = context
        self._reader = reader
        self._writer = writer
        self._secure = secure
        self._protected = False
        """PROT P: data connections are under TLS."""
        self._name = ""
        self._caller: Caller | None = None
        self._tree = Tree(())
        self._folder = Spot()
        self._ports = ports
        self._passive: Passive | None = None
        self._offset = 0
        self._renaming: Spot | None = None
        self._tries = 0
        self._visitors = visitors
        self._task: asyncio.Task[object] | None = None
        self._address = str(writer.get_extra_info("peername")[0])
        self._commands: dict[str, Callable[[str], Awaitable[Reply | None]]] = {
            name[4:].upper(): getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }

    async def run(self) -> None:
        """Serve the client to its end."""
        self._task = asyncio.current_task()
        try:
            await self._say(220, "Fax gateway")
            await self._serve()
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # gone, or not speaking FTP
        finally:
            self._visitors.leave(self)
            self._close_passive()
            ftp_data.abort(self._writer)

    def _shut_out(self) -> None:
        """End the session, whatever it is doing: what is being laid down stays half."""
        self._writer.write(b"421 This login holds no longer.\r\n")
        if self._task is not None:
            self._task.cancel()

    async def _serve(self) -> None:
        errors = 0
        while errors < MAX_ERRORS:
            try:
                async with asyncio.timeout(float(self._settings.idle) if self._caller else LOGIN_S):
                    line = await self._reader.readuntil(b"\n")
            except TimeoutError:
                await self._say(421, "Nothing was asked for too long.")
                return
            reply = await self._answer(line)
            if reply is not None:
                await self._say(reply.code, reply.text)
                errors += reply.code in (500, 501, 502, 503)
                if reply.code in (221, 421):
                    return
        await self._say(421, "There were too many errors.")

    async def _answer(self, line: bytes) -> Reply | None:
        text = line.lstrip(_TELNET).decode(errors="replace").rstrip("\r\n")
        word, _, argument = text.partition(" ")
        name = _ALIASES.get(word.upper(), word.upper())
        command = self._commands.get(name)
        if command is None:
            return Reply(502, "This command is not known here.")
        if self._caller is None and name not in _BEFORE_LOGIN:
            return Reply(530, "Log in first.")
        if name not in ("RNTO", "RNFR"):
            self._renaming = None
        try:
            return await command(argument)
        except Reply as reply:
            return reply
        except TreeError as exc:
            return Reply(_CODES.get(exc.fault, 550), exc.public)
        except NoData as exc:
            return Reply(exc.code, str(exc))
        except FaxError as exc:
            return Reply(451, exc.public)

    async def _say(self, code: int, text: str) -> None:
        lines = text.split("\n")
        said = [f"{code}-{line}" for line in lines[:1]] + lines[1:-1] if len(lines) > 1 else []
        said.append(f"{code} {lines[-1]}")
        self._writer.write(("\r\n".join(said) + "\r\n").encode())
        async with asyncio.timeout(ftp_data.STALL_S):
            await self._writer.drain()

    # ------------------------------------------------------------------------------------------------------- login

    async def _do_auth(self, argument: str) -> Reply | None:
        if argument.upper() not in ("TLS", "TLS-C", "SSL"):
            return Reply(504, "Only TLS is known here.")
        if self._context is None or self._secure:
            return Reply(503, "There is no TLS here." if self._context is None else "TLS is in use.")
        if self._reader.at_eof() or self._reader._buffer:  # type: ignore[attr-defined]  # RFC 4217 section 10
            return Reply(421, "What was sent ahead of TLS is not taken.")
        loop = asyncio.get_running_loop()
        self._writer.write(b"234 TLS it is.\r\n")
        reader = asyncio.StreamReader(limit=LINE)
        protocol = asyncio.StreamReaderProtocol(reader)
        handshake = loop.start_tls(
            self._writer.transport, protocol, self._context, server_side=True, ssl_handshake_timeout=LOGIN_S
        )
        transport = await handshake
        if transport is None:
            raise ConnectionAbortedError
        protocol.connection_made(transport)
        self._old = self._writer  # its transport is the new one's own; dropped, it would be closed
        self._reader, self._writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        self._secure, self._name, self._caller = True, "", None
        return None

    async def _do_pbsz(self, argument: str) -> Reply:
        return Reply(200, "PBSZ=0") if self._secure else Reply(503, "AUTH TLS first.")

    async def _do_prot(self, argument: str) -> Reply:
        if not self._secure:
            return Reply(503, "AUTH TLS first.")
        match argument.upper():
            case "P":
                self._protected = True
            case "C" if self._settings.allow_plain:
                self._protected = False
            case "C":
                return Reply(534, "Data connections are under TLS here.")
            case _:
                return Reply(536, "Only P and C are known here.")
        return Reply(200, "So it is.")

    async def _do_user(self, argument: str) -> Reply:
        if not self._secure and not self._settings.allow_plain:
            return Reply(530, "TLS first: AUTH TLS.")
        self._name, self._caller = argument[:320], None
        return Reply(331, "The password, please.")

    async def _do_pass(self, argument: str) -> Reply:
        if not self._name:
            return Reply(503, "USER first.")
        self._tries += 1
        if self._tries > MAX_TRIES:
            return Reply(421, "Too many logins failed.")
        found = await self._logins.login(self._name, argument, self._address, Interface.FTP)
        name, self._name = self._name, ""
        if found is Denial.BARRED:
            return Reply(421, "There were too many wrong logins; try again later.")
        if found is Denial.BUSY:
            return Reply(421, "Too many passwords wait to be checked; try again.")
        if not isinstance(found, Caller) or not found.customer:
            await asyncio.sleep(FAILED_S)
            return Reply(530, "This login is not right, or may not use FTP.")
        try:
            self._tree = Tree(await self._places(found))
        except OSError as exc:
            log.error("folders not there", extra={"event": "ftp.failed", "why": str(exc)})
            return Reply(421, FaxError.default_public)
        self._caller = found
        self._visitors.enter(self, found, self._shut_out)
        log.info("logged in", extra={"event": "ftp.login", "peer": self._address, "login": name})
        return Reply(230, "Welcome.")

    async def _do_quit(self, argument: str) -> Reply:
        return Reply(221, "Goodbye.")

    # ------------------------------------------------------------------------------------------------------ phrases

    async def _do_feat(self, argument: str) -> Reply:
        return Reply(211, "\n".join(["Features:", *(f" {feature}" for feature in _FEATURES), "End"]))

    async def _do_syst(self, argument: str) -> Reply:
        return Reply(215, "UNIX Type: L8")

    async def _do_noop(self, argument: str) -> Reply:
        return Reply(200, "Fine.")

    async def _do_help(self, argument: str) -> Reply:
        return Reply(214, "Job files go to in/, results come in out/.")

    async def _do_opts(self, argument: str) -> Reply:
        known = argument.upper().startswith(("UTF8 ON", "MLST"))
        return Reply(200, "Fine.") if known else Reply(501, "This option is not known here.")

    async def _do_type(self, argument: str) -> Reply:
        known = argument.upper() in ("I", "A", "A N", "L 8")
        return Reply(200, "Octets go as they are.") if known else Reply(504, "Only I and A are known here.")

    async def _do_mode(self, argument: str) -> Reply:
        return Reply(200, "Stream.") if argument.upper() == "S" else Reply(504, "Only S is known here.")

    async def _do_stru(self, argument: str) -> Reply:
        return Reply(200, "File.") if argument.upper() == "F" else Reply(504, "Only F is known here.")

    async def _do_allo(self, argument: str) -> Reply:
        return Reply(202, "Not needed here.")

    async def _do_abor(self, argument: str) -> Reply:
        self._close_passive()
        return Reply(226, "Nothing is going on.")

    async def _do_port(self, argument: str) -> Reply:
        return Reply(502, "Only passive connections (PASV, EPSV) are made here.")

    _do_eprt = _do_port

    # ------------------------------------------------------------------------------------------------------ folders

    async def _do_pwd(self, argument: str) -> Reply:
        return Reply(257, f'"{self._folder}" is where you are.')

    async def _do_cwd(self, argument: str) -> Reply:
        spot = self._spot(argument or "/")
        if isinstance(await self._tree.entry(spot), Entry):
            raise TreeError(Fault.MISSING)
        self._folder = spot
        return Reply(250, f"Now in {spot}.")

    async def _do_cdup(self, argument: str) -> Reply:
        return await self._do_cwd("..")

    async def _do_mkd(self, argument: str) -> Reply:
        raise TreeError(Fault.DENIED)

    _do_rmd = _do_mkd

    async def _do_size(self, argument: str) -> Reply:
        return Reply(213, str((await self._file(argument)).size))

    async def _do_mdtm(self, argument: str) -> Reply:
        return Reply(213, _instant((await self._file(argument)).modified))

    async def _do_dele(self, argument: str) -> Reply:
        await self._tree.remove(self._spot(argument))
        return Reply(250, "Removed.")

    async def _do_rnfr(self, argument: str) -> Reply:
        await self._file(argument)
        self._renaming = self._spot(argument)
        return Reply(350, "To what name?")

    async def _do_rnto(self, argument: str) -> Reply:
        if self._renaming is None:
            return Reply(503, "RNFR first.")
        old, self._renaming = self._renaming, None
        await self._tree.rename(old, self._spot(argument), replace=True)
        return Reply(250, "Renamed.")

    async def _do_mlst(self, argument: str) -> Reply:
        spot = self._spot(argument)
        return Reply(250, f"Listing\n {_facts(str(spot), await self._tree.entry(spot))}\nEnd")

    async def _do_list(self, argument: str) -> Reply:
        words = [word for word in argument.split() if not word.startswith("-")]
        return await self._listing(" ".join(words), _long)

    async def _do_nlst(self, argument: str) -> Reply:
        return await self._listing(argument, lambda name, what: name)

    async def _do_mlsd(self, argument: str) -> Reply:
        return await self._listing(argument, _facts)

    async def _do_stat(self, argument: str) -> Reply:
        return Reply(211, f"You are in {self._folder}.")

    async def _listing(self, argument: str, form: Callable[[str, Entry | Place | None], str]) -> Reply:
        spot = self._spot(argument) if argument else self._folder
        found = await self._tree.entry(spot)
        things: list[tuple[str, Entry | Place]]
        if isinstance(found, Entry):
            things = [(found.name, found)]
        elif found is None:
            things = [(place.name, place) for place in self._tree.places.values()]
        else:
            things = [(entry.name, entry) for entry in await found.entries()]
        text = "".join(form(name, what) + "\r\n" for name, what in things)
        _reader, writer = await self._data()
        await ftp_data.write_block(writer, text.encode())
        return await self._done(writer)

    def _spot(self, argument: str) -> Spot:
        return read_path(argument, self._folder)

    async def _file(self, argument: str) -> Entry:
        found = await self._tree.entry(self._spot(argument))
        if not isinstance(found, Entry):
            raise TreeError(Fault.MISSING)
        return found

    # -------------------------------------------------------------------------------------------------------- files

    async def _do_rest(self, argument: str) -> Reply:
        if not argument.isascii() or not argument.isdigit() or len(argument) > 12:
            return Reply(501, "This is not a number of octets.")
        self._offset = int(argument)
        return Reply(350, f"From octet {self._offset}.")

    async def _do_retr(self, argument: str) -> Reply:
        offset, self._offset = self._offset, 0
        file = await self._tree.open(self._spot(argument), Opening())
        try:
            _reader, writer = await self._data()
            while data := await file.read(offset, ftp_data.BLOCK):
                offset += len(data)
                await ftp_data.write_block(writer, data)
        finally:
            await file.close(complete=True)
        return await self._done(writer)

    async def _do_stor(self, argument: str) -> Reply:
        offset, self._offset = self._offset, 0
        return await self._store(argument, offset)

    async def _do_appe(self, argument: str) -> Reply:
        return await self._store(argument, None)

    async def _store(self, argument: str, offset: int | None) -> Reply:
        """Take a file, from an offset on; None: from its end."""
        spot = self._spot(argument)
        if self._passive is None and await self._is_there(spot):
            return Reply(425, "PASV or EPSV first.")  # before what is there is changed
        file = await self._tree.open(spot, Opening(write=True, create=True, truncate=offset == 0))
        complete = False
        try:
            size = (await file.entry()).size
            offset = size if offset is None else offset
            if offset > size:
                return Reply(554, "The file is shorter than that.")
            reader, _writer = await self._data()
            while data := await ftp_data.read_block(reader):
                await file.write(offset, data)
                offset += len(data)
            await file.sync()
            if self._is_given_up():
                raise NoData("The transfer was given up.")
            complete = True
        finally:
            if not complete:
                self._close_passive()
                await file.close(complete=False)
        await file.close(complete=True)
        self._close_passive()  # at once: some clients never answer the end of TLS
        return Reply(226, "Done.")

    async def _is_there(self, spot: Spot) -> bool:
        try:
            return isinstance(await self._tree.entry(spot), Entry)
        except TreeError:
            return False

    def _is_given_up(self) -> bool:
        """Whether the client has asked to end a transfer, or went away before it was answered.

        The end of the data connection alone says nothing: the system of a program that died sends it too, and that of
        the control connection with it.
        """
        waiting = bytes(self._reader._buffer)  # type: ignore[attr-defined]  # nothing else lets one look ahead
        lines = [line.lstrip(_TELNET).strip().upper() for line in waiting.split(b"\n")]
        return self._reader.at_eof() or b"ABOR" in lines

    # --------------------------------------------------------------------------------------------------------- data

    async def _do_pasv(self, argument: str) -> Reply:
        host = str(self._writer.get_extra_info("sockname")[0])
        if ":" in host:
            return Reply(522, "Use EPSV.")
        port = await self._listen(host)
        shown = (self._settings.passive_address or host).replace(".", ",")
        return Reply(227, f"Entering Passive Mode ({shown},{port >> 8},{port & 255}).")

    async def _do_epsv(self, argument: str) -> Reply:
        if argument and argument.upper() not in ("1", "2", "ALL"):
            return Reply(522, "Use (1,2).")
        port = await self._listen(str(self._writer.get_extra_info("sockname")[0]))
        return Reply(229, f"Entering Extended Passive Mode (|||{port}|)")

    async def _listen(self, host: str) -> int:
        self._close_passive()
        passive = Passive(self._address, self._ports)
        await passive.open(host, self._context if self._protected else None)
        self._passive = passive
        return passive.port

    async def _data(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The data connection, once its use was announced. Raises NoData, Reply."""
        passive = self._passive
        if passive is None:
            raise Reply(425, "PASV or EPSV first.")
        if not self._protected and not self._settings.allow_plain:
            self._close_passive()
            raise Reply(521, "Data connections are under TLS here: PROT P.")
        await self._say(150, "Here it comes.")
        return await passive.connection()

    async def _done(self, writer: asyncio.StreamWriter) -> Reply:
        await ftp_data.finish(writer)
        self._close_passive()
        return Reply(226, "Done.")

    def _close_passive(self) -> None:
        if self._passive is not None:
            self._passive.close()
            self._passive = None


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%S")


def _facts(name: str, what: Entry | Place | None) -> str:
    """RFC 3659 section 7."""
    if isinstance(what, Entry):
        return f"type=file;size={what.size};modify={_instant(what.modified)}; {name}"
    return f"type=dir; {name}"


def _long(name: str, what: Entry | Place | None) -> str:
    """As `ls -l` writes it, which is what clients without MLSD read."""
    if isinstance(what, Entry):
        at = datetime.fromtimestamp(what.modified, UTC).strftime("%b %d  %Y")
        return f"-rw-------   1 fax      fax      {what.size:>12} {at} {name}"
    return f"drwx------   1 fax      fax                 0 Jan 01  2000 {name}"
