"""LDIF as a search prints it (RFC 2849)."""

from __future__ import annotations

import pytest

from faxgw.fax.errors import Refused
from faxgw.formats.ldif import read_ldif

TEXT = """version: 1

# a comment
dn: uid=a,dc=x
mail: a@x.example
MAIL;lang-fr: b@x.example
sn:: TcO8bGxlcg==
description: a long line that is fol
 ded

# refldap://elsewhere/

dn: uid=b,dc=x
mail: c@x.example
"""


def test_entries_are_read_with_all_their_values() -> None:
    first, second = read_ldif(TEXT)
    assert first["mail"] == ["a@x.example", "b@x.example"]
    assert (first["sn"], first["description"]) == (["Müller"], ["a long line that is folded"])
    assert second == {"mail": ["c@x.example"]}


@pytest.mark.parametrize("line", ["nonsense", ": x", "mail:< file:///etc/passwd", "sn:: ?", "sn:: /w=="])
def test_what_is_no_value_is_refused(line: str) -> None:
    with pytest.raises(Refused):
        list(read_ldif(f"dn: uid=a\n{line}\n"))
