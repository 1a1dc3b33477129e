"""Mail templates: packages, settings and logos that are read, and what is refused with the file's name."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

import pytest
from PIL import Image

from faxgw.formats import mail_template
from faxgw.formats.cover_template import TemplateRefused
from faxgw.formats.mail_template import MAX_FILES, MAX_LOGO, MAX_UNPACKED, Occasion, Part, read


def package(files: Mapping[str, bytes | str], settings: str = 'organisation = "Acme"') -> bytes:
    """A ZIP of a template."""
    return _packed({"mail.toml": settings, **files})


def _packed(files: Mapping[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def picture(form: str, size: tuple[int, int] = (120, 40)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "navy").save(out, form)
    return out.getvalue()


def test_settings_alone_are_a_template() -> None:
    brand = read(
        b'organisation = "Acme"\ncolour = "#AA2255"\npage_picture = false\n[footer]\nen = "One\\nTwo"\nde = "Eins"'
    ).brand
    assert (brand.organisation, brand.colour, brand.page_picture, brand.logo) == ("Acme", "#aa2255", False, None)
    assert brand.footer_in("en") == ("One", "Two")
    assert brand.footer_in("de") == ("Eins",)
    assert brand.footer_in("fr") == ("One", "Two")
    assert read(b'footer = "All"').brand.footer_in("fr") == ("All",)
    assert read(b"").brand.footer_in("en") == ()


@pytest.mark.parametrize(("form", "name"), [("PNG", "logo.png"), ("JPEG", "logo.jpg"), ("GIF", "l.gif")])
def test_a_logo_is_measured_and_never_shown_larger_than_it_is(form: str, name: str) -> None:
    logo = read(package({name: picture(form)}, f'logo = "{name}"')).brand.logo
    assert logo is not None
    assert (logo.subtype, logo.width, logo.height) == (form.lower(), 120, 40)
    wide = read(package({name: picture(form, (1200, 400))}, f'logo = "{name}"\nlogo_width = 240')).brand.logo
    assert wide is not None and (wide.width, wide.height) == (240, 80)


def test_parts_are_found_by_occasion_and_language() -> None:
    found = read(package({"status.txt": "${title}", "status.fr.txt": "F ${title}", "list.subject": "${result}"}))
    general, french = found.parts["status.txt"], found.parts["status.fr.txt"]
    assert found.part(Occasion.STATUS, "en", Part.TEXT) is general
    assert found.part(Occasion.STATUS, "fr", Part.TEXT) is french
    assert found.part(Occasion.LIST, "fr", Part.TEXT) is None
    assert found.part(Occasion.LIST, "fr", Part.SUBJECT) is found.parts["list.subject"]
    assert found.part(Occasion.STATUS, "en", Part.HTML) is None


def test_a_folder_around_all_files_and_litter_do_not_count() -> None:
    settings = 'colour = "#112233"'
    litter = {"__MACOSX/mine/._x": "", "mine/.DS_Store": ""}
    found = read(_packed({"mine/mail.toml": settings, "mine/status.txt": "${title}", **litter}))
    assert found.brand.colour == "#112233" and set(found.parts) == {"status.txt"}


def _truncated_png() -> bytes:
    return picture("PNG")[:-5]


def _huge_png() -> bytes:
    octets = picture("PNG")
    return octets[:16] + struct.pack(">II", 5_000, 40) + octets[24:]


REFUSED = [
    (b"organisation = 5", "mail.toml: organisation must be a printable text"),
    (b'organisation = "' + b"x" * 61 + b'"', "mail.toml: organisation must be a printable text"),
    (b'colour = "red"', "mail.toml: colour must be a colour such as #0b5fa5"),
    (b"page_picture = 1", "mail.toml: page_picture must be true or false"),
    (b'footer = "' + b"x" * 2_001 + b'"', "mail.toml: footer must be printable"),
    (b'[footer]\nes = "x"', "mail.toml: footer must be a text, or a table"),
    (b'color = "#112233"', "mail.toml: 'color' is not known"),
    (b"= 1", "mail.toml: is no TOML"),
    (b"\xff\xfe", "mail.toml: is no TOML"),
    (b'logo = "logo.png"', "mail.toml: the logo logo.png is not in the package"),
    (b"logo_width = 100", "mail.toml: logo_width without a logo"),
    (package({"l.png": picture("PNG")}, 'logo = "l.png"\nlogo_width = 5_000'), "mail.toml: logo_width must be a whole"),
    (package({"l.png": b"x" * (MAX_LOGO + 1)}, 'logo = "l.png"'), f"a logo may have {MAX_LOGO:,}"),
    (package({"l.png": b"<svg/>"}, 'logo = "l.png"'), "l.png: is no picture that mail programs show"),
    (package({"l.png": _truncated_png()}, 'logo = "l.png"'), "l.png: is no picture that mail programs show"),
    (package({"l.png": b"\xff\xd8\xff\xe0\x00\x04"}, 'logo = "l.png"'), "l.png: is no picture that mail"),
    (package({"l.png": _huge_png()}, 'logo = "l.png"'), "l.png: has 5000 × 40 pixels"),
    (package({"other.html": "x"}), "other.html: is neither a part"),
    (package({"status.it.html": "x"}), "status.it.html: is neither a part"),
    (package({"../status.html": "x"}), "../status.html: is neither a part"),
    (package({"status.html": b"\xff"}), "status.html: is not UTF-8"),
    (package({"status.html": "a\0b"}), "status.html: has characters that no text has"),
    (package({"status.html": "a\n${b"}), "status.html: Template, line 2"),
    (package({"status.html": "<#include 'x'>"}), "status.html: Template, line 1"),
    (package({f"status{n}.html": "x" for n in range(MAX_FILES + 1)}), f"may have {MAX_FILES} files"),
    (package({"status.html": "x" * (MAX_UNPACKED + 1)}), f"may unpack to {MAX_UNPACKED:,} octets"),
    (b"PK\x03\x04 no package", "The package cannot be unpacked."),
    (package({"status.html": "x"})[:-30], "The package cannot be unpacked."),
]


@pytest.mark.parametrize(("content", "said"), REFUSED, ids=[said[:40] for _content, said in REFUSED])
def test_what_is_wrong_is_refused_with_its_file(content: bytes, said: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        read(content)
    assert said in refused.value.public


def test_a_package_with_a_password_or_a_file_twice_is_refused() -> None:
    octets = bytearray(package({"status.txt": "${title}"}))
    central = octets.rfind(b"PK\x01\x02")
    octets[central + 8] |= 1
    with pytest.raises(TemplateRefused, match=r"encrypted|package"):
        read(bytes(octets))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("status.txt", "a")
        archive.writestr("status.txt", "b")
    with pytest.raises(TemplateRefused, match="twice"):
        read(out.getvalue())


def test_any_octets_are_a_template_or_are_refused() -> None:
    whole = package({"logo.png": picture("PNG"), "status.html": "${title}"}, 'logo = "logo.png"')
    for at in range(0, len(whole), 7):
        damaged = bytes([*whole[:at], whole[at] ^ 0x55, *whole[at + 1 :]])
        try:
            assert isinstance(read(damaged), mail_template.MailTemplate)
        except TemplateRefused as refused:
            assert refused.public
