"""Connections, networks and failed logins."""

from __future__ import annotations

import ipaddress

import pytest
from pydantic import ValidationError

from faxgw.intake import smtp_limits
from faxgw.intake.smtp_limits import Admission, Connections, Failures, client_of, connections_within, is_within
from faxgw.intake.smtp_settings import SmtpListener, SmtpSettings
from faxgw.settings import Duration, Listener


def test_a_client_is_an_ipv4_address_or_an_ipv6_network() -> None:
    assert client_of("127.0.0.1") == client_of("::ffff:127.0.0.1") == "127.0.0.1"
    assert client_of("2001:db8:1:2::3") == client_of("2001:db8:1:2:ffff::") != client_of("2001:db8:1:3::3")
    assert client_of("fe80::1%eth0") == client_of("fe80::2%eth1")
    assert client_of("") == client_of("socket") == ""


def test_an_allow_list_sees_through_mapped_addresses() -> None:
    networks = [ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32")]
    assert is_within("192.0.2.7", networks)
    assert is_within("::ffff:192.0.2.7", networks)
    assert is_within("2001:db8::1", networks)
    assert not is_within("192.0.3.7", networks)


@pytest.mark.parametrize(
    "descriptors, connections", [(0, 1), (65, 1), (66, 1), (68, 2), (1_024, 480), (65_536, 32_736)]
)
def test_each_connection_and_the_file_of_its_mail_want_a_descriptor(descriptors: int, connections: int) -> None:
    assert connections_within(descriptors) == connections


def test_connections_are_counted_per_client_and_in_all() -> None:
    connections = Connections(5, 3)
    assert [connections.admit("a") for _ in range(4)] == [Admission.WELCOME] * 3 + [Admission.CLIENT_FULL]
    assert not connections.stressed
    assert connections.admit("b") is Admission.WELCOME
    assert not connections.stressed
    assert connections.admit("b") is Admission.WELCOME
    assert connections.stressed
    assert connections.admit("c") is Admission.SERVER_FULL
    connections.leave("a")
    assert connections.admit("c") is Admission.WELCOME
    for client in "aabbc":
        connections.leave(client)
    assert connections.open == 0
    assert not connections._clients


def test_who_fails_too_often_is_barred_until_the_window_ends() -> None:
    failures = Failures(3, 60)
    for now in (0.0, 1.0, 2.0):
        assert not failures.barred(("a", "x"), now)
        failures.note(("a", "x"), now)
    assert failures.barred(("a", "x"), 59.9)
    assert not failures.barred(("a", "y"), 59.9)
    assert not failures.barred(("a", "x"), 60.0)
    failures.note(("a", "x"), 61.0)
    assert not failures.barred(("a", "x"), 61.0)


def test_only_so_many_guessers_are_remembered() -> None:
    failures = Failures(1, 60)
    for number in range(smtp_limits.MAX_TRACKED + 10):
        failures.note((str(number),), 0.0)
    assert len(failures._seen) == smtp_limits.MAX_TRACKED
    assert not failures.barred(("0",), 0.0)
    assert failures.barred(("10",), 0.0)


def test_settings_are_read_as_they_stand_in_a_file() -> None:
    read = SmtpSettings.model_validate(
        {
            "hostname": "fax.example.com",
            "message_limit": "10MiB",
            "command_deadline": "5m",
            "listeners": [{"listen": "[::1]:2525", "allow": ["192.0.2.0/24", "::1"], "plain_auth_on_loopback": True}],
        }
    )
    assert read.message_limit == 10 * 2**20
    assert read.command_deadline == Duration(300)
    assert read.listeners[0].listen == Listener("::1", 2525)
    assert is_within("::1", read.listeners[0].allow)


@pytest.mark.parametrize(
    "values",
    [
        {"listeners": []},
        {"listeners": [{}, {}]},
        {"listeners": [{"security": "tls"}]},
        {"listeners": [{"require_tls": True}]},
        {"listeners": [{"allow": ["192.0.2.1/24"]}]},
        {"message_limit": "12"},
        {"command_deadline": "0s"},
        {"command_deadline": "5"},
        {"connection_limit": 0},
        {"hostname": "a b"},
        {"unknown": 1},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SmtpSettings.model_validate(values)


def test_the_defaults_are_the_documented_ones() -> None:
    """Postfix's, where Postfix has one (reliability anchors 5 and 6)."""
    settings = SmtpSettings()
    assert (settings.header_limit, settings.recipient_limit, settings.hop_limit) == (102_400, 1_000, 50)
    assert (settings.connection_limit, settings.client_connection_limit) == (1_000, 50)
    assert (settings.error_limit, settings.junk_limit, settings.data_rate) == (20, 100, 500)
    assert (settings.command_deadline, settings.stress_deadline) == (Duration(300), Duration(10))
    assert SmtpListener().listen == Listener("127.0.0.1", 2525)
