"""Digest: the RFCs' own examples, both algorithms, stale nonces, giving up."""

import hashlib

import pytest

from faxgw.foip.digest import MAX_REALMS, Authenticator, Challenge, Credentials, digest_response
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


def test_the_example_of_rfc_2617() -> None:
    """RFC 2617 section 3.5: MD5 with qop auth."""
    challenge = Challenge.parse(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    mufasa = Credentials("Mufasa", "Circle Of Life")
    made = digest_response(challenge, mufasa, "GET", "/dir/index.html", b"", "0a4f113b", 1)
    assert made == ("6629fae49393a05397450978507c4ef1", "auth")


def test_sha_512_256_is_the_truncated_hash_of_its_own_constants() -> None:
    """RFC 7616 section 6.1 and FIPS 180-4."""
    empty = hashlib.new("sha512_256", b"abc").hexdigest()
    assert empty == "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    challenge = Challenge.parse('Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth"')

    def h(text: str) -> str:
        return hashlib.new("sha512_256", text.encode()).hexdigest()

    wanted = h(f"{h('Mufasa:r:Circle of Life')}:n:00000001:c:auth:{h('REGISTER:sip:a')}")
    assert digest_response(challenge, MUFASA, "REGISTER", "sip:a", b"", "c", 1) == (wanted, "auth")


def test_auth_int_covers_the_body_and_sess_the_first_nonces() -> None:
    """RFC 7616 sections 3.4.2 and 3.4.3, spelled out."""

    def h(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    challenge = Challenge.parse('Digest realm="r", nonce="n2", algorithm=SHA-256-sess, qop="auth-int"')
    secret = h(f"{h('Mufasa:r:Circle of Life')}:n1:c1")
    wanted = h(f"{secret}:n2:00000003:c2:auth-int:{h('INVITE:sip:a:' + h('v=0'))}")
    made = digest_response(challenge, MUFASA, "INVITE", "sip:a", b"v=0", "c2", 3, ("n1", "c1"))
    assert made == (wanted, "auth-int")


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (("SHA-512-256", "SHA-256", "MD5"), "SHA-512-256"),
        (("MD5", "SHA-256-sess"), "SHA-256-sess"),
        (("MD5-sess", "MD5"), "MD5-sess"),
        (("SHA3-384", "MD5"), "MD5"),
    ],
)
def test_of_several_challenges_the_strongest_that_we_know_is_answered(offered: tuple[str, ...], taken: str) -> None:
    """RFC 8760 section 2.4."""
    client = authenticator()
    assert client.challenged(401, [f'Digest realm="r", nonce="{name}", algorithm={name}' for name in offered])
    fields = client.headers("REGISTER", "sip:a", b"")
    assert len(fields) == 1 and f'nonce="{taken}"' in fields[0][1] and f"algorithm={taken}" in fields[0][1]


def test_proxies_of_several_realms_are_all_answered() -> None:
    """RFC 3261 section 22.3: in one response, or one after the other along the way."""
    client = authenticator()
    assert client.challenged(407, ['Digest realm="a", nonce="1"', 'Digest realm="b", nonce="2"'])
    assert client.challenged(407, ['Digest realm="c", nonce="3"'])
    assert [name for name, _value in client.headers("INVITE", "sip:a", b"")] == ["Proxy-Authorization"] * 3
    assert not client.challenged(407, ['Digest realm="b", nonce="4"']), "the password was wrong there"


def test_realms_without_end_are_not_kept() -> None:
    client = authenticator()
    for number in range(3 * MAX_REALMS):
        client.challenged(407, [f'Digest realm="{number}", nonce="n"'])
    assert len(client.headers("INVITE", "sip:a", b"")) == MAX_REALMS


def test_the_next_nonce_is_taken_and_counted_anew() -> None:
    """RFC 7616 section 3.5."""
    client = authenticator()
    client.challenged(401, ['Digest realm="r", nonce="1", qop="auth"'])
    client.headers("REGISTER", "sip:a", b"")
    client.accepted()
    client.informed("Authentication-Info", 'qop=auth, nextnonce="2", rspauth="x"')
    assert 'nonce="2"' in (value := client.headers("REGISTER", "sip:a", b"")[0][1]) and "nc=00000001" in value
    client.informed("Authentication-Info", "nonsense")
    client.informed("Proxy-Authentication-Info", 'nextnonce="3"')
    assert 'nonce="2"' in (value := client.headers("REGISTER", "sip:a", b"")[0][1]) and "nc=00000002" in value


def test_a_session_keeps_its_client_nonce_until_the_next_challenge() -> None:
    """RFC 7616 section 3.4.2: servers differ in which client nonce they take, so all are the same."""
    drawn = iter(range(100))
    client = Authenticator(MUFASA, lambda octets: f"{next(drawn):0{2 * octets}x}")
    client.challenged(401, ['Digest realm="r", nonce="1", algorithm=MD5-sess, qop="auth"'])
    first, second = (client.headers("REGISTER", "sip:a", b"")[0][1] for _ in range(2))
    assert 'cnonce="0000000000000000"' in first and 'cnonce="0000000000000000"' in second
    client.challenged(401, ['Digest realm="r", nonce="2", algorithm=MD5-sess, qop="auth", stale=true'])
    assert 'cnonce="0000000000000000"' not in client.headers("REGISTER", "sip:a", b"")[0][1]
