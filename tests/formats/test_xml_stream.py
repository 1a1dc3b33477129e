"""faxgw.formats.xml_stream: the same tree whatever the pieces, long texts decoded on the way, every bound kept."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.fax.errors import Refused
from faxgw.formats.json_body import Blob
from faxgw.formats.xml_stream import LONG_TEXT, MAX_TEXT, Node, XmlStream

LONG = bytes(range(256)) * 400


def read(octets: bytes, *cuts: int) -> tuple[Node, dict[int, bytes]]:
    stream, blobs = XmlStream(), dict[int, bytes]()
    edges = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    for first, last in itertools.pairwise(edges):
        for number, out in stream.feed(octets[first:last]):
            blobs[number] = blobs.get(number, b"") + out
    return stream.finish(), blobs


def plain(node: Node) -> object:
    return (node.namespace, node.name, node.text, node.blob, [plain(child) for child in node.children])


TEXT = f"""<?xml version="1.0"?><a:job xmlns:a="urn:x"><name>é &amp; &#x20AC;</name>
<data>{base64.encodebytes(LONG).decode()}</data><data>QUJD</data><data nil="1"/>
<data>{base64.b64encode(LONG[::-1]).decode()}</data></a:job>""".encode()


@given(st.lists(st.integers(0, len(TEXT)), max_size=6))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    whole, blobs = read(TEXT)
    found, others = read(TEXT, *cuts)
    assert plain(found) == plain(whole)
    assert others == blobs == {0: LONG, 1: LONG[::-1]}
    name, first, short, nil, second = whole.children
    assert (name.text, first.blob, short.text, second.blob) == ("é & €", Blob(0), "QUJD", Blob(1))
    assert nil.is_nil
    assert not short.is_nil


def test_what_has_come_can_be_looked_at() -> None:
    stream = XmlStream()
    stream.feed(b"<a><user>me</user><pass>wo")
    assert stream.root is not None
    user, password = stream.root.children
    assert (user.is_closed, password.is_closed, password.text) == (True, False, "wo")


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"<a><b></a>", "mismatched tag"),
        (b"", "no element found"),
        (b"<!DOCTYPE a><a/>", "document type declaration"),
        (b"<a>" * 21, "levels"),
        (b"<a>" + b"<b/>" * 200_000, "elements"),
        (b"<a " + b" ".join(b"x%d='1'" % i for i in range(21)) + b"/>", "attributes"),
        (b"<a>" + (b"<b>" + b"x y " * 16_000 + b"</b>") * (MAX_TEXT // 64_000 + 1), "characters of text"),
        (b"<a>" + b"?" * (LONG_TEXT + 1), "not base64"),
        (b"<a>" + "é".encode() * (LONG_TEXT + 1), "not base64"),
        (b"<a>" + b"A" * (LONG_TEXT + 1) + b"<b/>", "has elements in it"),
        (b"<?xml version='1.0' encoding='x-odd'?><a/>", ""),
    ],
)
def test_what_is_refused(octets: bytes, why: str) -> None:
    with pytest.raises(Refused) as refused:
        read(octets, *range(0, len(octets), 1 << 18))
    assert why in refused.value.public
