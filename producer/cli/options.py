"""Options that several commands share, and what they open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from common.config import FarmConfig, load_config
from common.errors import BrokerError
from producer.cli import complete
from producer.cli.output import Output

if TYPE_CHECKING:
    from common.batch import Batch
    from common.dispatch import Ledger
    from common.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Farm:
    """The servers that a command talks to, each opened when it is first needed."""

    settings: FarmConfig
    out: Output

    @cached_property
    def store(self) -> Store:
        from common.store import open_store

        return open_store(self.settings.need_store())

    @cached_property
    def ledger(self) -> Ledger:
        from common.dispatch import Ledger

        return Ledger(self.settings.need_broker())

    @property
    def ledger_if_any(self) -> Ledger | None:
        return self.ledger if self.settings.broker else None

    @property
    def answering_ledger(self) -> Ledger | None:
        """The ledger of the configured broker; None, said aloud, when that is away."""
        ledger = self.ledger_if_any
        try:
            if ledger:
                ledger.broker.ping()
        except BrokerError as error:
            self.out.say(f"{error.message}; this is what the store knows")
            return None
        return ledger

    def look_where(self, word: str) -> None:
        """Look in the store that has the batch `word`; another than the configured one is said."""
        from producer.batches import store_for

        if "store" in self.__dict__:  # opened already
            return
        store = store_for(word, self.settings)
        if store != self.settings.store:
            self.out.say(f"looking in {_from_here(store)}, where the last batch is")
            self.settings = replace(self.settings, store=store)

    def find(self, word: str) -> tuple[str, Batch]:
        from producer.batches import find_batch

        self.look_where(word)
        return find_batch(word, self.store, self.settings)


def _from_here(store: str) -> str:
    """A folder below this one as a person would write it."""
    with suppress(ValueError):
        return str(Path(store).relative_to(Path.cwd()))
    return store


broker_option = click.option(
    "--broker", metavar="URL", help="redis:// or rediss:// URL  [env: GRIDFARM_BROKER]"
)
store_option = click.option(
    "--store", metavar="URL", help="s3://bucket/prefix, or a folder  [env: GRIDFARM_STORE]"
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
)


where_option = click.option(
    "--where",
    metavar="AXIS=VALUE",
    multiple=True,
    help="Only cells with this value (prompt=wolf, 'steps>20'); repeatable: any of an axis' "
    "values, all of its comparisons.",
    shell_complete=complete.axes,
)


def farm_command(command: Command) -> Command:
    """A command of the farm: --broker, --store, --json; its first argument is a Farm."""

    @broker_option
    @store_option
    @json_option
    @wraps(command)
    def wrapped(broker: str | None, store: str | None, as_json: bool, **rest: Any) -> Any:
        config = load_config({"broker": broker, "store": store})
        return command(Farm(config, Output(as_json)), **rest)

    return wrapped  # type: ignore[return-value]


def local_command(command: Command) -> Command:
    """A command that brings its own broker and store; its first argument is a Farm of neither."""

    @json_option
    @wraps(command)
    def wrapped(as_json: bool, **rest: Any) -> Any:
        config = replace(load_config({}), broker="", store="")
        return command(Farm(config, Output(as_json)), **rest)

    return wrapped  # type: ignore[return-value]


batch_argument = click.argument(
    "batch", metavar="[BATCH]", default="@last", shell_complete=complete.batches
)

priority_option = click.option(
    "--priority",
    type=click.Choice(["high", "normal", "low"]),
    help="All of high goes first, then normal (the default), then low.",
)


def priority_number(name: str | None) -> int | None:
    from common.dispatch import PRIORITIES

    return PRIORITIES[name] if name else None
