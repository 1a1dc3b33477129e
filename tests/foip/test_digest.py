"""Digest: the RFCs' own examples, both algorithms, stale nonces, giving up."""

import pytest

from faxgw.foip.digest import Authenticator, Challenge, Credentials, digest_response
from faxgw.foip.errors import RemoteProtocolError

REALM = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
MUFASA = Credentials("Mufasa", "Circle of Life")
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def authenticator(credentials: Credentials | None = MUFASA) -> Authenticator:
    return Authenticator(credentials, lambda octets: "ab" * octets)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm: str, response: str) -> None:
    """RFC 7616 section 3.9.1."""
    challenge = Challenge.parse(REALM.format(algorithm))
    assert digest_response(challenge, MUFASA, "GET", "/dir/index.html", b"", CNONCE, 1) == (response, "auth")


def test_the_old_form_without_qop() -> None:
    """RFC 2069 with the values of RFC 2617 section 3.5 (errata 749 for RFC 2069: computed by hand)."""
    challenge = Challenge.parse('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
    response, qop = digest_response(
        challenge, Credentials("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", b"", "", 1
    )
    assert (response, qop) == ("670fd8c2df070c60b045671b8b24ff02", "")


def test_session_and_auth_int_change_the_digest() -> None:
    plain = Challenge.parse('Digest realm="r", nonce="n", qop="auth-int"')
    assert plain.qop == ("auth-int",)
    bodies = {digest_response(plain, MUFASA, "INVITE", "sip:a@b", body, "c", 1)[0] for body in (b"x", b"y")}
    assert len(bodies) == 2
    session = Challenge.parse('Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth"')
    first = digest_response(session, MUFASA, "BYE", "sip:a@b", b"", "c1", 1)
    assert first != digest_response(session, MUFASA, "BYE", "sip:a@b", b"", "c2", 1)


@pytest.mark.parametrize(
    "text",
    [
        "NoOneKnowsThisScheme opaque-data=here",
        'Basic realm="x"',
        'Digest realm="x"',
        'Digest realm="x", nonce="y", algorithm=AKAv1-MD5',
        'Digest realm="x", nonce="y", qop="auth-conf"',
        'Digest realm="x, nonce=',
        "Digest",
        "",
    ],
)
def test_a_challenge_we_cannot_answer_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Challenge.parse(text)
    assert not authenticator().challenged(401, [text])


@pytest.mark.parametrize("method", ["INVITE", "BYE", "REGISTER"])
def test_401_and_407_are_answered_side_by_side_with_counting_nonces(method: str) -> None:
    client = authenticator()
    assert client.headers(method, "sip:a@b", b"") == []
    assert client.challenged(407, ['Digest realm="proxy", nonce="p", qop="auth"'])
    assert client.challenged(401, ['Digest realm="home", nonce="h", qop="auth", opaque="o"'])
    first = dict(client.headers(method, "sip:a@b", b""))
    second = dict(client.headers(method, "sip:a@b", b""))
    assert set(first) == {"Authorization", "Proxy-Authorization"}
    assert "nc=00000001" in first["Authorization"]
    assert "nc=00000002" in second["Authorization"]
    assert 'opaque="o"' in first["Authorization"]
    assert 'cnonce="abababababababab"' in first["Proxy-Authorization"]
    assert "algorithm" not in first["Proxy-Authorization"]


def test_the_stronger_algorithm_wins() -> None:
    client = authenticator()
    values = ['Digest realm="r", nonce="1", algorithm=MD5', 'Digest realm="r", nonce="2", algorithm=SHA-256']
    assert client.challenged(401, values)
    assert "algorithm=SHA-256" in client.headers("INVITE", "sip:a@b", b"")[0][1]


def test_a_wrong_password_is_tried_once() -> None:
    client = authenticator()
    assert client.challenged(401, ['Digest realm="r", nonce="1"'])
    client.headers("INVITE", "sip:a@b", b"")
    assert not client.challenged(401, ['Digest realm="r", nonce="2"'])


def test_a_stale_nonce_is_renewed_but_not_for_ever() -> None:
    client = authenticator()
    assert client.challenged(401, ['Digest realm="r", nonce="0"'])
    answers = []
    for number in range(1, 6):
        client.headers("INVITE", "sip:a@b", b"")
        answers.append(client.challenged(401, [f'Digest realm="r", nonce="{number}", stale=TRUE']))
    assert answers == [True, True, True, False, False]


def test_after_a_success_a_new_nonce_is_answered_again() -> None:
    """A server may renew its nonce in mid-dialog without saying stale: the BYE must still get through."""
    client = authenticator()
    assert client.challenged(407, ['Digest realm="r", nonce="1"'])
    client.headers("INVITE", "sip:a@b", b"")
    client.accepted()
    assert client.challenged(407, ['Digest realm="r", nonce="2"'])
    assert 'nonce="2"' in client.headers("BYE", "sip:a@b", b"")[0][1]


def test_without_credentials_or_for_another_realm_there_is_no_answer() -> None:
    assert not authenticator(None).challenged(401, ['Digest realm="r", nonce="1"'])
    assert authenticator(None).headers("BYE", "sip:a@b", b"") == []
    assert not authenticator(Credentials("u", "p", "mine")).challenged(401, ['Digest realm="r", nonce="1"'])


def test_a_password_is_not_shown() -> None:
    assert "Circle" not in repr(MUFASA)
