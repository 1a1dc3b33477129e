"""`[sftp]`: the built-in SFTP server."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from faxgw.settings import Duration, Listener, Section


class SftpSettings(Section):
    """`[sftp]`: job files, results and directories over SFTP; without this table there is no SFTP server."""

    listen: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=16)] = (Listener("127.0.0.1", 2022),)
    """`address:port` of each address on which it listens."""
    connection_limit: Annotated[int, Field(ge=1)] = 200
    """Connections at a time."""
    client_connection_limit: Annotated[int, Field(ge=1)] = 20
    """Connections at a time of one address, IPv6 /64."""
    idle: Annotated[Duration, Field(ge=10)] = Duration(600)
    """A session that asks for nothing for so long is ended."""
    keep_days: Annotated[int, Field(ge=1, le=3_650)] = 14
    """Days for which results, and files that nobody used, are kept in the accounts' folders."""
    names_days: Annotated[int, Field(ge=1, le=3_650)] = 400
    """Days for which the name of a job file cannot be used again."""
