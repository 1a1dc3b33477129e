"""Where the rows are kept: the `[database]` section of the settings file, and the URL it means."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from faxgw.settings import Secret, Section

SQLITE_FILE = "faxgw.db"
"""Name of the SQLite database in the data folder."""


class DatabaseSection(Section):
    """`[database]`: where the rows are kept. Without it in a SQLite database in the data folder."""

    url: str | None = Field(default=None, examples=["postgresql://faxgw@db.example.net/faxgw?sslmode=verify-full"])
    """PostgreSQL database for gateways on several machines; the parameters are those of libpq."""
    password: Secret | None = None
    """Password of the database's user, unless the server knows us without one."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            url = make_url(value)
        except (ArgumentError, ValueError):
            raise ValueError("must be a URL such as postgresql://user@host/name") from None
        if url.drivername not in ("postgresql", "postgres"):
            raise ValueError("must begin with postgresql://; leave it out for SQLite")
        if url.password is not None or "password" in url.query:
            raise ValueError("must not hold the password, which has a key of its own")
        if not url.database:
            raise ValueError("must name the database: postgresql://user@host/name")
        return value

    @model_validator(mode="after")
    def _check_password(self) -> DatabaseSection:
        if self.password is not None and self.url is None:
            raise ValueError("a password needs a url")
        return self

    def location(self, data: Path) -> str:
        """Return the URL for `migrate.upgrade` and `open_store`, the password in it.

        Args:
            data: The data folder.
        """
        if self.url is None:
            return f"sqlite:///{data / SQLITE_FILE}"
        url = make_url(self.url).set(drivername="postgresql")
        if self.password is not None:
            url = url.set(password=self.password.reveal())
        return url.render_as_string(hide_password=False)
