"""The trial of mail templates: what a house may say in its own words, and what is refused before anybody gets it."""

from __future__ import annotations

import email
import email.policy

import pytest

from faxgw.formats import mail_examples
from faxgw.formats.cover_template import TemplateRefused
from faxgw.formats.mail_examples import EXAMPLES, letter_of, mail_of, page_of, try_out
from faxgw.formats.mail_letter import MAX_FAXES_FILLED, PLAIN
from faxgw.formats.mail_template import LANGUAGES, read
from tests.formats.samples import PNG
from tests.formats.test_mail_template import package, picture

OWN_STATUS = """<html><body><p title="${subject}">${title}</p>
<#list sentences as s><p>${s}</p></#list>
<#if logo?has_content><img src="${logo}" alt="${organisation}"></#if>
<#if picture?has_content><img src="${picture}" alt="page 1"></#if>
<a href="https://intranet.example.org/fax?subject=${subject}">help</a>
<#list fax_rows as row>${row.label}: ${row.value}<br></#list>
<#list attempts as call>${call.index} ${call.started} ${call.result} ${call.pages} ${call.duration}<br></#list>
<#list footer as line><small>${line}</small></#list></body></html>"""


def test_the_shipped_designs_pass_their_own_trial() -> None:
    try_out(PLAIN)


def test_a_house_may_write_everything_itself() -> None:
    style = read(
        package(
            {
                "status.html": OWN_STATUS,
                "status.txt": "${organisation}\n\n${content}\n\n<#list footer as line>${line}\n</#list>",
                "status.subject": "[${organisation}] ${result}: ${number} (${subject})",
                "list.fr.html": "<body><h1>${title}</h1><!--content--><#list faxes as f>${f.number}<br></#list></body>",
                "refused.txt": "${title}\n<#list rows as r>${r.label}: ${r.value}\n</#list>",
                "received.html": "<p>${title}</p><#list rows as r>${r.value}</#list>",
                "l.png": picture("PNG"),
            },
            'organisation = "Acme"\nlogo = "l.png"\nfooter = "Acme & Sons"',
        )
    )
    try_out(style)
    mail = email.message_from_bytes(mail_of("failed", "en", style, picture=PNG), policy=email.policy.SMTP)
    assert mail["Subject"].startswith("[Acme] Not delivered: +33 1 99 00 00 01 (Not delivered: no fax machine heard")
    plain = mail.get_body(("plain",))
    assert plain is not None
    text = plain.get_content().replace("\r\n", "\n")
    assert text.startswith("Acme\n\nThe fax was not delivered.")
    assert "Acme & Sons" in text
    html = page_of(mail.as_bytes())
    assert 'title="Not delivered' in html and "Acme &amp; Sons" in html and html.count("data:image/png") == 2
    french = letter_of("list", "fr", style)
    assert french.html("").count("+33 1 99 00 00 03<br>") == 1 and 'role="presentation"' in french.html("")
    assert "<br></body>" not in letter_of("list", "de", style).html("")


def test_a_template_is_given_so_many_faxes_and_those_that_failed_first() -> None:
    style = read(package({"list.txt": "${title}\n<#list faxes as f>${f.position} ${f.result}\n</#list>${more}"}))
    text = letter_of("long_list", "en", style).text()
    rows = [line.split(" ", 1) for line in text.splitlines() if line[:1].isdigit()]
    assert len(rows) == MAX_FAXES_FILLED
    assert {result for _at, result in rows} == {"Not delivered", "In doubt"}
    assert [int(at) for at, _result in rows] == sorted(int(at) for at, _result in rows)
    assert "4,900 faxes more" in text


REFUSED = [
    ({"status.html": "<p>${nothing}</p>${title}"}, "placeholder ${nothing}"),
    ({"status.html": "<p>Your fax was handled.</p>"}, "does not say what became of the fax"),
    ({"status.txt": "Your fax was handled."}, "does not say what became of the fax"),
    ({"list.subject": "Your faxes"}, "does not say what became of the fax"),
    ({"refused.html": "<p>Sorry</p>"}, "does not say what became of the fax"),
    ({"status.html": "   "}, "makes an empty page"),
    ({"received.html": "  "}, "makes an empty page"),
    ({"received.txt": "  "}, "makes an empty text"),
    ({"received.subject": "<#if x??>${x}</#if>"}, "makes an empty subject"),
    ({"status.html": "${title}<script>x</script>"}, "<script> is nothing for a mail"),
    ({"status.html": "${title}<!--[if mso]><ScRiPt>x</script><![endif]-->"}, "<script> is nothing for a mail"),
    ({"status.html": "${title}<form action='https://x'></form>"}, "<form> is nothing for a mail"),
    ({"status.html": "${title}<iframe src='https://x'></iframe>"}, "<iframe> is nothing for a mail"),
    ({"status.html": "${title}<link rel=stylesheet href=x>"}, "<link> is nothing for a mail"),
    ({"status.html": "${title}<p onmouseover='x'>"}, "<p onmouseover> is nothing for a mail"),
    ({"status.html": "${title}<meta http-equiv=refresh content=0>"}, "<meta http-equiv> is nothing for a mail"),
    ({"status.html": "${title}<img src='https://tracker.example.org/1.gif'>"}, "nothing is fetched from outside"),
    ({"status.html": "${title}<td background='https://x.example.org/1.gif'>"}, "nothing is fetched from outside"),
    ({"status.html": "${title}<p style='background: url(https://x.example.org/a)'>"}, "refer to anything outside"),
    ({"status.html": "${title}<style>@import 'https://x.example.org'</style>"}, "refer to anything outside"),
    ({"status.html": "${title}<a href='javascript:x'>"}, "a link begins with"),
    ({"status.html": "${title}<a href='${subject}'>"}, "a link begins with"),
    ({"status.html": "${title}<p title=${subject}>"}, "could change the page"),
    ({"status.html": "${title}<p style='color: ${subject}'>"}, "could change the page"),
    ({"status.html": "${title}<style>/* ${subject} */</style>"}, "could change the page"),
    ({"refused.html": "${title}<#list recipients as r><p id=${r}>x</p></#list>"}, "could change the page"),
    ({"received.html": "${title}<#list rows as r><p id=${r.value}>x</p></#list>"}, "could change the page"),
    ({"status.html": "${title}" + "x" * mail_examples.MAX_HTML}, "beyond which Gmail cuts a mail off"),
    ({"list.html": "${title}<#list faxes as f>" + "${f.number}" * 1_200 + "</#list>"}, "too much to repeat"),
    ({"list.html": "${title}<#list faxes as f>" + "x" * 27_000 + "</#list>"}, "gets too long"),
    ({"list.html": "${title}" + "<!--content-->" * 9}, "gets too long"),
]


@pytest.mark.parametrize(("files", "said"), REFUSED, ids=[f"{n} {said[:30]}" for n, (_f, said) in enumerate(REFUSED)])
def test_a_template_with_a_fault_is_refused(files: dict[str, str], said: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        try_out(read(package(files)))
    assert said in refused.value.public
    assert next(iter(files)) in refused.value.public


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("example", [one for one in EXAMPLES if one != "long_list"])
def test_examples_are_mails_in_every_language(example: str, language: str) -> None:
    mail = email.message_from_bytes(mail_of(example, language, PLAIN, picture=PNG), policy=email.policy.SMTP)
    html = mail.get_body(("html",))
    assert html is not None and not mail.defects
    assert f'lang="{language}"' in html.get_content()
