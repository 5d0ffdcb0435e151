"""What the shell offers when a person presses Tab: batches, batch files, axes.

click asks these functions (`shell_complete=`). They answer from the store that the line, the
environment or gridfarm.toml names, within PATIENCE_S; where it does not answer, or anything
else is wrong, they offer less and say nothing, since a word would end up in the person's line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from producer.batches import LAST
from producer.catalogue import batch_ids
from producer.farm import Farm
from producer.language import ENDINGS

PATIENCE_S = 1.5

Items = list[CompletionItem[str]]


def batch_files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Batch files where the word leads; the shell's own files where there are none, so that a
    person gets into folders."""
    found = [CompletionItem(path) for path in _yaml_files(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def batches(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Ids of the store, @last and batch files, without those that are on the line already."""
    if "/" in incomplete:
        return batch_files(ctx, param, incomplete)
    value = ctx.params.get(param.name or "")
    written = value if isinstance(value, tuple) else ()
    offered = [*within(lambda: _ids(ctx)), LAST, *_yaml_files(incomplete)]
    return [
        CompletionItem(word)
        for word in offered
        if word.startswith(incomplete) and word not in written
    ]


def pictures(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """For `show`: the first cell of a batch whose name is begun, else the shell's own files."""
    ids = [*within(lambda: _ids(ctx)), LAST] if incomplete and "/" not in incomplete else []
    cells = [CompletionItem(f"{id_}#0") for id_ in ids if id_.startswith(incomplete)]
    return cells or [CompletionItem(incomplete, type="file")]


def axes(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Axes of the batch on the line; after a comma one more, none twice."""
    begun, comma, _ = incomplete.rpartition(",")
    written = begun.split(",")
    names = within(lambda: _axes(ctx))
    offered = [f"{begun}{comma}{name}" for name in names if name not in written]
    return [CompletionItem(word) for word in offered if word.startswith(incomplete)]


def within(ask: Callable[[], list[str]]) -> list[str]:
    """What `ask` returns; nothing if it fails or is not done in PATIENCE_S. A thread, because no
    setting bounds a name server or a network file system that hangs."""
    answers: list[list[str]] = []

    def work() -> None:
        # Whatever goes wrong, the person only wanted a word completed.
        with suppress(Exception):
            answers.append(ask())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return answers[0] if answers else []


def _yaml_files(incomplete: str) -> list[str]:
    """As they are typed: `examples/a` → `examples/ablation.yaml`."""
    typed_folder = incomplete[: incomplete.rfind("/") + 1]
    folder = Path(typed_folder or ".").expanduser()
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix in ENDINGS)
    except OSError:
        return []
    found = (typed_folder + name for name in names if not name.startswith("."))
    return [path for path in found if path.startswith(incomplete)]


def _ids(ctx: click.Context) -> list[str]:
    return batch_ids(Farm(store=ctx.params.get("store")).store)


def _axes(ctx: click.Context) -> list[str]:
    # An option that waits for its value stops click's parser: the arguments lie in ctx.args.
    word = [*ctx.args, ctx.params.get("batch") or LAST][0]
    found = Farm(store=ctx.params.get("store")).find(word)
    return [axis.name for axis in found.document.axes]
