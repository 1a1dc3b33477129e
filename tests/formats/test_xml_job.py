"""Job files: what is read, what is refused and with which words, what reports look like."""

from __future__ import annotations

import base64

import pytest

from faxgw.document.limits import MAX_DOCUMENTS
from faxgw.fax.vendor_report import VendorRecipient, VendorReport
from faxgw.formats.xml_job import (
    MAX_FAXES,
    BadJob,
    ReportedFax,
    is_plain_name,
    read_job,
    refusal_file,
    report_file,
    report_name,
)
from faxgw.formats.xml_tree import BadXml, EndsEarly, read_xml

FAX = """<fax><job-reference>A-7</job-reference><distribution-list><fax-address><fax-number>+33 1 23 45 67 89
</fax-number></fax-address></distribution-list><fax-file-list><fax-file><file-name>a.pdf</file-name></fax-file>
</fax-file-list></fax>"""


def job(inner: str = FAX, root: str = "fax-jobs", reference: str = "<reference>R</reference>") -> bytes:
    return f"<{root}>{reference}{inner}</{root}>".encode()


def fax(options: str = "", address: str = "<fax-number>1</fax-number>", files: str = "") -> bytes:
    given = files or "<fax-file><file-name>a.pdf</file-name></fax-file>"
    return job(
        f"<fax><distribution-list><fax-address>{address}</fax-address></distribution-list>"
        f"<fax-file-list>{given}</fax-file-list><options>{options}</options></fax>"
    )


def test_a_job_of_the_vendors_elements_is_read_whatever_its_root_is_called() -> None:
    for root in ("fax-jobs", "anything", "x:job"):
        found = read_job(job(root=root) if ":" not in root else job(root='x:job xmlns:x="u"').replace(
            b'</x:job xmlns:x="u">', b"</x:job>"))  # fmt: skip
        assert (found.root, found.reference, found.ignored) == (root.rpartition(":")[2], "R", ())
        (one,) = found.faxes
        assert (one.reference, one.recipients[0].number, found.names()) == ("A-7", "+33 1 23 45 67 89", ["a.pdf"])


def test_several_faxes_name_each_document_once() -> None:
    found = read_job(job(FAX + FAX))
    assert len(found.faxes) == 2 and found.names() == ["a.pdf"]


@pytest.mark.parametrize(
    "given, charset",
    [("", "iso-8859-1"), ("88591", "iso-8859-1"), ("88592", "iso-8859-2"), ("ISO-8859-2", "iso-8859-2"),
     ("UTF-8", "utf-8"), ("US-ASCII", "ascii")],
)  # fmt: skip
def test_texts_have_the_vendors_charsets(given: str, charset: str) -> None:
    encoding = f"<file-encoding>{given}</file-encoding>" if given else ""
    (one,) = read_job(fax(files=f"<fax-file><file-name>a.TXT</file-name>{encoding}</fax-file>")).faxes
    assert one.files[0].charset == charset
    (one,) = read_job(fax(files=f"<fax-file><file-name>a.pdf</file-name>{encoding}</fax-file>")).faxes
    assert one.files[0].charset is None


def test_our_own_elements_override_settings() -> None:
    options = """<csid>ACME +33 1 23</csid><header>%P</header><resolution>HIGH</resolution><paper-format>letter
    </paper-format><priority>EXPRESS</priority><billing-code>B1</billing-code><coverpage>c</coverpage>
    <not-before>2026-11-22T08:00:00+01:00</not-before><not-after>2026-11-22T09:00:00+01:00</not-after>
    <report-failure>a@example.org</report-failure>"""
    content = base64.b64encode(b"hello").decode()
    address = """<fax-number>1</fax-number><alternative-number>2</alternative-number>
    <property name="ToName">Ann</property>"""
    file = f"<fax-file><file-name>a.txt</file-name><file-content>{content}</file-content></fax-file>"
    found = read_job(fax(options, address, file))
    (one,) = found.faxes
    assert one.settings == {
        "csid": "+33 1 23", "header": "%P", "resolution": "fine", "paper": "Letter", "priority": "express",
        "billing_code": "B1",
    }  # fmt: skip
    assert (one.cover, one.success_to, one.failure_to) == ("c", (), ("a@example.org",))
    assert one.earliest is not None and one.latest == one.earliest + 3600
    assert one.recipients[0].alternatives == ("2",) and one.recipients[0].properties == (("ToName", "Ann"),)
    assert one.files[0].content == b"hello" and found.names() == []


def test_unknown_elements_are_left_alone_and_named() -> None:
    found = read_job(job('<note/><fax><colour deep="1"><red/></colour>' + FAX[5:]))
    assert found.ignored == ("note", "fax/colour")


@pytest.mark.parametrize(
    "octets, said",
    [
        (b"<a/>", "no element “fax”"),
        (job("<fax></fax>"), "no recipient"),
        (job("<fax/>" * (MAX_FAXES + 1)), f"at most {MAX_FAXES} faxes"),
        (fax(files="<fax-file><file-name>a</file-name></fax-file>" * (MAX_DOCUMENTS + 1)), "at most 60 documents"),
        (fax(address="<fax-number> </fax-number>"), "no number"),
        (fax(address="<fax-number>" + "1" * 129 + "</fax-number>"), "at most 128"),
        (fax(address="<fax-number>1</fax-number>" + "<alternative-number>2</alternative-number>" * 6), "at most 5"),
        (fax(address="<fax-number>1</fax-number><property>x</property>"), "no name"),
        (fax(files="<fax-file/>"), "file-name"),
        (fax(files="<fax-file><file-name>../a.pdf</file-name></fax-file>"), "file-name"),
        (fax(files="<fax-file><file-name>/etc/passwd</file-name></fax-file>"), "file-name"),
        (fax(files="<fax-file><file-name>.hidden</file-name></fax-file>"), "file-name"),
        (fax(files="<fax-file><file-name>a.txt</file-name><file-encoding>ebcdic</file-encoding></fax-file>"), "88591"),
        (fax(files="<fax-file><file-name>a</file-name><file-content>?</file-content></fax-file>"), "not base64"),
        (fax(files="<fax-file><file-name>a</file-name><file-content/></fax-file>"), "is empty"),
        (fax("<resolution>ultra</resolution>"), "resolution must be one of"),
        (fax("<paper-format>A3</paper-format>"), "paper-format must be one of"),
        (fax("<priority>now</priority>"), "priority must be one of"),
        (fax("<header>%</header>"), "header"),
        (fax("<report-success>nobody</report-success>"), "mail address"),
        (fax("<not-before>tomorrow</not-before>"), "must be a time"),
        (fax("<not-after>2026-11-22T08:00:00</not-after>"), "no time zone"),
        (fax("<not-before>2026-11-22T08:00:00Z</not-before><not-after>2026-11-22T07:00:00Z</not-after>"), "not later"),
        (job("<fax><distribution-list><fax-address><fax-number>1</fax-number></fax-address></distribution-list></fax>"),
         "no document"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_job_is_refused(octets: bytes, said: str) -> None:
    with pytest.raises(BadJob) as caught:
        read_job(octets)
    assert said in caught.value.public


@pytest.mark.parametrize(
    "octets, said",
    [
        (b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', "DTD"),
        (b'<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>', "DTD"),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"), "DTD"),
        (b"<a>&undefined;</a>", "well-formed"),
        (b'<?xml version="1.0" encoding="utf-8"?><a>\xe9</a>', "well-formed"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "charset"),
        (b'<?xml version="1.0" encoding="nonesuch"?><a/>', "charset"),
        (b"<a>" * 30 + b"</a>" * 30, "levels"),
        (b"<a" + b"".join(b' a%d=""' % n for n in range(30)) + b"/>", "attributes"),
        (b"<a></b>", "well-formed"),
        (b"not xml", "well-formed"),
    ],
)
def test_what_is_no_xml_as_it_may_be_is_refused(octets: bytes, said: str) -> None:
    """Reliability X-01, X-02."""
    with pytest.raises(BadXml) as caught:
        read_xml(octets)
    assert said in caught.value.public and not caught.value.ends_early


@pytest.mark.parametrize(
    "octets", [b"", b"  \n", b"<a>", b"<a><b", b"<a><![CDATA[x", b"<?xml version='1.0'?>", job()[:-5]]
)
def test_what_ends_in_the_middle_may_still_be_on_its_way(octets: bytes) -> None:
    with pytest.raises(EndsEarly):
        read_xml(octets)


def test_every_cut_of_a_job_is_an_early_end() -> None:
    whole = job()
    for end in range(len(whole)):
        with pytest.raises(EndsEarly):
            read_job(whole[:end])


def test_latin_1_is_read_where_it_is_declared() -> None:
    octets = '<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>'.encode("iso-8859-1")
    assert read_xml(octets).text == "é"


@pytest.mark.parametrize(
    "name, good",
    [("a.pdf", True), ("é b.pdf", True), ("", False), ("a/b", False), ("a\\b", False), ("a\nb", False), ("..", False),
     ("x" * 201, False)],
)  # fmt: skip
def test_names_of_documents_are_plain(name: str, good: bool) -> None:
    assert is_plain_name(name) is good


def test_the_report_has_the_jobs_name_with_rep_and_its_tree_with_a_status() -> None:
    assert report_name("job-order-5-x.xml") == "rep-order-5-x.xml"
    assert report_name("job7.XML", "err") == "err7.XML"
    recipient = VendorRecipient("FN1", "+331 <x>", (("To", "A&B"),), "OK", "OK", 1_795_000_000.0, 21, "00331", "ACME")
    report = VendorReport("F1", (recipient,), 3, {"customerDefinedId": "A-7"})
    found = read_xml(report_file("fax-jobs", "R", [ReportedFax("A-7", report, ("a.pdf",))], ("note",)))
    assert found.name == "fax-jobs" and found.first("reference").text == "R"  # type: ignore[union-attr]
    (one,) = found.all("fax")
    address = one.first("distribution-list").first("fax-address")  # type: ignore[union-attr]
    assert address is not None
    told = {child.name: child.text for child in address.children}
    assert told == {
        "fax-number": "+331 <x>", "property": "A&B", "status": "OK", "reason": "OK",
        "sent-ts": "2026-11-18T11:06:40+00:00", "duration-in-secs": "21", "sent-to-number": "00331",
        "remote-csid": "ACME",
    }  # fmt: skip
    assert one.first("pages").text == "3" and found.first("ignored-element").text == "note"  # type: ignore[union-attr]


def test_a_refusal_says_why_at_the_file_and_at_every_recipient() -> None:
    asked = read_job(job()).faxes
    octets = refusal_file(
        "fax-jobs", "R", asked, code="quota", text="No more.", status="RENDERING_ERROR", first_job="F1"
    )
    found = read_xml(octets)
    error = found.first("error")
    assert error is not None and [c.text for c in error.children] == ["quota", "No more.", "F1"]
    assert b"<status>RENDERING_ERROR</status>" in octets and b"<reason>No more.</reason>" in octets
