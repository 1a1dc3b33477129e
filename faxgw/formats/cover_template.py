"""Templates of cover pages: FreeMarker's `${…}`, `<#if>` and `<#list>`, as much as cover pages need. Pure.

A template is read once into a tree and filled for each recipient. It cannot compute, call or load anything: a name is
looked up in the values given, and that is all. What is inserted is escaped for HTML, whatever the template says.

    ${ToName}   ${ToName!}   ${ToName!"nobody"}   ${(line.text)!}   ${subject?upper_case}
    <#if comment?has_content> … <#elseif a == "x" && !b??> … <#else> … </#if>
    <#list properties as p> ${p.key}: ${p.value} </#list>   <#list comment?lines as line> … </#list>
    <#-- a remark -->

`<#escape>`, `<#setting>` and `<#ftl>` of templates made for FreeMarker are passed over; every other directive is
refused by its name. Differences to FreeMarker (its manual, "Template Language Reference"): values are texts or lists
of texts or of texts by name; there are no numbers, macros, assignments and includes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from faxgw.fax.errors import Refused

MAX_TEMPLATE = 2_000_000
"""Characters of a template; a logo as `data:` URI is part of it."""
MAX_DEPTH = 16
"""Directives within one another."""
MAX_NODES = 5_000
"""Pieces of a template."""
MAX_STEPS = 50_000
"""Pieces filled in for one page, those of loops counted each time."""
MAX_OUTPUT = 3_000_000
"""Characters of a page filled in."""
MAX_ITEMS = 500
"""Turns of one loop."""
MAX_SIGNS = 80
"""Names, texts and signs of one expression."""
MAX_BRACKETS = 6
"""Opening brackets of one expression: each may be read in two ways."""

Item: TypeAlias = "str | Mapping[str, str]"
Value: TypeAlias = "str | Sequence[Item]"

_TOKEN = re.compile(r"<#--.*?-->|\$\{|</?#[A-Za-z]*", re.S)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[.-][A-Za-z_][A-Za-z0-9_]*)*")
_LEXEME = re.compile(
    r"""\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:[.-][A-Za-z_][A-Za-z0-9_]*)*)
    |(?P<text>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')|(?P<sign>\?\?|&&|\|\||==|!=|[?!()]))""",
    re.X,
)
_PASSED_OVER = frozenset(("escape", "setting", "ftl"))
_FORMATS: Mapping[str, Callable[[str], str]] = {
    "html": str,  # everything is escaped in the end
    "xhtml": str,
    "trim": str.strip,
    "upper_case": str.upper,
    "lower_case": str.lower,
    "cap_first": lambda text: text[:1].upper() + text[1:],
}


class TemplateRefused(Refused):
    """A template is wrong, or a value it needs is missing; the public text says what and where."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """`name?format!"default"`."""

    name: str
    formats: tuple[str, ...]
    default: _Reference | str | None


_Part: TypeAlias = "_Reference | str"


@dataclass(frozen=True, slots=True)
class _Test:
    """A condition: `left sign right`, or one of `??`, `?has_content`, `!`, `&&`, `||` over conditions or references."""

    sign: str
    left: _Test | _Part
    right: _Test | _Part | None = None


@dataclass(frozen=True, slots=True)
class _Choice:
    """`<#if>`: conditions with what they show; the last may have none."""

    branches: tuple[tuple[_Test | None, tuple[_Node, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Loop:
    """`<#list items as name>`."""

    items: _Reference
    name: str
    body: tuple[_Node, ...]


_Node: TypeAlias = "str | _Reference | _Choice | _Loop"


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read."""

    nodes: tuple[_Node, ...]

    def required(self) -> frozenset[str]:
        """The names that have no default: without them the page cannot be made. Names within conditions are not."""
        return frozenset(_required(self.nodes, frozenset()))

    def fill(self, values: Mapping[str, Value]) -> str:
        """The page for these values, as HTML.

        Raises:
            TemplateRefused: If a value is missing, or the page gets too long.
        """
        return "".join(_Filling(values, escape).run(self.nodes))

    def fill_plain(self, values: Mapping[str, Value]) -> str:
        """The text for these values, as it is: for what is no HTML.

        Raises:
            TemplateRefused: If a value is missing, or the text gets too long.
        """
        return "".join(_Filling(values, str).run(self.nodes))


def parse(source: str) -> Template:
    """Read a template.

    Raises:
        TemplateRefused: If it is too long or wrong; the text names the line.
    """
    if len(source) > MAX_TEMPLATE:
        raise TemplateRefused("too long", public=f"A template may have {MAX_TEMPLATE:,} characters.")
    return Template(_Reader(source).read())


# ---------------------------------------------------------------------------------------------------------- reading


class _Reader:
    """Turns the text into nodes."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = self._cut()
        self._count = 0
        self._stop = ""
        """The directive that ended the last block, and what it says."""
        self._stop_says = ""
        self._at = 0

    def read(self) -> tuple[_Node, ...]:
        return self._block((), 0)

    def _cut(self) -> Iterator[tuple[str, str]]:
        """(`text`, characters), (`value`, expression), (directive, what it says)."""
        position, source = 0, self._source
        while (token := _TOKEN.search(source, position)) is not None:
            if token.start() > position:
                yield "text", source[position : token.start()]
            self._at = token.start()
            if token[0].startswith("<#--"):
                position = token.end()
                continue
            end = self._end(token.end(), "}" if token[0] == "${" else ">")
            inner = source[token.end() : end]
            yield ("value" if token[0] == "${" else token[0]), inner
            position = end + 1
        if position < len(source):
            yield "text", source[position:]

    def _end(self, position: int, mark: str) -> int:
        """Where an expression ends; quoted texts may hold the mark."""
        quote = ""
        for at in range(position, min(len(self._source), position + 2_000)):
            character = self._source[at]
            if quote:
                quote = "" if character == quote and self._source[at - 1] != "\\" else quote
            elif character in "\"'":
                quote = character
            elif character == mark:
                return at
        raise self._wrong(f"“{mark}” is missing after {self._source[self._at : self._at + 30]!r}")

    def _block(self, until: tuple[str, ...], depth: int) -> tuple[_Node, ...]:
        if depth > MAX_DEPTH:
            raise self._wrong(f"more than {MAX_DEPTH} directives within one another")
        nodes: list[_Node] = []
        for kind, inner in self._tokens:
            self._count += 1
            if self._count > MAX_NODES:
                raise self._wrong(f"more than {MAX_NODES} pieces")
            if kind in until:
                self._stop, self._stop_says = kind, inner
                return tuple(nodes)
            node = self._node(kind, inner, depth)
            if node is not None:
                nodes.append(node)
        if until:
            raise self._wrong(f"{until[-1]}> is missing")
        return tuple(nodes)

    def _node(self, kind: str, inner: str, depth: int) -> _Node | None:
        name = kind.lstrip("</#")
        match kind:
            case "text":
                return inner
            case "value":
                return self._expression(inner).whole_reference()
            case "<#if":
                return self._choice(inner, depth)
            case "<#list":
                return self._loop(inner, depth)
            case _ if name in _PASSED_OVER:
                return None
        raise self._wrong(f"the directive {kind}> is not known here")

    def _choice(self, inner: str, depth: int) -> _Choice:
        branches: list[tuple[_Test | None, tuple[_Node, ...]]] = []
        test: _Test | None = self._expression(inner).whole_test()
        while True:
            until = ("</#if",) if test is None else ("<#elseif", "<#else", "</#if")
            branches.append((test, self._block(until, depth + 1)))
            if self._stop == "</#if":
                return _Choice(tuple(branches))
            test = self._expression(self._stop_says).whole_test() if self._stop == "<#elseif" else None

    def _loop(self, inner: str, depth: int) -> _Loop:
        what, word, name = inner.rpartition(" as ")
        if not word or not _NAME.fullmatch(name.strip()) or "." in name:
            raise self._wrong("<#list must say: items as name")
        items = self._expression(what).whole_reference()
        return _Loop(items, name.strip(), self._block(("</#list",), depth + 1))

    def _expression(self, inner: str) -> _Expression:
        return _Expression(inner, self._wrong)

    def _wrong(self, what: str) -> TemplateRefused:
        line = self._source.count("\n", 0, self._at) + 1
        return TemplateRefused(f"line {line}: {what}", public=f"Template, line {line}: {what}.")


class _Expression:
    """Reads what stands between `${` and `}`, or in a directive."""

    def __init__(self, inner: str, wrong: Callable[[str], TemplateRefused]) -> None:
        self._wrong = wrong
        self._inner = inner.strip().removesuffix("/").strip()
        self._signs: list[tuple[str, str]] = []
        position = 0
        while position < len(self._inner):
            match = _LEXEME.match(self._inner, position)
            if match is None or match.lastgroup is None:
                raise self._unclear()
            self._signs.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        if len(self._signs) > MAX_SIGNS or self._signs.count(("sign", "(")) > MAX_BRACKETS:
            raise self._unclear()
        self._next = 0

    def whole_reference(self) -> _Reference:
        """A value to insert."""
        found = self._operand()
        if isinstance(found, str) or self._peek():
            raise self._unclear()
        return found

    def whole_test(self) -> _Test:
        """A condition."""
        found = self._any()
        if self._peek():
            raise self._unclear()
        return found

    def _any(self) -> _Test:
        found = self._all()
        while self._take("||"):
            found = _Test("||", found, self._all())
        return found

    def _all(self) -> _Test:
        found = self._one()
        while self._take("&&"):
            found = _Test("&&", found, self._one())
        return found

    def _one(self) -> _Test:
        if self._take("!"):
            return _Test("!", self._one())
        start = self._next
        if self._take("("):
            try:
                found = self._any()
                if self._take(")"):
                    return found
            except TemplateRefused:
                pass  # brackets around a reference: (name)!
            self._next = start
        left = self._operand()
        if self._take("??"):
            return _Test("??", left)
        for sign in ("==", "!="):
            if self._take(sign):
                return _Test(sign, left, self._operand())
        if isinstance(left, _Reference) and left.formats[-1:] == ("has_content",):
            return _Test("has_content", _Reference(left.name, left.formats[:-1], left.default))
        raise self._unclear()

    def _operand(self) -> _Part:
        """`name`, `(name)`, `"text"`, with formats and a default."""
        if self._take("("):
            inner = self._operand()
            if isinstance(inner, str) or not self._take(")"):
                raise self._unclear()
            name, formats = inner.name, list(inner.formats)
        else:
            kind, said = self._advance()
            if kind == "text":
                return re.sub(r"\\(.)", r"\1", said[1:-1])
            if kind != "name":
                raise self._unclear()
            name, formats = said, []
            inner = _Reference(name, (), None)
        default = inner.default
        while True:
            if self._take("?"):
                kind, said = self._advance()
                formats.append(self._format(said if kind == "name" else ""))
            elif self._take("!"):
                default = self._operand() if self._peek() in ("name", "text", "(") else ""
            else:
                return _Reference(name, tuple(formats), default)

    def _format(self, name: str) -> str:
        if name == "split" and self._take("("):
            kind, _said = self._advance()
            if kind == "text" and self._take(")"):
                return "lines"
        if name in _FORMATS or name in ("has_content", "lines"):
            return name
        raise self._wrong(f"?{name} is not known here")

    def _peek(self) -> str:
        if self._next >= len(self._signs):
            return ""
        kind, said = self._signs[self._next]
        return said if kind == "sign" else kind

    def _take(self, sign: str) -> bool:
        if self._peek() == sign and self._signs[self._next][0] == "sign":
            self._next += 1
            return True
        return False

    def _advance(self) -> tuple[str, str]:
        if self._next >= len(self._signs):
            raise self._unclear()
        self._next += 1
        return self._signs[self._next - 1]

    def _unclear(self) -> TemplateRefused:
        return self._wrong(f"“{self._inner[:60]}” cannot be read")


# ---------------------------------------------------------------------------------------------------------- filling


def _required(nodes: Sequence[_Node], bound: frozenset[str]) -> Iterator[str]:
    for node in nodes:
        match node:
            case _Reference():
                yield from _without_default(node, bound)
            case _Choice() as choice:
                for test, body in choice.branches:
                    known = bound | (_asked(test) if test is not None else frozenset())
                    yield from _required(body, known)
            case _Loop() as loop:
                yield from _without_default(loop.items, bound)
                yield from _required(loop.body, bound | {loop.name})


def _without_default(reference: _Reference, bound: frozenset[str]) -> Iterator[str]:
    if isinstance(reference.default, _Reference):
        yield from _without_default(reference.default, bound)
    elif reference.default is None and not bound & {reference.name, reference.name.partition(".")[0]}:
        yield reference.name


def _asked(test: _Test | _Part) -> frozenset[str]:
    """Names whose presence a condition makes sure of, where it holds."""
    if isinstance(test, _Test) and test.sign == "&&":
        return _asked(test.left) | (_asked(test.right) if test.right is not None else frozenset())
    if isinstance(test, _Test) and test.sign in ("??", "has_content", "==") and isinstance(test.left, _Reference):
        return frozenset((test.left.name,))
    return frozenset()


class _Filling:
    """One page being filled in."""

    def __init__(self, values: Mapping[str, Value], shown: Callable[[str], str]) -> None:
        self._shown = shown
        self._values: dict[str, Value | Item] = dict(values)
        self._steps = 0
        self._octets = 0

    def run(self, nodes: Sequence[_Node]) -> Iterator[str]:
        for node in nodes:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise TemplateRefused("too many steps", public="The template has too much to repeat.")
            match node:
                case str():
                    yield self._counted(node)
                case _Reference():
                    yield self._counted(self._shown(self._text(node)))
                case _Choice(branches):
                    for test, body in branches:
                        if test is None or self._holds(test):
                            yield from self.run(body)
                            break
                case _Loop():
                    yield from self._turns(node)

    def _turns(self, loop: _Loop) -> Iterator[str]:
        shadowed = self._values.get(loop.name)
        for item in self._list(loop.items)[:MAX_ITEMS]:
            self._values[loop.name] = item
            yield from self.run(loop.body)
        self._values.pop(loop.name, None)
        if shadowed is not None:
            self._values[loop.name] = shadowed

    def _counted(self, text: str) -> str:
        self._octets += len(text)
        if self._octets > MAX_OUTPUT:
            raise TemplateRefused("too long", public="What the template makes gets too long.")
        return text

    def _find(self, name: str) -> Value | Item | None:
        if name in self._values:
            return self._values[name]
        head, _dot, key = name.rpartition(".")
        inner = self._values.get(head)
        return inner.get(key) if isinstance(inner, Mapping) else None

    def _value(self, reference: _Reference) -> Value | Item | None:
        found = self._find(reference.name)
        if found is None:
            default = reference.default
            return self._value(default) if isinstance(default, _Reference) else default
        return found

    def _text(self, reference: _Reference) -> str:
        found = self._value(reference)
        if found is None:
            raise missing(reference.name)
        text = found if isinstance(found, str) else ", ".join(item for item in found if isinstance(item, str))
        for name in reference.formats:
            text = _FORMATS.get(name, str)(text)
        return text

    def _list(self, reference: _Reference) -> Sequence[Item]:
        found = self._value(reference)
        if found is None:
            raise missing(reference.name)
        if isinstance(found, str):
            return found.splitlines()
        return () if isinstance(found, Mapping) else found

    def _holds(self, test: _Test | _Part) -> bool:
        if not isinstance(test, _Test):
            return False
        match test.sign:
            case "!":
                return not self._holds(test.left)
            case "&&":
                return self._holds(test.left) and test.right is not None and self._holds(test.right)
            case "||":
                return self._holds(test.left) or (test.right is not None and self._holds(test.right))
            case "??":
                return isinstance(test.left, _Reference) and self._value(test.left) is not None
            case "has_content":
                return isinstance(test.left, _Reference) and bool(self._value(test.left))
        assert not isinstance(test.left, _Test) and test.right is not None and not isinstance(test.right, _Test)
        return (self._side(test.left) == self._side(test.right)) is (test.sign == "==")

    def _side(self, part: _Part) -> str:
        return part if isinstance(part, str) else self._text(part)


def missing(name: str) -> TemplateRefused:
    """The error of a placeholder that has no value."""
    public = f"The template has a placeholder ${{{name}}} for which nothing was given."
    return TemplateRefused(f"no value for {name}", public=public)
