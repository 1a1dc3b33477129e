"""The operator's commands on targets and rules of received faxes: `target`, `rule`, `inbox route`, `inbox deliver`."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any  # JSON

import click

from faxgw.client import Control
from faxgw.fax.target import Encryption, Format, TargetKind

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a command's work; an error becomes one line."""
Connect = Callable[[click.Context], Control]
"""The gateway of a command."""
Ask = Callable[..., Mapping[str, Any]]
GATEWAY = "-"
"""In place of a customer: the gateway, for every customer."""

_customer = click.argument("customer")
_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable.")


def register(group: click.Group, inbox: click.Group, connect: Connect, run: Run) -> None:
    """Add the commands to a group, and those on received faxes to its group `inbox`."""

    def ask(method: str, *path: str, body: object = None) -> Mapping[str, Any]:
        control = connect(click.get_current_context())
        found: Mapping[str, Any] = run(control.admin(method, *path, query=[("who", getpass.getuser())], body=body))
        return found

    @group.group()
    def target() -> None:
        """Where received faxes can go: a customer's targets; CUSTOMER - means the gateway's, for every customer."""

    @group.group()
    def rule() -> None:
        """Rules that say where received faxes go; CUSTOMER - means the gateway's, asked last."""

    _targets(target, ask)
    _rules(rule, ask)
    _inbox(inbox, ask)


def _place(customer: str) -> tuple[str, ...]:
    return ("gateway",) if customer == GATEWAY else ("customers", customer)


def _pairs(given: Sequence[str], what: str) -> dict[str, str]:
    pairs = dict(one.partition("=")[::2] for one in given)
    if not all("=" in one for one in given):
        raise click.UsageError(f"{what} is NAME=VALUE.")
    return pairs


def _secrets(given: Sequence[str]) -> dict[str, str]:
    """NAME asks, NAME=@FILE reads a file, NAME= takes the secret away; a value itself would be seen in `ps`."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if value and not value.startswith("@"):
            raise click.UsageError("--secret is NAME, which asks, NAME=@FILE, or NAME= to take it away.")
        if value:
            found[name] = Path(value[1:]).read_text(encoding="utf-8").rstrip("\n")
        else:
            found[name] = "" if equals else click.prompt(name, hide_input=True)
    return found


_fields = (
    click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="What the kind wants to know."),
    click.option("--secret", "secrets", multiple=True, metavar="NAME", help="Asks; NAME=@FILE reads a file."),
    click.option(
        "--format",
        "formats",
        multiple=True,
        type=click.Choice([one.value for one in Format]),
        help="Documents; default: pdf.",
    ),
    click.option("--searchable/--not-searchable", default=None, help="PDF files bear the text that was read."),
    click.option("--upright/--as-it-came", default=None, help="Turn pages that lie on their side."),
    click.option("--file-name", default=None, help="Template, such as {account}-{date}-{time}-{id}."),
    click.option(
        "--encryption", default=None, type=click.Choice([one.value for one in Encryption]), help="Of the documents."
    ),
    click.option("--key", default=None, type=click.Path(exists=True, path_type=Path), help="Key to encrypt for."),
)


def _with_fields(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_fields):
        command = option(command)
    return command


def _body(given: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if given["params"]:
        body["params"] = _pairs(given["params"], "--param")
    if given["secrets"]:
        body["secrets"] = _secrets(given["secrets"])
    if given["formats"]:
        body["formats"] = list(given["formats"])
    if given["key"] is not None:
        body["recipient_key"] = given["key"].read_text(encoding="utf-8")
    plain = ("searchable", "upright", "file_name", "encryption", "address", "active")
    return body | {key: given[key] for key in plain if given.get(key) is not None}


def _targets(group: click.Group, ask: Ask) -> None:
    @group.command("list")
    @_customer
    @_json
    def list_(customer: str, as_json: bool) -> None:
        """List a customer's targets."""
        found = ask("GET", *_place(customer), "targets")["targets"]
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(_target_line(one) for one in found))

    @group.command()
    @_customer
    @click.argument("name")
    @click.argument("kind", type=click.Choice([one.value for one in TargetKind]))
    @click.argument("address")
    @_with_fields
    def add(customer: str, name: str, kind: str, address: str, **given: Any) -> None:
        """Make a target."""
        body = {"name": name, "kind": kind, "address": address, **_body(given)}
        click.echo(_target_line(ask("POST", *_place(customer), "targets", body=body)))

    @group.command()
    @_customer
    @click.argument("name")
    @click.option("--address", default=None, help="Where to.")
    @click.option("--active/--inactive", default=None, help="Inactive: rules pass it over.")
    @_with_fields
    def change(customer: str, name: str, **given: Any) -> None:
        """Change a target; what waits for it goes to the new address."""
        click.echo(_target_line(ask("PATCH", *_place(customer), "targets", name, body=_body(given))))

    @group.command()
    @_customer
    @click.argument("name")
    def remove(customer: str, name: str) -> None:
        """Remove a target that no rule names."""
        ask("DELETE", *_place(customer), "targets", name)
        click.echo(f"{name} is removed")

    @group.command()
    @_customer
    @click.argument("name")
    def test(customer: str, name: str) -> None:
        """Send a page that says it is a test, once, and say what became of it."""
        result = ask("POST", *_place(customer), "targets", name, "test", body={})
        click.echo(f"{'delivered' if result['delivered'] else 'NOT delivered'}: {result['detail']}".rstrip(": "))
        if not result["delivered"]:
            raise SystemExit(1)


def _rules(group: click.Group, ask: Ask) -> None:
    @group.command("list")
    @_customer
    @_json
    def list_(customer: str, as_json: bool) -> None:
        """List a customer's rules in the order in which they are asked."""
        found = ask("GET", *_place(customer), "rules")["rules"]
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(_rule_line(one) for one in found))

    @group.command()
    @_customer
    @click.argument("name")
    @click.option("--number", default="", help="Only for this number.")
    @click.option("--profile", default="", help="Only for numbers of this profile.")
    @click.option("--position", default=100, show_default=True, type=click.IntRange(0), help="Lower is asked first.")
    @click.option("--when", multiple=True, metavar="CONDITION=VALUE", help="csid=ACME*, text=/order/, pages_min=2, …")
    @click.option("--deliver", multiple=True, metavar="TARGET", help="Target, mail address, or owner.")
    @click.option("--tag", "tags", multiple=True, help="Tag.")
    @click.option("--language", default="", help="en, fr, de: of what is written about the fax.")
    @click.option("--reply", default="", help="Template faxed to the caller in reply, or none.")
    @click.option("--extract", multiple=True, metavar="NAME=/PATTERN/", help="Values taken out of the text.")
    @click.option("--go-on", is_flag=True, help="Ask the rules after it too.")
    def add(customer: str, name: str, **given: Any) -> None:
        """Make a rule. A condition given several times fits when one of its values does."""
        actions = {key: list(given[key]) for key in ("deliver", "tags") if given[key]}
        actions |= {key: given[key] for key in ("language", "reply") if given[key]}
        if given["extract"]:
            pairs = _pairs(given["extract"], "--extract")
            actions["extract"] = [{"name": key, "pattern": value} for key, value in pairs.items()]
        body = {"name": name, "position": given["position"], "when": _when(given["when"]), "then": actions}
        body |= {"stop": not given["go_on"]}
        body |= {key: given[key] for key in ("number", "profile") if given[key]}
        click.echo(_rule_line(ask("POST", *_place(customer), "rules", body=body)))

    @group.command()
    @_customer
    @click.argument("ident")
    def remove(customer: str, ident: str) -> None:
        """Remove a rule by its id."""
        ask("DELETE", *_place(customer), "rules", ident)
        click.echo(f"{ident} is removed")

    @group.command("switch")
    @_customer
    @click.argument("ident")
    @click.argument("state", type=click.Choice(["on", "off"]))
    def switch(customer: str, ident: str, state: str) -> None:
        """Switch a rule off or on."""
        click.echo(_rule_line(ask("PUT", *_place(customer), "rules", ident, body={"active": state == "on"})))


def _when(given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals:
            raise click.UsageError("--when is CONDITION=VALUE.")
        if key in ("pages_min", "pages_max", "junk_min"):
            if not value.isdecimal():
                raise click.UsageError(f"{key} is a number.")
            found[key] = int(value)
        elif key == "result":
            found[key] = value
        else:
            found.setdefault(key, []).append(value)
    return found


def _inbox(group: click.Group, ask: Ask) -> None:
    @group.command()
    @click.argument("reception", required=False, default="")
    @click.option("--try", "number", default="", metavar="NUMBER", help="A fax to this number that nobody sent.")
    @click.option("--caller", default="", help="Its caller's number; none: withheld.")
    @click.option("--csid", default="", help="Its identification.")
    @click.option("--sub", default="", help="Its sub-address.")
    @click.option("--at", default="", help="When it comes, 2026-11-22T08:00; default: now.")
    @click.option("--pages", default=1, show_default=True, type=click.IntRange(1, 1000), help="Its pages.")
    @click.option("--partial", is_flag=True, help="It broke off.")
    @click.option("--junk", default=0, type=click.IntRange(0, 100), help="Its junk score.")
    @click.option(
        "--text", type=click.Path(exists=True, path_type=Path), help="Its text, pages with form feeds between."
    )
    @click.option("--barcode", "barcodes", multiple=True, metavar="KIND=TEXT", help="A barcode on it.")
    @_json
    def route(reception: str, number: str, as_json: bool, **given: Any) -> None:
        """Say what the rules would do with a fax: a received one (RECEPTION), or one that nobody sent (--try)."""
        if bool(reception) == bool(number):
            raise click.UsageError("Give RECEPTION, or --try NUMBER.")
        body: dict[str, Any] = {"reception": reception}
        if number:
            body = {key: given[key] for key in ("caller", "csid", "at", "pages", "junk")} | {"number": number}
            body |= {"sub_address": given["sub"], "complete": not given["partial"]}
            body["barcodes"] = list(_pairs(given["barcodes"], "--barcode").items())
            if given["text"] is not None:
                body["texts"] = given["text"].read_text(encoding="utf-8").split("\f")
        found = ask("POST", "routing", "try", body=body)
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(_happening(found)))

    @group.command()
    @click.argument("reception")
    @click.argument("target")
    def deliver(reception: str, target: str) -> None:
        """Deliver a received fax once more, or to somebody else: to a target of its customer, or a mail address."""
        found = ask("POST", "receptions", reception, "deliver", body={"target": target})
        click.echo(f"{found['item']}: {found['reception']} to {target}")


def _target_line(one: Mapping[str, Any]) -> str:
    marks = [", ".join(one["formats"])]
    marks += [key for key in ("searchable", "upright") if one[key]]
    marks += [one["encryption"]] if one["encryption"] != "none" else []
    marks += [f"secrets: {', '.join(one['secrets'])}"] if one["secrets"] else []
    marks += [] if one["active"] else ["inactive"]
    return f"{one['name']:20} {one['kind']:8} {one['address']}  ({'; '.join(marks)})"


def _rule_line(one: Mapping[str, Any]) -> str:
    place = " ".join(filter(None, (one["level"], one.get("number", one.get("profile", "")))))
    when, then = json.dumps(one["when"], ensure_ascii=False), json.dumps(one["then"], ensure_ascii=False)
    more = ("" if one["stop"] else ", then the next") + ("" if one["active"] else ", switched off")
    return f"{one['id']}  {place}  {one['position']:>4}  {one['name']}: {when} -> {then}{more}"


def _happening(found: Mapping[str, Any]) -> list[str]:
    caller = found["caller"][0] if found["caller"] else "nobody known"
    lines = [f"{found['number']} of {found['customer']}, from {caller}"]
    for step in found["rules"]:
        why = f" ({step['why']})" if step["why"] else ""
        lines.append(f"  {step['level']:8} {step['rule']}: {step['verdict']}{why}")
    if found["waits_for_reading"]:
        lines.append(f"  waits for reading: {', '.join(found['waits_for_reading'])}; without it:")
    for one in found["deliveries"]:
        why = f"rule {one['rule']}" if one["rule"] else {"no_owner": "fallback mailbox"}.get(one["why"], "deliver_to")
        late = ", once it is read" if one["waits_for_reading"] else ""
        lines.append(f"  -> {one['kind']} {one['address']}  {', '.join(one['formats'])}  ({why}{late})")
    lines += [f"  no such target, or inactive: {name}" for name in found["missing"]]
    for key in ("tags", "reply", "extracted"):
        if found[key]:
            value = found[key]
            lines.append(f"  {key}: {', '.join(value) if isinstance(value, list) else json.dumps(value)}")
    return lines
