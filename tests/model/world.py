"""The small model: what may happen to one fax, what the far end then holds, and what must never be.

`World` is what the spine says a fax is, in memory, driven by the project's own table and laws (`TRANSITIONS`, `close`,
`decide`). `tests/model/rows.py` has the same interface over the store's units of work. `Far` is the truth that no
gateway sees: which pages the far end holds. `actions` lists everything that may happen next: kills of worker and daemon
at any step, confirmations that get lost, busy and wrong numbers, wishes, expiry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, Self, TypeVar

from faxgw.fax.job import Closing, FaxState, InDoubt, PageState, Wish, check_transition, close
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.retry import Again, Decision, RetryPolicy, Stop, Tally, decide
from faxgw.store.rendering import MAX_TRIES

T = TypeVar("T")
NOW = 1_000_000.0
UNSENT, EXPOSED, DOUBTFUL, CONFIRMED = PageState


@dataclass(frozen=True)
class Size:
    """How large a model."""

    policy: InDoubt
    pages: int = 2
    numbers: int = 1
    max_dials: int = 2
    max_tries: int = 2
    without: frozenset[str] = frozenset()
    """Actions left out, to keep it small."""


class View(NamedTuple):
    """What can be seen of a fax, the same from the model and from the rows."""

    state: FaxState
    mark: str
    """Of the open attempt, or empty."""
    wish: Wish
    number: int
    dials: int
    tries: int
    used: bool
    """The in-doubt policy was used."""
    ledger: tuple[tuple[PageState, ...], ...]
    confirmed: int
    """Of the open attempt."""
    next_first: int
    """First page of the next call, 0 when none can be."""
    next_marked: tuple[int, ...]
    renderings: int
    told: int
    """Reports of a doubt."""
    finished: int
    """Reports of the finished job."""
    doubtful: int
    """The page that a report would name as doubtful, or 0."""


class Fax(Protocol):
    """What the explorer does to a fax. Each step returns what it would have answered to its caller."""

    size: Size

    def view(self) -> View: ...
    def lease(self) -> object: ...
    def lose_lease(self) -> object: ...
    def rendered(self) -> object: ...
    def refused(self) -> object: ...
    def plan(self) -> bool: ...
    def answered(self) -> bool: ...
    def exposed(self, page: int) -> bool: ...
    def confirmed(self, page: int) -> bool: ...
    def done(self, outcome: Outcome) -> object: ...
    def recover(self) -> object: ...
    def wish(self, what: Wish) -> object: ...
    def release(self) -> object: ...
    def expire(self) -> object: ...


@dataclass(frozen=True)
class World:
    """One fax by the spine's words. Every step makes a new one through `_now`."""

    size: Size
    state: FaxState = FaxState.ACCEPTED
    mark: str = ""
    part_exposed: bool = False
    part_confirmed: int = 0
    wish_: Wish = Wish.NONE
    number: int = 0
    dials: int = 0
    tries: int = 0
    used: bool = False
    ledger: tuple[tuple[PageState, ...], ...] = ()
    doubted: tuple[frozenset[int], ...] = ()
    runs: tuple[int, ...] = ()
    marks: tuple[int, int] = (0, 0)
    last: tuple[Outcome | None, ...] = ()
    renderings: int = 0
    rendered_: bool = False
    told: int = 0
    finished: int = 0

    @classmethod
    def new(cls, size: Size) -> Self:
        n = size.numbers
        empty = (UNSENT,) * size.pages
        return cls(size, ledger=(empty,) * n, doubted=(frozenset(),) * n, runs=(-1,) * n, last=(None,) * n)

    # ---------------------------------------------------------------------------------------------------- looking

    def _first(self) -> int:
        return self.ledger[self.number].count(CONFIRMED) + 1

    def view(self) -> View:
        ready = self.state in (FaxState.READY, FaxState.WAITING)
        first = self._first() if ready else 0
        marked = self.doubted[self.number] | set(range(self.marks[0], self.marks[1] + 1) if self.marks[0] else ())
        shown = tuple(sorted(p for p in marked if first <= p <= self.size.pages)) if ready else ()
        return View(
            self.state, self.mark, self.wish_, self.number, self.dials, self.tries, self.used, self.ledger,
            self.part_confirmed if self.mark else 0, first, shown, self.renderings, self.told, self.finished,
            self._doubtful(),
        )  # fmt: skip

    def _doubtful(self) -> int:
        best = (-1, False, 0)
        for run, pages in zip(self.runs, self.ledger, strict=True):
            if run >= 0:
                doubt = min((p for p, s in enumerate(pages, 1) if s is DOUBTFUL and p > run), default=0)
                best = max(best, (run, doubt > 0, doubt), key=lambda found: found[:2])
        return best[2]

    # --------------------------------------------------------------------------------------------------- changing

    def _move(self, to: FaxState, **changes: object) -> World:
        check_transition(self.state, to)
        calm = {"wish_": Wish.NONE} if to.final or to is FaxState.HELD else {}
        told = {"finished": self.finished + 1} if to.final else {}
        return replace(self, state=to, **{**calm, **told, **changes})  # type: ignore[arg-type]

    def _page(self, page: int, state: PageState) -> tuple[tuple[PageState, ...], ...]:
        pages = list(self.ledger[self.number])
        pages[page - 1] = state
        return (*self.ledger[: self.number], tuple(pages), *self.ledger[self.number + 1 :])

    def after_lease(self) -> World:
        if self.renderings >= MAX_TRIES:
            return self._move(FaxState.FAILED)
        return self._move(FaxState.RENDERING, renderings=self.renderings + 1)

    def after_loss(self) -> World:
        """The lease is lost and the job leased again."""
        if self.renderings >= MAX_TRIES:
            return self._move(FaxState.FAILED)
        return self._move(FaxState.ACCEPTED)._move(FaxState.RENDERING, renderings=self.renderings + 1)

    def after_rendering(self) -> World:
        return self._move(FaxState.READY, rendered_=True)

    def after_plan(self) -> World | None:
        if self.state not in (FaxState.READY, FaxState.WAITING) or self.wish_ is not Wish.NONE:
            return None
        last = self.last[self.number]
        if last is None:
            spent = self.dials >= self.size.max_dials or self.tries >= self.size.max_tries
        else:
            spent = isinstance(self._law(last, self.tries), Stop)
        if spent:
            return self._move(FaxState.FAILED)
        return self._move(
            FaxState.CALLING, dials=self.dials + 1, mark="planned", part_exposed=False, part_confirmed=self._first() - 1
        )

    def after_exposure(self, page: int) -> World | None:
        good = self.mark in ("answered", "exposed") and self.state is FaxState.CALLING
        if not good or self.wish_ is Wish.CANCEL or page != self.part_confirmed + 1:
            return None
        return replace(self, mark="exposed", part_exposed=True, ledger=self._page(page, EXPOSED))

    def after_confirmation(self, page: int) -> World | None:
        if not self.part_exposed or page != self.part_confirmed + 1:
            return None
        there = replace(self, part_confirmed=page, ledger=self._page(page, CONFIRMED))
        if page == self.size.pages:
            return there._move(FaxState.SENT)
        return replace(there, ledger=there._page(page + 1, EXPOSED))

    def after_close(self, outcome: Outcome, known: bool) -> World:
        index, complete = self.number, self.part_confirmed == self.size.pages
        unsure = not known and self.part_exposed and not complete
        kept = replace(outcome, cause=Cause.LINE_FAULT) if unsure else outcome
        doubted = self.doubted[index]
        if self.part_exposed and (unsure or outcome.doubtful):
            doubted |= {self.part_confirmed + 1}
        answered = self.mark in ("answered", "exposed")
        closed = replace(
            self,
            mark="",
            part_confirmed=0,
            doubted=_put(self.doubted, index, frozenset(doubted)),
            runs=_put(self.runs, index, max(self.runs[index], self.part_confirmed)),
            last=_put(self.last, index, Outcome(kept.cause, resume=kept.resume)),
        )
        if self.state is not FaxState.CALLING:
            return closed
        for page, state in enumerate(self.ledger[index], 1):
            if state is EXPOSED:
                doubt = outcome.doubtful or not known or page in self.doubted[index]
                closed = replace(closed, ledger=closed._page(page, DOUBTFUL if doubt else UNSENT))
        tries = self.tries + (answered and not outcome.resume)
        decision = closed._law(kept if unsure else outcome, tries)
        return closed._settle(self._close_law(known, decision, tries), decision, tries)

    def _law(self, outcome: Outcome, tries: int) -> Decision:
        policy = RetryPolicy(max_dials=self.size.max_dials, max_tries=self.size.max_tries)
        return decide(
            outcome, Tally(self.dials, tries), policy=policy, numbers=self.size.numbers, number=self.number, now=NOW
        )

    def _close_law(self, known: bool, decision: Decision, tries: int) -> Closing:
        return close(
            known=known,
            exposed=self.part_exposed,
            decision=decision,
            wish=self.wish_,
            in_doubt=self.size.policy,
            in_doubt_used=self.used,
            ceilings_left=self.dials < self.size.max_dials and tries < self.size.max_tries,
            number=self.number,
            latest=None,
            now=NOW,
        )

    def _settle(self, closing: Closing, decision: Decision, tries: int) -> World:
        if closing.in_doubt:
            first, ledger = self._first(), self.ledger
            marks = (first, first)
            if self.size.policy is InDoubt.MARKED:
                marks = (1, self.size.pages)
                pages = tuple(UNSENT if s is CONFIRMED else s for s in self.ledger[self.number])
                ledger = _put(self.ledger, self.number, pages)
            waiting = self._move(FaxState.WAITING, tries=tries, used=True, marks=marks, ledger=ledger)
            return replace(waiting, told=self.told + 1)
        number = self.number if closing.number is None else closing.number
        if closing.state is FaxState.HELD and isinstance(decision, Again):
            number = decision.number
        return self._move(closing.state, tries=tries, number=number)

    def after_wish(self, what: Wish) -> World:
        if self.state is FaxState.CALLING:
            return self if self.wish_ is Wish.CANCEL else replace(self, wish_=what)
        return self._move(FaxState.CANCELLED if what is Wish.CANCEL else FaxState.HELD)

    def after_release(self) -> World:
        if self.state is FaxState.CALLING and self.wish_ is Wish.HOLD:
            return replace(self, wish_=Wish.NONE)
        return self._move(FaxState.READY if self.rendered_ else FaxState.ACCEPTED)


def _put(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])


@dataclass
class Model:
    """A fax of the model."""

    size: Size
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = World.new(self.size)

    def _step(self, world: World | None) -> bool:
        if world is None:
            return False
        self.world = world
        return True

    def view(self) -> View:
        return self.world.view()

    def lease(self) -> object:
        return self._step(self.world.after_lease())

    def lose_lease(self) -> object:
        return self._step(self.world.after_loss())

    def rendered(self) -> object:
        return self._step(self.world.after_rendering())

    def refused(self) -> object:
        return self._step(self.world._move(FaxState.FAILED))

    def plan(self) -> bool:
        return self._step(self.world.after_plan()) and self.world.state is FaxState.CALLING

    def answered(self) -> bool:
        return self._step(replace(self.world, mark="answered"))

    def exposed(self, page: int) -> bool:
        return self._step(self.world.after_exposure(page))

    def confirmed(self, page: int) -> bool:
        return self._step(self.world.after_confirmation(page))

    def done(self, outcome: Outcome) -> object:
        return self._step(self.world.after_close(outcome, known=not outcome.worker_died))

    def recover(self) -> object:
        return self._step(self.world.after_close(Outcome(Cause.LINE_FAULT), known=False)) if self.world.mark else None

    def wish(self, what: Wish) -> object:
        return self._step(self.world.after_wish(what))

    def release(self) -> object:
        return self._step(self.world.after_release())

    def expire(self) -> object:
        return self._step(self.world._move(FaxState.EXPIRED))


# ------------------------------------------------------------------------------------------------------ the truth


class Far(NamedTuple):
    """What nobody here sees: the pages that the far end holds, per number, and whether the one in the air arrived."""

    holds: tuple[frozenset[int], ...]
    arrived: bool = False
    """The exposed page and its post-page command have arrived; its confirmation may still be lost."""
    marked: tuple[int, ...] = ()
    """Pages that bear the mark in the call that stands."""
    up: bool = True
    """False: the daemon is dead; the next thing that happens is its next start."""


class Violation(AssertionError):
    """The spine is broken."""


WISHES = {"cancel": Wish.CANCEL, "hold": Wish.HOLD}
ENDS: Mapping[str, Outcome] = {
    "busy": Outcome(Cause.BUSY),
    "wrong number": Outcome(Cause.WRONG_NUMBER),
    "hung up": Outcome(Cause.REMOTE_HUNG_UP, connected=True),
    "resume": Outcome(Cause.REMOTE_HUNG_UP, connected=True, resume=True),
    "worker dies": Outcome(Cause.LINE_FAULT, worker_died=True),
}


def actions(view: View, far: Far) -> Iterator[str]:
    """Everything that may happen next."""
    if not far.up:
        yield "restart"
        return
    yield "daemon dies"
    if view.mark:
        yield from _in_call(view, far)
    if view.state.final:
        return
    if view.state is FaxState.ACCEPTED:
        yield "lease"
    elif view.state is FaxState.RENDERING:
        yield from ("lease lost", "rendered", "refused")
    elif view.state in (FaxState.READY, FaxState.WAITING):
        yield "plan"
    if view.state is not FaxState.CALLING:
        yield from ("expire", "cancel")
        yield "release" if view.state is FaxState.HELD else "hold"
    elif view.wish is not Wish.CANCEL:
        yield "cancel"
        yield "release" if view.wish is Wish.HOLD else "hold"


def _in_call(view: View, far: Far) -> Iterator[str]:
    yield "worker dies"
    if view.mark == "planned":
        yield from ("answer", "busy", "wrong number")
        return
    yield "hung up"
    if view.mark == "answered":
        yield "expose"
    elif view.state is FaxState.CALLING:
        yield "confirm" if far.arrived else "arrive"
        if not far.arrived and view.confirmed:
            yield "resume"


def act(fax: Fax, before: View, far: Far, what: str) -> Far:
    """Let one thing happen; returns the truth after it."""
    if what in ENDS:
        outcome = ENDS[what]  # a worker that died tells nothing of what it sent
        fax.done(replace(outcome, doubtful=far.arrived and not outcome.worker_died))
        return far._replace(arrived=False, marked=())
    if what in WISHES:
        fax.wish(WISHES[what])
        return far
    if what == "daemon dies":
        return far._replace(up=False)
    if what == "restart":
        if before.mark:
            fax.recover()
        elif before.state is FaxState.RENDERING:
            fax.lose_lease()
        return far._replace(arrived=False, marked=(), up=True)
    if what == "plan":
        planned = fax.plan()
        return far._replace(marked=before.next_marked if planned else ())
    if what == "expose":
        page = before.confirmed + 1
        return _leaves(far, before.number, page) if fax.exposed(page) else far
    if what == "arrive":
        held = far.holds[before.number] | {before.confirmed + 1}
        return far._replace(arrived=True, holds=_put(far.holds, before.number, held))
    if what == "confirm":
        page = before.confirmed + 1
        fax.confirmed(page)
        far = far._replace(arrived=False)
        return far if page == fax.size.pages else _leaves(far, before.number, page + 1)
    {
        "answer": fax.answered,
        "lease": fax.lease,
        "lease lost": fax.lose_lease,
        "rendered": fax.rendered,
        "refused": fax.refused,
        "release": fax.release,
        "expire": fax.expire,
    }[what]()
    return far


def _leaves(far: Far, number: int, page: int) -> Far:
    """Data of a page may leave: what the far end holds already must bear the mark."""
    if page in far.holds[number] and page not in far.marked:
        raise Violation(f"page {page} is sent again without the mark")
    return far


def check(view: View, far: Far, size: Size) -> None:
    """What must hold in every state."""

    def must(good: bool, what: str) -> None:
        if not good:
            raise Violation(what)

    must(view.finished == int(view.state.final), "a finished fax is reported exactly once, an open one not yet")
    must((view.state is FaxState.CALLING) <= bool(view.mark), "a fax in a call has an open attempt")
    must(bool(view.mark) <= (view.state in (FaxState.CALLING, FaxState.SENT)), "an open attempt has its fax")
    must(view.dials <= size.max_dials and view.tries <= size.max_tries, "ceilings hold")
    must(view.told == int(view.used), "a doubt is told once, and only then the policy is used")
    complete = False
    for number, pages in enumerate(view.ledger):
        confirmed = pages.count(CONFIRMED)
        must(pages[:confirmed] == (CONFIRMED,) * confirmed, "confirmed pages are the first ones")
        must(pages.count(EXPOSED) <= int(bool(view.mark) and number == view.number), "exposed means in a call")
        must(set(range(1, confirmed + 1)) <= far.holds[number], "confirmed means received")
        complete = complete or confirmed == size.pages
    must((view.state is FaxState.SENT) == complete, "sent means all pages confirmed at one number")
    if view.state.final and view.state is not FaxState.SENT and not view.mark:
        held = [pages for pages in far.holds if pages]
        must(not _more_than_told(view, far) or not held, "what may have arrived is told")


def _more_than_told(view: View, far: Far) -> bool:
    """The far end holds more than the run of confirmed pages, and the report names no doubtful page."""
    longest = max(max(pages, default=0) for pages in far.holds)
    confirmed = max(pages.count(CONFIRMED) for pages in view.ledger)
    return longest > confirmed and not view.doubtful and view.state is not FaxState.UNKNOWN and not view.used
