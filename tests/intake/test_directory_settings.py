"""`[[directory]]`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from faxgw.intake.directory_settings import DirectorySettings, faults
from faxgw.settings import Duration, Secret

LDAP = {"url": "ldaps://ldap.example.org", "base": "dc=x"}


def directory(**more: Any) -> DirectorySettings:
    return DirectorySettings.model_validate({"name": "people", "customer": "acme", **more})


@pytest.mark.parametrize(
    "given, words",
    [
        ({"url": "http://example.org/x.csv"}, "https"),
        ({"url": "ftp://127.0.0.1/x.csv"}, "https"),
        ({"url": "https://example.org/x.csv", "folder": "/srv"}, "exclude"),
        ({"url": "https://example.org/x.csv", "login": "x"}, "belong together"),
        ({"ldap": LDAP | {"url": "ldap://ldap.example.org", "start_tls": False}}, "without TLS"),
        ({"ldap": LDAP | {"bind": "cn=x"}}, "belong together"),
        ({"ldap": LDAP | {"attributes": {"colour": "mail"}}}, "columns"),
        ({"ldap": LDAP | {"attributes": {"e-mail": "-z"}}}, "names of attributes"),
        ({"ldap": LDAP | {"url": "ldapi:///x"}}, "pattern"),
        ({"notify": ("nobody",)}, "mail addresses"),
        ({"numbers": ("0123",)}, "international form"),
        ({"max_deletion": 101}, "100"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        directory(**given)


def test_what_can_be_is_taken() -> None:
    assert directory(url="https://example.org/x.csv", login="x", password=Secret("y")).every == Duration(3600)
    assert directory(url="http://127.0.0.1/x.csv").max_deletion == 10
    ldap = directory(ldap=LDAP | {"url": "ldap://127.0.0.1", "start_tls": False}).ldap
    assert ldap is not None and ldap.attributes == {"e-mail": "mail"}


def test_two_directories_of_the_same_would_undo_one_another() -> None:
    one, other = directory(), directory(name="others")
    assert faults((one, directory(name="others", direction="inbound"))) == []
    assert faults((one, other)) == ["customer acme has two outbound directories: they would undo one another"]
    assert "directory people stands twice" in faults((one, one))
