"""doctor: what works on this machine and on the farm, and what to do about the rest."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

from producer.cli.options import farm_command
from producer.cli.output import Output, styled
from producer.doctor import Check
from producer.farm import Farm

NOTHING_WORKS = 3
#: So many of the batches that were forgotten are named.
NAMED = 8
#: What each check is: its word where there is no terminal, its mark on one, its colour.
_STATES = {
    "ok": ("ok", "✓", "green"),
    "warning": ("note", "!", "yellow"),
    "bad": ("BAD", "✗", "red"),
}


@click.command()
@click.option(
    "--adopt-store",
    is_flag=True,
    help="Make this store the one that the broker's farm works with; what the broker has under "
    "way from another store, it forgets.",
)
@farm_command
def doctor(farm: Farm, out: Output, adopt_store: bool) -> int:
    """Say what works here and what does not.

    Broker, store, workers, GPU, the hub, packages, each with a mark: ✓ well, ! worth knowing,
    ✗ not well, and then what to do about it. The last line counts them.

    \b
      gridfarm doctor
      gridfarm doctor --broker redis://broker:6379/0 --store s3://bucket/renders

    Ends with 3 when a configured broker or store does not answer, or when the store is not the
    one that the broker's farm works with. A store is known by the id in its store.json, so it may
    be copied or named otherwise; for a farm that has lost its store there is --adopt-store, which
    says what the broker has forgotten with it.
    """
    if adopt_store:
        _adopt_store(farm, out)
    checks = farm.examine()
    ok = all(check.ok for check in checks)
    data = {"ok": ok, "checks": [check.__dict__ for check in checks]}
    out.result(data, _text(checks))
    return 0 if ok else NOTHING_WORKS


def _adopt_store(farm: Farm, out: Output) -> None:
    forgotten = farm.adopt_store()
    out.say(f"the farm's store is now {farm.config.store}")
    if forgotten:
        more = f" and {len(forgotten) - NAMED:,} more" if len(forgotten) > NAMED else ""
        out.say(
            f"the broker has forgotten {', '.join(forgotten[:NAMED])}{more}, which the other store "
            "keeps: gridfarm resume goes on with it when that store has a broker again"
        )


def _text(checks: Sequence[Check]) -> str:
    return "\n".join([*map(_line, checks), "", _summary(checks)])


def _line(check: Check) -> str:
    """On a terminal a mark that stands out and lines that fit; else a word, and one line each."""
    word, mark, colour = _STATES[_state(check)]
    on_screen = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    shown = mark if on_screen and sys.stdout.encoding.lower().startswith("utf") else f"{word:<4}"
    begin = f"{shown} {check.name:<9} "
    text = check.message
    if on_screen:
        width = shutil.get_terminal_size().columns - len(begin)
        lines = textwrap.wrap(text, max(40, width), break_long_words=False, break_on_hyphens=False)
        text = f"\n{' ' * len(begin)}".join(lines)
    return f"{styled(begin, fg=colour)}{text}"


def _summary(checks: Sequence[Check]) -> str:
    counts = []
    for state, words in (("bad", "not well"), ("warning", "to note")):
        names = [check.name for check in checks if _state(check) == state]
        if names:
            text = f"{len(names)} {words}: {', '.join(dict.fromkeys(names))}"
            counts.append(styled(text, fg=_STATES[state][2]))
    return "; ".join(counts) or "all is well"


def _state(check: Check) -> str:
    return "bad" if not check.ok else "warning" if check.warning else "ok"
