"""How texts of the native API and of the administration must be written: for programs a pattern, for people words.

The description of the API has the pattern, as JSON Schema asks for (ECMA 262, section 6.4 of JSON Schema Validation);
who sends something else is told the words, never the pattern.
"""

from __future__ import annotations

from collections.abc import Mapping

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
"""RFC 1123 section 2.1."""
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_REST = rf"(:{_PORT})?(/[!-~]{{0,1000}})?$"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
"""One line of text."""
LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
"""Text of several lines."""
LATIN = r"^[ -~\u00a1-\u00ac\u00ae-\u024f]*$"
"""Letters of Latin scripts, digits, signs and blanks."""
FILE_NAME = r"^[^\x00-\x1f\x7f/\\]+$"
TIME_GIVEN = (
    r"^20[0-9]{2}-(((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01]))|((0[469]|11)-(0[1-9]|[12][0-9]|30))|"
    r"(02-(0[1-9]|1[0-9]|2[0-8])))T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$"
)
"""RFC 3339 section 5.6 with a zone; 29 February is the day after the 28th, and written so."""
BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"
"""RFC 4648 section 4, not empty."""
URL = rf"^https?://({_LABEL}\.){{1,9}}[A-Za-z][A-Za-z0-9-]{{0,61}}[A-Za-z0-9]{_REST}"
"""A document's address: by a name (an international one as `xn--…`, RFC 5890), never by an IP address."""
HOOK_URL = (
    rf"^https?://(({_LABEL}\.){{0,9}}[A-Za-z]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?|({_OCTET}\.){{3}}{_OCTET}){_REST}"
)
"""A program's address: by a name, of one label too, or by an IPv4 address; whether it is open is another question."""
NUMBER = r"^[+0-9][0-9 ()./-]{1,39}[0-9()./-]$"
"""A telephone number as one types it."""
FORM_NUMBER = r"^(\+[1-9]|0[0-9])[0-9 ()./-]{1,39}[0-9()./-]$"
"""In a form all is text: a number is told from others by its beginning."""
NUMBER_FILTER = r"^[+0-9][0-9 ()./-]{0,40}$"
E164 = r"^\+[1-9][0-9]{3,14}$"
NUMBERS_AFTER = r"^\+[0-9]{1,15}$"
STATION_ID = r"^[+0-9 ]{0,20}$"
"""ITU-T T.30 section 5.3.6.2.4."""
MAIL = r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,200}\.[A-Za-z]{2,20}$"
PROPERTY = r"^[A-Za-z0-9_.-]{1,100}$"
"""A property's name, as cover pages use it."""
PROPERTIES = r"^[A-Za-z0-9_.-]{1,100}(,[A-Za-z0-9_.-]{1,100}){0,98}$"
FIELD = r"^[A-Za-z0-9._ -]{1,64}$"
"""A name in a template, as operators write it."""
VALUE = "^[^=]+="
"""A name and its value."""
TEMPLATE = r"^[ -.0-~\u00a1-\u00ac\u00ae-\u024f]{1,200}$"
"""Name of a template as a path may have it, in letters of Latin scripts."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A short name: of a customer, a profile, a user."""
USER = r"^[^\x00-\x20\x7f/]{1,64}$"
"""Name of a user that is there: a short one, or a mail address where a directory made him (`fax.directory`)."""
RULE_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
LOGIN = r"^[^\x00-\x20\x7f:/][^\x00-\x1f\x7f:/]{0,254}$"
"""Without a colon, which ends the name in HTTP Basic (RFC 7617 section 2), and without a slash, for it is in paths."""
DOMAIN = r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
"""RFC 1123 section 2.1, of two labels and more."""
JOB = r"^F[A-MO-Z0-9][A-Z0-9]{20}$"
CURSOR = r"^[A-Za-z0-9_-]{16,300}$"
KEY = r"^[!-~]{1,128}$"
"""An idempotency key."""
EVENT_ID = r"^[0-9]{1,15}$"

_SHORT = "It must have 1 to 64 letters, digits and . _ - and begin with a letter or digit, such as"
WORDS: Mapping[str, str] = {
    PRINTABLE: "It must be one line of text, without line ends, tabs and other control characters",
    LINES: "It must be text: line ends and tabs may be in it, other control characters may not",
    LATIN: "It may have letters of Latin scripts, digits, signs and blanks, such as Müller & Sons 42",
    FILE_NAME: "It must be the name of a file without folders: no / and no \\, such as letter.pdf",
    TIME_GIVEN: "It must be a time with its zone, years 2000 to 2099, such as 2026-11-22T08:00:00Z or "
    "2026-11-22T09:00:00+01:00",
    BASE64: "It must be base64, and not empty",
    URL: "It must be an http or https address with the name of a public host, such as https://example.org/a.pdf; an "
    "international name is written as xn--…",
    HOOK_URL: "It must be an http or https address, by a name or an IPv4 address, such as "
    "https://erp.example.org/faxes; an international name is written as xn--…",
    NUMBER: "It must be a telephone number: 3 to 41 digits, blanks and ( ) . / -, a + in front if you like, such as "
    "+33 1 99 00 00 01",
    FORM_NUMBER: "It must be a telephone number that begins with + or 0: digits, blanks and ( ) . / -, such as "
    "+33 1 99 00 00 01",
    NUMBER_FILTER: "It must be a telephone number or its beginning: digits, blanks and ( ) . / -, such as +33199",
    E164: "It must be a number in international form: + and 4 to 15 digits, such as +33199000001",
    NUMBERS_AFTER: "It must be a number in international form, or its beginning: + and 1 to 15 digits, such as +33199",
    STATION_ID: "It may have 20 characters at most, digits, + and blanks, such as +33 1 99 00 00 01",
    MAIL: "It must be a mail address, such as anna@example.org",
    PROPERTY: "It must have 1 to 100 letters without accents, digits and _ . -, such as Recipient_Name",
    PROPERTIES: "It must be names with commas between them, each of 1 to 100 letters without accents, digits and _ . "
    "-, such as Matter,ToName",
    TEMPLATE: "It must be the name of a template: 1 to 200 letters of Latin scripts, digits, signs and blanks, no /, "
    "such as Lettre à en-tête",
    FIELD: "It must have 1 to 64 letters without accents, digits, blanks and . _ -, such as ToName",
    VALUE: "It must be a name, an equals sign and a value, such as ToName=Ann",
    NAME: f"{_SHORT} sales.paris",
    USER: "It must be the name of a user, such as anna or anna@example.org",
    RULE_NAME: f"{_SHORT.replace('letters', 'small letters', 1)} sales.paris",
    LOGIN: "It must have 1 to 255 characters, no colon, no slash, no control characters and no blank in front, such "
    "as erp",
    DOMAIN: "It must be a domain name of two labels or more, such as fax.example.org",
    JOB: "It must be the id of a job: F and 21 capital letters and digits, such as F0123456789ABCDEFGHIJK",
    CURSOR: "It must be the `next` of an answer",
    KEY: "It must have 1 to 128 printable characters of ASCII without blanks, such as order-4711",
    EVENT_ID: "It must be the id of an event, digits alone",
}
"""What is told of a text that is not written so, by its pattern."""
OTHERWISE = "It is not written as it must be; the description of the API says how"
"""Of a pattern that has no words, which a test forbids."""


def words(pattern: str) -> str:
    """What somebody is told whose text does not fit a pattern; without a full stop."""
    return WORDS.get(pattern, OTHERWISE)
