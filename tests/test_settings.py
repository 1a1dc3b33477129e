from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import Field, field_validator

from faxgw.settings import (
    ByteSize,
    Duration,
    Listener,
    LogSettings,
    Many,
    Maybe,
    Secret,
    Section,
    Sections,
    Settings,
    SettingsError,
    Tls,
    effective,
    load,
)


class Transport(enum.StrEnum):
    UDP = "udp"
    TCP = "tcp"


class Host(Section):
    name: str = "localhost"


class Smtp(Section):
    listen: Listener = Listener("127.0.0.1", 2525)
    max_size: ByteSize = ByteSize(30_000_000)
    deadline: Duration = Duration(300)
    domains: tuple[str, ...] = ()
    starttls: bool = False
    tls: Tls | None = None
    spool: Path = Path("/var/spool")
    networks: Mapping[str, str] = {}
    hosts: tuple[Host, ...] = Field(default=(Host(),), min_length=1)


class Contract(Section):
    channels: int = 2
    share: float = 0.5


class Trunk(Section):
    host: str
    transport: Transport = Transport.UDP
    password: Secret | None = None
    contract: Contract = Contract()

    @field_validator("host")
    @classmethod
    def no_blank(cls, host: str) -> str:
        if " " in host:
            raise ValueError("must be a host name")
        return host


class Relay(Section):
    host: str


SECTIONS: Sections = {"smtp": Smtp, "trunk": Many(Trunk), "relay": Maybe(Relay), "log": LogSettings}


class Folder:
    """A folder of settings files, private unless said otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str, name: str = "faxgw.toml", mode: int = 0o600) -> Path:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def load(self, text: str = "", **environ: str) -> Settings:
        return load(self.write(text), SECTIONS, environ=environ)

    def faults(self, text: str, **environ: str) -> list[str]:
        return [str(fault).removeprefix(f"{self.path}/") for fault in self.load(text, **environ).faults]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


class TestValues:
    def test_without_a_file_all_is_default(self) -> None:
        settings = load(None, SECTIONS, environ={})
        settings.check()
        assert settings.one("smtp", Smtp) == Smtp()
        assert settings.many("trunk", Trunk) == ()
        assert settings.maybe("relay", Relay) is None

    def test_a_file_gives_typed_values(self, folder: Folder) -> None:
        settings = folder.load(
            """
            [smtp]
            listen = "[::1]:25"
            max_size = "5MiB"
            deadline = "1h30m"
            domains = ["fax.example", "b.example"]
            spool = "/srv/spool"
            [[trunk]]
            host = "sip.example"
            transport = "tcp"
            contract.channels = 8
            [[trunk]]
            host = "two.example"
            password = "hunter2"
            [relay]
            host = "mail.example"
            """
        )
        settings.check()
        smtp = settings.one("smtp", Smtp)
        assert smtp.listen == Listener("::1", 25)
        assert smtp.max_size == 5 * 2**20
        assert smtp.deadline == Duration(5400)
        assert smtp.domains == ("fax.example", "b.example")
        assert smtp.spool == Path("/srv/spool")
        one, two = settings.many("trunk", Trunk)
        assert (one.transport, one.contract.channels) == (Transport.TCP, 8)
        assert two.password is not None
        assert two.password.reveal() == "hunter2"
        assert settings.one("relay", Relay).host == "mail.example"

    def test_files_in_conf_d_outrank_the_main_file_in_the_order_of_their_names(self, folder: Folder) -> None:
        folder.write('[smtp]\ndeadline = "2m"\ndomains = ["b"]\n[[trunk]]\nhost = "two"', "conf.d/20.toml")
        folder.write('[smtp]\ndeadline = "1m"\n', "conf.d/10.toml")
        folder.write("no TOML at all", "conf.d/README")
        settings = folder.load('[smtp]\ndeadline = "9m"\nstarttls = true\ndomains = ["a"]\n[[trunk]]\nhost = "one"\n')
        settings.check()
        smtp = settings.one("smtp", Smtp)
        assert (smtp.deadline, smtp.starttls, smtp.domains) == (Duration(120), True, ("b",))
        assert [trunk.host for trunk in settings.many("trunk", Trunk)] == ["one", "two"]

    def test_the_environment_outranks_the_files(self, folder: Folder) -> None:
        settings = folder.load(
            '[smtp]\ndeadline = "9m"\n[[trunk]]\nhost = "one"\ncontract.channels = 3\n',
            FAXGW_SMTP__DEADLINE="1s",
            FAXGW_SMTP__STARTTLS="true",
            FAXGW_SMTP__DOMAINS='["a", "b"]',
            FAXGW_TRUNK__0__HOST="5",
            FAXGW_TRUNK__0__CONTRACT__CHANNELS="7",
            FAXGW_RELAY__HOST="mail",
            FAXGW_CONFIG="/no/setting",
            PATH="/bin",
        )
        settings.check()
        smtp = settings.one("smtp", Smtp)
        assert (smtp.deadline, smtp.starttls, smtp.domains) == (Duration(1), True, ("a", "b"))
        (trunk,) = settings.many("trunk", Trunk)
        assert (trunk.host, trunk.contract.channels) == ("5", 7)
        assert settings.one("relay", Relay).host == "mail"

    def test_the_environment_may_add_entries(self) -> None:
        environ = {
            "FAXGW_TRUNK__0__HOST": "one",
            "FAXGW_TRUNK__0__CONTRACT__CHANNELS": "4",
            "FAXGW_TRUNK__1__HOST": "b",
        }
        settings = load(None, SECTIONS, environ=environ)
        settings.check()
        one, two = settings.many("trunk", Trunk)
        assert (one.host, one.contract.channels, two.host) == ("one", 4, "b")

    def test_a_secret_by_reference_replaces_another_one(self, folder: Folder) -> None:
        folder.write('[[trunk]]\nhost = "b"\n', "conf.d/b.toml")
        settings = folder.load(
            '[[trunk]]\nhost = "a"\npassword = { file = "/does/not/exist" }\n',
            FAXGW_TRUNK__0__PASSWORD__ENV="PW",
            PW="hunter2",
        )
        settings.check()
        password = settings.many("trunk", Trunk)[0].password
        assert password is not None
        assert password.reveal() == "hunter2"

    def test_a_section_asked_for_as_another_model_is_an_error_of_ours(self, folder: Folder) -> None:
        with pytest.raises(TypeError):
            folder.load().one("smtp", LogSettings)


class TestFaults:
    def test_all_are_named_at_once_with_line_and_key(self, folder: Folder) -> None:
        assert folder.faults(
            """\
[smtp]
listn = "127.0.0.1:25"
max_size = "30 apples"
deadline = 5
domains = "fax.example"
starttls = "yes"

[[trunk]]
host = "a b"
transport = "sctp"
contract = { channel = 2, share = "half" }

[[trunk]]
transport = "udp"

[smpt]
listen = "x"
"""
        ) == [
            "faxgw.toml:2: smtp.listn: unknown key; did you mean 'listen'?",
            "faxgw.toml:3: smtp.max_size: could not interpret byte unit: apples",
            'faxgw.toml:4: smtp.deadline: must be a span of time with its units, such as "30s", "5m" or "1h30m"',
            "faxgw.toml:5: smtp.domains: must be a list",
            "faxgw.toml:6: smtp.starttls: must be true or false",
            "faxgw.toml:9: trunk[0].host: must be a host name",
            "faxgw.toml:10: trunk[0].transport: must be one of 'udp' or 'tcp'",
            "faxgw.toml:11: trunk[0].contract.share: must be a number",
            "faxgw.toml:11: trunk[0].contract.channel: unknown key; did you mean 'channels'?",
            "faxgw.toml:13: trunk[1].host: is required",
            "faxgw.toml:16: smpt: unknown section; did you mean 'smtp'?",
        ]

    def test_a_duplicate_is_named_and_the_rest_is_still_checked(self, folder: Folder) -> None:
        assert folder.faults('[smtp]\nstarttls = true\nstarttls = [\n1]\nlistn = "x"\n') == [
            "faxgw.toml:3: smtp.starttls: stands twice, first in line 2",
            "faxgw.toml:5: smtp.listn: unknown key; did you mean 'listen'?",
        ]

    def test_a_table_given_twice_is_named(self, folder: Folder) -> None:
        (fault,) = folder.faults("[smtp]\n[log]\n[smtp]\n")
        assert fault.startswith("faxgw.toml:3: ")

    def test_a_syntax_error_hides_no_faults_of_other_files_and_invents_none(self, folder: Folder) -> None:
        folder.write("[smtp]\nlistn = 1\n", "conf.d/a.toml")
        assert folder.faults('[[trunk]]\nhost = "a"\n[relay]\nhost = mail\n') == [
            "faxgw.toml:4: invalid value",
            "conf.d/a.toml:2: smtp.listn: unknown key; did you mean 'listen'?",
        ]

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("[trunk]\nhost = 'a'\n", "faxgw.toml:1: trunk: may stand several times: write [[trunk]]"),
            ("[[smtp]]\n", "faxgw.toml:1: smtp: stands once, as a table: write [smtp]"),
            ("smtp = 5\n", "faxgw.toml:1: smtp: stands once, as a table: write [smtp]"),
            ("[relay]\n", "faxgw.toml:1: relay.host: is required"),
            ("[smtp]\nnetworks = { a = 5 }\n", "faxgw.toml:2: smtp.networks.a: must be a text in quotes"),
            ("[smtp]\ntls = { certificate = '/x' }\n", "faxgw.toml:2: smtp.tls.key: is required"),
            ("[[trunk]]\nhost='a'\ncontract.share = nan\n", "faxgw.toml:3: trunk[0].contract.share: "),
            ("[smtp]\nhosts = [{ name = 5 }]\n", "faxgw.toml:2: smtp.hosts[0].name: must be a text in quotes"),
            ("[smtp]\nhosts = []\n", "faxgw.toml:2: smtp.hosts: needs 1 or more entries"),
            ("a = " + "[" * 5000, "faxgw.toml: is nested too deeply"),
        ],
    )
    def test_one_fault_one_line(self, folder: Folder, text: str, fault: str) -> None:
        (found,) = folder.faults(text)
        assert found.startswith(fault)

    def test_a_file_that_cannot_be_read_is_a_fault(self, folder: Folder) -> None:
        (fault,) = load(folder.path / "none.toml", SECTIONS, environ={}).faults
        assert fault.message == "cannot be read: No such file or directory"

    def test_a_huge_file_and_one_that_is_not_utf_8_are_faults(self, folder: Folder) -> None:
        assert folder.faults("#" * 1_000_001) == ["faxgw.toml: is larger than 1000000 octets"]
        (folder.path / "latin.toml").write_bytes(b"[smtp]\n# \xe9\n")
        (fault,) = load(folder.path / "latin.toml", SECTIONS, environ={}).faults
        assert (fault.line, fault.message) == (2, "is not UTF-8")

    def test_faults_of_variables_name_the_variable(self, folder: Folder) -> None:
        assert folder.faults(
            '[[trunk]]\nhost = "a"\n',
            FAXGW_SMTP__LISTN="x",
            FAXGW_SMTP__STARTTLS="maybe",
            FAXGW_TRUNK__2__HOST="b",
            FAXGW_TRUNK__PASSWORD="x",
            FAXGW_TRUNK="[]",
        ) == [
            "environment FAXGW_TRUNK__2__HOST: trunk: has no entry 2; the first is 0",
            "environment FAXGW_TRUNK__PASSWORD: trunk: is a list: name an entry by its number, then a key",
            "environment FAXGW_SMTP__STARTTLS: smtp.starttls: must be true or false",
            "environment FAXGW_SMTP__LISTN: smtp.listn: unknown key; did you mean 'listen'?",
        ]

    def test_a_section_at_fault_cannot_be_had(self, folder: Folder) -> None:
        settings = folder.load("[smtp]\nlistn = 1\n")
        assert settings.one("log", LogSettings) == LogSettings()
        with pytest.raises(SettingsError, match="listn"):
            settings.one("smtp", Smtp)
        with pytest.raises(SettingsError, match="listn"):
            settings.check()


class TestSecrets:
    TEXT = '[[trunk]]\nhost = "a"\npassword = "hunter2"\n'

    def test_one_written_into_a_file_that_all_may_read_is_refused(self, folder: Folder) -> None:
        settings = load(folder.write(self.TEXT, mode=0o644), SECTIONS, environ={})
        (fault,) = settings.faults
        assert (fault.line, fault.key) == (3, "trunk[0].password")
        assert "every user can read" in fault.message

    def test_a_reference_may_stand_in_such_a_file(self, folder: Folder) -> None:
        text = self.TEXT.replace('"hunter2"', '{ env = "PW" }')
        assert load(folder.write(text, mode=0o644), SECTIONS, environ={"PW": "hunter2"}).faults == ()

    def test_neither_faults_nor_the_effective_settings_show_it(self, folder: Folder) -> None:
        settings = folder.load(
            self.TEXT + '[[trunk]]\nhost = "hunter2 hunter2"\npassword = ["hunter2"]\ncontract.channels = "hunter2"\n',
            FAXGW_LOG__LEVEL="hunter2",
        )
        assert len(settings.faults) == 4
        assert "hunter2" not in str(settings.faults)
        fine = folder.load(self.TEXT)
        assert "hunter2" not in f"{effective(fine)} {fine.many('trunk', Trunk)}"


class TestEffective:
    def test_every_value_is_shown_with_its_origin(self, folder: Folder) -> None:
        settings = folder.load(
            '[smtp]\nmax_size = "5MiB"\ndomains = ["a"]\n[[trunk]]\nhost = "a"\npassword = "p"\n',
            FAXGW_LOG__LEVEL="DEBUG",
        )
        file = folder.path / "faxgw.toml"
        found = {item.key: (item.value, item.origin) for item in effective(settings)}
        assert found == {
            "smtp.listen": ('"127.0.0.1:2525"', "default"),
            "smtp.max_size": ('"5MiB"', f"{file}:2"),
            "smtp.deadline": ('"5m"', "default"),
            "smtp.domains": ('["a"]', f"{file}:3"),
            "smtp.starttls": ("false", "default"),
            "smtp.tls": ("(not set)", "default"),
            "smtp.spool": ('"/var/spool"', "default"),
            "smtp.networks": ("{}", "default"),
            "smtp.hosts[0].name": ('"localhost"', "default"),
            "trunk[0].host": ('"a"', f"{file}:5"),
            "trunk[0].transport": ('"udp"', "default"),
            "trunk[0].password": ("********", f"{file}:6"),
            "trunk[0].contract.channels": ("2", "default"),
            "trunk[0].contract.share": ("0.5", "default"),
            "log.level": ('"DEBUG"', "environment FAXGW_LOG__LEVEL"),
            "log.format": ('"auto"', "default"),
            "log.show_numbers": ("false", "default"),
        }
