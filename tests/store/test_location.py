"""The `[database]` section: SQLite unless it says otherwise, a password that is shown nowhere."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from faxgw.store.engine import open_store
from faxgw.store.location import DatabaseSection

DATA = Path("/var/lib/faxgw")


def test_without_a_url_the_rows_lie_in_the_data_folder() -> None:
    assert DatabaseSection().location(DATA) == "sqlite:////var/lib/faxgw/faxgw.db"


def test_the_password_is_put_into_the_url_and_quoted() -> None:
    section = DatabaseSection.model_validate(
        {"url": "postgresql://faxgw@db.example.net/fax?sslmode=verify-full", "password": "p@ss/w:rd%"}
    )
    assert section.location(DATA) == "postgresql://faxgw:p%40ss%2Fw%3Ard%25@db.example.net/fax?sslmode=verify-full"
    assert "p@ss" not in repr(section) and "p@ss" not in str(section.model_dump())


def test_a_url_without_password_stays_as_it_is() -> None:
    """The server may know us by the socket's user, a certificate or a password file."""
    section = DatabaseSection(url="postgres://faxgw@/fax?host=/run/postgresql")
    assert section.location(DATA) == "postgresql://faxgw@/fax?host=%2Frun%2Fpostgresql"
    open_store(section.location(DATA), lambda error: None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "nonsense"}, "must be a URL"),
        ({"url": "postgresql://host:port/x"}, "must be a URL"),
        ({"url": "mysql://host/fax"}, "must begin with postgresql://"),
        ({"url": "sqlite:////tmp/x.db"}, "must begin with postgresql://"),
        ({"url": "postgresql://faxgw:secret@host/fax"}, "must not hold the password"),
        ({"url": "postgresql://faxgw@host/fax?password=secret"}, "must not hold the password"),
        ({"url": "postgresql://faxgw@host"}, "must name the database"),
        ({"password": "secret"}, "a password needs a url"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        DatabaseSection.model_validate(values)
    assert len(caught.value.errors()) == 1
