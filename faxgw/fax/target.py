"""Where received faxes are delivered: a target says which way, to whom, in which formats and under which names.

A target belongs to a customer, or to the gateway and then to every customer. What a way out needs is checked here,
once, when the target is stored; what is secret of it (passwords, keys) is only named here, and handed to the way out
alone (`store.targets.secrets_of`). A `snapshot` is what a delivery carries: a target that is changed afterwards does
not change what is under way.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # JSON
from urllib.parse import urlsplit

MAX_TARGETS = 500
"""Targets of one customer, and of the gateway."""
MAX_NAME = 64
"""Characters of a target's name."""
MAX_ADDRESS = 1_000
"""Characters of an address, as many as the outbox takes."""
MAX_VALUE = 8_000
"""Characters of one parameter or secret; an RSA key of 4096 bits in PEM has 3,300."""
MAX_FILE_NAME = 200
"""Characters of a file name and of its template, without the ending; file systems take 255 octets."""
MAIL_MARK = "mail:"
"""How the id of a target begins that is nothing but a mail address of the settings or of a rule."""


class TargetKind(enum.StrEnum):
    """Ways out."""

    MAIL = "mail"
    SFTP = "sftp"
    FTP = "ftp"
    """FTP, FTPS by AUTH TLS, or FTPS from the first octet: `tls` says which."""
    WEBHOOK = "webhook"
    PULL = "pull"
    """Kept until a program fetches it (`/faxin/rest/v1`); the address is the topic."""
    PICKUP = "pickup"
    """The pick-up area of a login on our own SFTP and FTP server; the address is the login."""
    FOLDER = "folder"
    """A folder of this machine, below those that the operator opens for it."""
    PRINT = "print"
    """A printer (IPP)."""

    @property
    def parcel(self) -> str:
        """Kind of its outbox items, by which a way out is found: `received_sftp`."""
        return f"received_{self.value}"


class Format(enum.StrEnum):
    """Forms in which a received fax can be had."""

    PDF = "pdf"
    PDF_A = "pdf/a"
    TIFF = "tiff"
    """One file with every page as it came."""
    TIFF_G4 = "tiff-g4"
    """One file with every page in Group 4 (ITU-T T.6)."""
    TIFF_PAGES = "tiff-pages"
    """One file for each page."""
    TEXT = "text"
    XML = "xml"
    XLSX = "xlsx"
    XLS = "xls"
    HTML = "html"
    RTF = "rtf"
    BARCODES = "barcodes"
    """A line for each barcode."""

    @property
    def pictures(self) -> bool:
        """True when it shows the pages themselves; False when it only says what was read on them."""
        return self in (Format.PDF, Format.PDF_A, Format.TIFF, Format.TIFF_G4, Format.TIFF_PAGES)


class Encryption(enum.StrEnum):
    """What happens to a document before it leaves (features G5)."""

    NONE = "none"
    PASSWORD = "password"
    """A PDF that asks for a password; the secret `document_password`."""
    CERTIFICATE = "certificate"
    """A PDF for the holder of an X.509 certificate, which is `recipient_key`."""
    PGP = "pgp"
    """The file as an OpenPGP message for the key that is `recipient_key`."""


_PDF_ONLY = frozenset({Encryption.PASSWORD, Encryption.CERTIFICATE})
_WAYS_OF_ENCRYPTION: Mapping[Encryption, frozenset[TargetKind]] = {
    Encryption.PASSWORD: frozenset(TargetKind) - {TargetKind.PRINT},
    Encryption.CERTIFICATE: frozenset(TargetKind) - {TargetKind.PRINT, TargetKind.MAIL},
    Encryption.PGP: frozenset(TargetKind) - {TargetKind.PRINT, TargetKind.MAIL},
}
"""Mails take a password alone; what a printer is sent it must be able to read."""


class TargetDefect(ValueError):
    """What is wrong with a target, every fault a sentence that names its key."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Target:
    """Where received faxes go."""

    id: str
    """`tgt_…`, or MAIL_MARK and an address for a mailbox that no target was made for."""
    customer: str
    """Customer id; empty: the gateway's own, for every customer."""
    name: str
    """As rules name it."""
    kind: TargetKind
    address: str
    """Mail address, URL, topic, login, folder or printer, as the kind has it."""
    params: Mapping[str, str] = field(default_factory=dict)
    """What else the way out is told, by the keys of PARAMS."""
    formats: tuple[Format, ...] = (Format.PDF,)
    """What is delivered, in this order; each at most once."""
    searchable: bool = False
    """PDF and PDF/A bear the text that was read, invisible behind the page."""
    upright: bool = False
    """Pages that came upside down or on their side are turned."""
    file_name: str = ""
    """Template of the file names, without their endings; empty: as the mail names them."""
    encryption: Encryption = Encryption.NONE
    recipient_key: str = ""
    """Certificate (PEM) or public key (ASCII armour) that documents are encrypted for."""
    secrets: tuple[str, ...] = ()
    """Names of the secrets that are kept for it; their values are never here."""
    active: bool = True

    @property
    def needs_reading(self) -> bool:
        """True when its documents say what was read on the pages, so that they wait for it."""
        return self.searchable or any(not one.pictures for one in self.formats)

    def snapshot(self) -> dict[str, Any]:
        """A JSON-able form for a delivery."""
        return {
            "id": self.id,
            "customer": self.customer,
            "name": self.name,
            "kind": self.kind.value,
            "address": self.address,
            "params": dict(self.params),
            "formats": [one.value for one in self.formats],
            "searchable": self.searchable,
            "upright": self.upright,
            "file_name": self.file_name,
            "encryption": self.encryption.value,
            "recipient_key": self.recipient_key,
            "secrets": list(self.secrets),
        }


def from_snapshot(data: Mapping[str, Any]) -> Target:
    """The inverse of `Target.snapshot`."""
    return Target(
        id=data["id"],
        customer=data["customer"],
        name=data["name"],
        kind=TargetKind(data["kind"]),
        address=data["address"],
        params=dict(data["params"]),
        formats=tuple(Format(one) for one in data["formats"]),
        searchable=data["searchable"],
        upright=data["upright"],
        file_name=data["file_name"],
        encryption=Encryption(data["encryption"]),
        recipient_key=data["recipient_key"],
        secrets=tuple(data["secrets"]),
    )


def mailbox(address: str) -> Target:
    """The target that a plain mail address is."""
    return Target(f"{MAIL_MARK}{address}", "", address, TargetKind.MAIL, address)


# -------------------------------------------------------------------------------------------------- what a kind takes


def _choice(*choices: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        return "" if value in choices else "must be one of " + ", ".join(choices)

    return check


def _matching(pattern: str, says: str) -> Callable[[str], str]:
    expression = re.compile(pattern)

    def check(value: str) -> str:
        return "" if expression.fullmatch(value) else says

    return check


_FINGERPRINTS = _matching(
    r"SHA256:[A-Za-z0-9+/]{43}=?( SHA256:[A-Za-z0-9+/]{43}=?){0,7}",
    "must be fingerprints of host keys, SHA256:…, at most 8 with a space between",
)
_FOLDER = _matching(r"[^\x00-\x1f\\]{0,400}", "must be a folder without control characters and backslashes")
_SIDECARS = _matching(r"(idx|xml)?( (idx|xml))?", "must be idx, xml or both with a space between")
_USER = _matching(r"[!-~]{1,128}", "must be a login of printable ASCII without spaces")
_NUMBER = _matching(r"[1-9][0-9]?", "must be a number from 1 to 99")
_TEXT = _matching(r"[^\x00-\x1f\x7f]{0,400}", "must be one line of at most 400 characters")

PARAMS: Mapping[TargetKind, Mapping[str, Callable[[str], str]]] = {
    TargetKind.MAIL: {},
    TargetKind.SFTP: {"user": _USER, "host_key": _FINGERPRINTS, "folder": _FOLDER, "sidecars": _SIDECARS},
    TargetKind.FTP: {
        "user": _USER,
        "folder": _FOLDER,
        "sidecars": _SIDECARS,
        "tls": _choice("explicit", "implicit", "none"),
    },
    TargetKind.WEBHOOK: {
        "mode": _choice("native", "json", "soap", "plain", "base64"),
        "user": _USER,
        "auth": _choice("body", "basic", "digest", "oauth2"),
        "token_url": _matching(r"https?://[!-~]{1,900}", "must be a URL, https or http"),
    },
    TargetKind.PULL: {},
    TargetKind.PICKUP: {"folder": _FOLDER, "sidecars": _SIDECARS},
    TargetKind.FOLDER: {"sidecars": _SIDECARS},
    TargetKind.PRINT: {
        "user": _USER,
        "media": _TEXT,
        "sides": _choice("one-sided", "two-sided-long-edge", "two-sided-short-edge"),
        "copies": _NUMBER,
    },
}
"""Parameters of each kind, each with its check: a sentence, or empty when the value is good."""

NEEDED: Mapping[TargetKind, tuple[str, ...]] = {
    TargetKind.SFTP: ("user", "host_key"),
    TargetKind.FTP: ("user", "tls"),
    TargetKind.WEBHOOK: ("mode",),
}
"""Parameters that a kind cannot do without: whom we speak to is never guessed."""

SECRETS: Mapping[TargetKind, tuple[str, ...]] = {
    TargetKind.SFTP: ("password", "private_key", "passphrase"),
    TargetKind.FTP: ("password",),
    TargetKind.WEBHOOK: ("password", "token", "signing_secret"),
    TargetKind.PRINT: ("password",),
}
"""Secrets that a kind may have, besides `document_password`."""
DOCUMENT_PASSWORD = "document_password"  # the name of a secret, not a secret
"""Secret of every target whose PDF files ask for a password."""
SCHEMES: Mapping[TargetKind, tuple[str, ...]] = {
    TargetKind.WEBHOOK: ("https", "http"),
    TargetKind.PRINT: ("ipps", "ipp"),
}
"""Schemes of the URLs of kinds that have one."""


def check(target: Target) -> None:
    """Whether a target can be stored.

    Raises:
        TargetDefect: If not, with every fault.
    """
    faults = [*_name(target), *_address(target), *_params(target), *_documents(target), *_secrets(target)]
    if faults:
        raise TargetDefect(faults)


def _name(target: Target) -> list[str]:
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", target.name) is None:
        return [f"name: must have 1 to {MAX_NAME} small letters, digits and . _ -, a letter or digit first"]
    return ["name: owner means the mailboxes of the number"] if target.name == "owner" else []


_ADDRESSES: Mapping[TargetKind, tuple[str, str]] = {
    TargetKind.MAIL: (r"[^\s@<>,;\"]{1,64}@[^\s@<>,;\"]{1,255}", "must be a mail address"),
    TargetKind.SFTP: (
        r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[1-9][0-9]{0,4})?",
        "must be a host, with or without :port",
    ),
    TargetKind.FTP: (
        r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[1-9][0-9]{0,4})?",
        "must be a host, with or without :port",
    ),
    TargetKind.PULL: (r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "must be a topic of letters, digits and . _ -"),
    TargetKind.PICKUP: (r"[!-~]{1,128}", "must be the login whose pick-up area it is"),
    TargetKind.FOLDER: (r"/[^\x00-\x1f]{1,900}", "must be an absolute path"),
}


def _address(target: Target) -> list[str]:
    schemes = SCHEMES.get(target.kind)
    if schemes is not None:
        return _url(target.address, schemes)
    pattern, says = _ADDRESSES[target.kind]
    if len(target.address) > MAX_ADDRESS or re.fullmatch(pattern, target.address) is None:
        return [f"address: {says}"]
    if target.kind is TargetKind.FOLDER and ".." in target.address.split("/"):
        return ["address: must be an absolute path without .."]
    _host, colon, port = target.address.rpartition(":")
    if target.kind in (TargetKind.SFTP, TargetKind.FTP) and colon and port.isdigit() and int(port) > 65_535:
        return ["address: the port must be at most 65535"]
    return []


def _url(address: str, schemes: Sequence[str]) -> list[str]:
    says = [f"address: must be a URL, {' or '.join(schemes)}, without a login in it"]
    if len(address) > MAX_ADDRESS or re.fullmatch(r"[!-~]+", address) is None:
        return says
    try:
        parts = urlsplit(address)
        good = parts.scheme in schemes and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        good = False
    return [] if good else says


def _params(target: Target) -> list[str]:
    known = PARAMS[target.kind]
    faults = []
    for key, value in target.params.items():
        if key not in known:
            takes = ", ".join(known) or "none"
            faults.append(f"{key}: {target.kind.value} targets have no such parameter (they have {takes})")
        elif len(value) > MAX_VALUE or (says := known[key](value)):
            faults.append(f"{key}: {says if len(value) <= MAX_VALUE else 'is too long'}")
    needed = NEEDED.get(target.kind, ())
    faults += [f"{key}: {target.kind.value} targets need it" for key in needed if not target.params.get(key)]
    return faults


def _documents(target: Target) -> list[str]:
    faults = []
    if not target.formats or len(set(target.formats)) != len(target.formats):
        faults.append("formats: must be one or several, each once")
    if target.kind is TargetKind.PRINT and any(not one.pictures or one is Format.TIFF_PAGES for one in target.formats):
        faults.append("formats: printers are sent pdf, pdf/a, tiff or tiff-g4")
    if target.searchable and not {Format.PDF, Format.PDF_A} & set(target.formats):
        faults.append("searchable: only pdf and pdf/a bear text")
    faults += [f"file_name: {fault}" for fault in file_name_faults(target.file_name)]
    return faults + _encryption(target)


def _encryption(target: Target) -> list[str]:
    """Which documents can be encrypted how, and on which ways (features G5)."""
    how, faults = target.encryption, []
    if how is Encryption.NONE:
        return ["recipient_key: nothing is encrypted for it"] if target.recipient_key else []
    if target.kind not in _WAYS_OF_ENCRYPTION[how]:
        faults.append(f"encryption: {target.kind.value} targets cannot have {how.value}")
    if Format.PDF_A in target.formats:
        faults.append("encryption: PDF/A forbids it (ISO 19005-2 section 6.1.3); deliver pdf instead")
    pictures = [one for one in target.formats if one.pictures]
    if not pictures:
        faults.append("encryption: none of the formats is encrypted; text, XML, tables and HTML travel as they are")
    elif how in _PDF_ONLY and any(one not in (Format.PDF, Format.PDF_A) for one in pictures):
        faults.append(f"encryption: {how.value} is for pdf alone; TIFF files can have pgp")
    if how is not Encryption.PASSWORD and not target.recipient_key:
        faults.append(f"recipient_key: {how.value} needs it")
    if how is Encryption.PASSWORD and target.recipient_key:
        faults.append("recipient_key: a password needs none")
    if len(target.recipient_key) > MAX_VALUE:
        faults.append("recipient_key: is too long")
    return faults


def _secrets(target: Target) -> list[str]:
    known = {*SECRETS.get(target.kind, ())}
    if target.encryption is Encryption.PASSWORD:
        known.add(DOCUMENT_PASSWORD)
        if DOCUMENT_PASSWORD not in target.secrets:
            return [f"{DOCUMENT_PASSWORD}: the encryption needs it"]
    unknown = sorted(set(target.secrets) - known)
    return [f"{name}: such a target has no secret of that name" for name in unknown]


# ------------------------------------------------------------------------------------------------------- file names

FILE_NAME_FIELDS: Mapping[str, str] = {
    "account": "id of the customer",
    "number": "our number, digits",
    "caller": "the caller's number, digits; unknown without one",
    "csid": "the sender's identification",
    "date": "20261122, in the number's time zone",
    "time": "051530",
    "status": "OK, or INCOMPLETE",
    "id": "id of the received fax",
    "pages": "number of pages",
    "tags": "tags of the rules, with - between",
}
"""What a template of file names may name, in braces, and what stands there then."""
_FIELD = re.compile(r"\{([a-z]+)\}")


def file_name_faults(template: str) -> list[str]:
    """What is wrong with a template of file names; empty is good, and so is none."""
    if len(template) > MAX_FILE_NAME or not template.isprintable() or re.search(r"[/\\:*?\"<>|]", template):
        return [f'must be printable, of at most {MAX_FILE_NAME} characters, without / \\ : * ? " < > |']
    unknown = [name for name in _FIELD.findall(template) if name not in FILE_NAME_FIELDS]
    if unknown or re.search(r"[{}]", _FIELD.sub("", template)):
        known = ", ".join(f"{{{name}}}" for name in FILE_NAME_FIELDS)
        return [f"knows {known} and no other braces"]
    return []


def file_name(template: str, values: Mapping[str, str]) -> str:
    """A file name without its ending, of a template that was checked.

    Args:
        template: Of the target.
        values: By the keys of FILE_NAME_FIELDS; what strangers wrote may be in them.

    Returns:
        ASCII letters, digits and `. _ + -` alone: no path, nothing hidden, never empty.
    """
    filled = _FIELD.sub(lambda found: values.get(found[1], ""), template)
    safe = re.sub(r"[^A-Za-z0-9._+-]+", "_", filled)[:MAX_FILE_NAME]
    return safe.strip("._") or "fax"
