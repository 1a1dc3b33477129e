"""Cover templates: the subset of FreeMarker, what is refused by name, and bounds against hostile templates."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.formats import cover_template as module
from faxgw.formats.cover_template import TemplateRefused, Value, parse
from faxgw.formats.cover_values import known, sample, values

DESIGNS = sorted((Path(module.__file__).parent.parent / "document" / "covers").glob("*.html"))
VALUES: dict[str, Value] = {
    "a": "x",
    "empty": "",
    "markup": "<b>&\"'",
    "lines": "one\ntwo",
    "people": ({"name": "Ann"}, {"name": "<Bob>"}),
}


@pytest.mark.parametrize(
    "source, made",
    [
        ("plain $ text {} <b>", "plain $ text {} <b>"),
        ("${a}${a}", "xx"),
        ("${ a }", "x"),
        ("${markup}", "&lt;b&gt;&amp;&quot;&#x27;"),
        ("${markup?html}", "&lt;b&gt;&amp;&quot;&#x27;"),
        ("[${none!}]", "[]"),
        ('${none!"a } b"}', "a } b"),
        ('${none!"<i>"}', "&lt;i&gt;"),
        ("${none!a}", "x"),
        ("${(none)!}", ""),
        ("${a?upper_case}", "X"),
        ("<#if a??>1<#else>2</#if>", "1"),
        ("<#if none??>1<#elseif a == 'x'>3<#else>2</#if>", "3"),
        ("<#if empty?has_content>1<#else>2</#if>", "2"),
        ("<#if !none?? && (a == 'y' || a != 'z')>1</#if>", "1"),
        ("<#if (a)??>1</#if>", "1"),
        ("<#list people as p>${p.name};</#list>", "Ann;&lt;Bob&gt;;"),
        ("<#list lines?lines as l>[${l}]</#list>", "[one][two]"),
        ('<#list lines?split("\\n") as l>[${l}]</#list>', "[one][two]"),
        ("<#list people as p><#list lines as l>${l}</#list></#list>", "onetwoonetwo"),
        ("<#-- ${nothing} <#if> -->a", "a"),
        ('<#ftl><#setting time_zone="UTC"><#escape x as x?html>${a}</#escape>', "x"),
    ],
)
def test_a_template_is_filled(source: str, made: str) -> None:
    assert parse(source).fill(VALUES) == made


def test_a_placeholder_without_a_value_is_named() -> None:
    template = parse("${a} ${Nobody} ${none!} <#if maybe??>${maybe}</#if> <#list people as p>${p.name}</#list>")
    assert template.required() == {"a", "Nobody", "people"}
    with pytest.raises(TemplateRefused) as refused:
        template.fill(VALUES)
    assert "${Nobody}" in refused.value.public and not refused.value.temporary


@pytest.mark.parametrize(
    "source, said",
    [
        ("a\n${a", "line 2"),
        ("<#if a??>1", "</#if> is missing"),
        ("</#if>", "</#if> is not known"),
        ("<#include '/etc/passwd'>", "<#include> is not known"),
        ("<#assign x = 1>", "<#assign> is not known"),
        ("<#macro m>", "<#macro> is not known"),
        ('${"freemarker.template.utility.Execute"?new()("id")}', "cannot be read"),
        ("${a?new()}", "?new is not known"),
        ("${a?eval}", "?eval is not known"),
        ("${a + a}", "cannot be read"),
        ("${a.b()}", "cannot be read"),
        ("${}", "cannot be read"),
        ("${'text'}", "cannot be read"),
        ("<#if a>1</#if>", "cannot be read"),
        ("<#if a ==>1</#if>", "cannot be read"),
        ("<#list a>1</#list>", "items as name"),
        ("<#if a??><#else>1<#else>2</#if>", "<#else> is not known"),
    ],
)
def test_what_is_not_of_the_subset_is_refused_with_its_line(source: str, said: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        parse(source)
    assert said in refused.value.public


@pytest.mark.parametrize(
    "source",
    [
        "x" * (module.MAX_TEMPLATE + 1),
        "<#if a??>" * (module.MAX_DEPTH + 2) + "</#if>" * (module.MAX_DEPTH + 2),
        "${a}" * (module.MAX_NODES + 1),
        "${" + "a" * 5_000 + "}",
        "<#if " + "!" * 1_500 + "a??>1</#if>",
        "<#if " + "(" * 900 + "a??" + ")" * 900 + ">1</#if>",
    ],
)
def test_a_template_of_a_madman_is_refused_when_it_is_read(source: str) -> None:
    with pytest.raises(TemplateRefused):
        parse(source)


def test_loops_in_loops_end() -> None:
    """A hundred items, five deep, are 10,000 million turns."""
    many = {**VALUES, "many": tuple("x" for _ in range(100))}
    source = "".join(f"<#list many as v{n}>" for n in range(5)) + "${v4}" + "</#list>" * 5
    with pytest.raises(TemplateRefused, match="steps"):
        parse(source).fill(many)


def test_a_page_that_swells_is_refused() -> None:
    many = {"many": tuple("x" for _ in range(500)), "long": "y" * 10_000}
    with pytest.raises(TemplateRefused, match="too long"):
        parse("<#list many as v>${long}</#list>").fill(many)


def test_a_loop_has_a_bounded_number_of_turns_and_leaves_no_name_behind() -> None:
    many: dict[str, Value] = {"many": tuple("x" for _ in range(2_000)), "v": "kept"}
    assert parse("<#list many as v>${v}</#list>${v}").fill(many) == "x" * module.MAX_ITEMS + "kept"


def test_three_designs_are_shipped() -> None:
    assert [path.stem for path in DESIGNS] == ["form", "letter", "plain"]


@pytest.mark.parametrize("path", DESIGNS, ids=lambda path: path.stem)
@pytest.mark.parametrize("language", ["en", "fr", "de"])
def test_a_shipped_design_asks_for_nothing_but_known_names_and_escapes_them(path: Path, language: str) -> None:
    template = parse(path.read_text("utf-8"))
    assert template.required() <= known({})
    facts = sample(language)
    made = template.fill(values(facts))
    assert f'lang="{language}"' in made and "${" not in made and "<#" not in made
    assert facts.number in made and "Exemple &amp; Fils SARL" in made
