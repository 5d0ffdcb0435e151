"""doctor: what works on this machine and on the farm, and what to do about the rest."""

from __future__ import annotations

import click

from producer.cli.options import farm_command
from producer.cli.output import Output
from producer.doctor import Check
from producer.farm import Farm

NOTHING_WORKS = 3
#: So many of the batches that were forgotten are named.
NAMED = 8


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

    Broker, store, workers, GPU, the hub, packages, and what to do about each that is not well.

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
    out.result(data, "\n".join(_check_line(check) for check in checks))
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


def _check_line(check: Check) -> str:
    mark = click.style("warn", fg="yellow") if check.warn else click.style("ok  ", fg="green")
    mark = mark if check.ok else click.style("BAD ", fg="red")
    return f"{mark} {check.name:<9} {check.message}"
