"""`python -m tests.tiny_world.article [FOLDER]`: does the article's claim hold on the tiny model?

The claim: a LoRA that has learnt what wrong pictures look like, with "wrong" as the negative
prompt, makes pictures better. The farm renders article.yaml, where either is there or not, and
the judge says of every picture whether it shows what its prompt says. Printed is, for each
guidance scale, the share of correct pictures in the four cells, how far the three others lie from
the base, on the same prompts and seeds, and what either of the two adds to the other. The same
command again renders only what is new.
"""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter, defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from common.batch import Batch, Cell, Matrix
from common.store import object_names
from common.store.folder import FolderStore
from tests.tiny_world.judge import LOOKS, correct, verdict
from tests.tiny_world.shares import change, wilson
from tests.tiny_world.wishes import wish
from worker.tiny.world.captions import caption
from worker.tiny.world.scene import single

FILE = Path(__file__).with_name("article.yaml")
FIRST_SEED = 70_000

#: Labels of the two axes → what the table calls the cell; the base is the first.
CELLS = {
    ("none", "without"): "base",
    ("wrong", "without"): "negative prompt",
    ("wrong", "with"): "LoRA + negative",
    ("none", "with"): "LoRA",
}

#: What either adds to the other: from which cell to which.
ADDED = {
    "the LoRA beside the negative prompt": ("negative prompt", "LoRA + negative"),
    "the negative prompt beside the LoRA": ("LoRA", "LoRA + negative"),
}

Words = dict[str, bool]
#: Guidance scale → cell → the judge's words on each picture, in the order of the prompts.
Verdicts = dict[str, dict[str, list[Words]]]


def prompts(count: int) -> list[dict[str, Any]]:
    """Captions of trained combinations, all different, each with a seed of its own; the first
    ones are the same for every count."""
    rng = np.random.default_rng(70)
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts.setdefault(caption(single(rng)))
    return [{"prompt": text, "seed": FIRST_SEED + n} for n, text in enumerate(texts)]


def document(options: Namespace) -> dict[str, Any]:
    """article.yaml, or what the options make of it."""
    batch: dict[str, Any] = yaml.safe_load(FILE.read_text())
    batch["prompts"] = prompts(options.count)
    batch["lora_files"] = {"wrong": _path(options.lora)}
    batch["axes"]["negative_prompt"]["wrong"] = options.negative
    batch["axes"]["loras"]["with"] = {"wrong": options.scale}
    batch["axes"]["guidance_scale"] = options.guidance
    if options.model != batch["model"]:
        batch["model"] = _path(options.model)
        batch["settings"] |= {"dtype": "fp32", "vae": "own"}
    batch["settings"] |= dict(options.set)
    return batch


def _path(written: str) -> str:
    """A file or a folder from wherever the batch file lies; a name as it is."""
    return str(Path(written).resolve()) if Path(written).exists() else written


def render(batch: dict[str, Any], folder: Path, workers: int) -> Matrix:
    """By `gridfarm render`, into `folder`; ends this process if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "article.yaml"
    file.write_text(yaml.safe_dump(batch, sort_keys=False))
    command = [sys.executable, "-m", "producer.cli.main", "render", str(file),
               "--out", str(folder), "--workers", str(workers), "--json"]  # fmt: skip
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if ended.returncode:
        sys.exit(ended.returncode)
    *_, result = ended.stdout.splitlines()
    stored = object_names.batch(json.loads(result)["batch"])
    return Matrix(Batch.from_bytes(_store(folder).get(stored), source=stored))


def _store(folder: Path) -> FolderStore:
    return FolderStore(folder / "store")


def judged(matrix: Matrix, folder: Path) -> Verdicts:
    """Every picture by its own prompt."""
    verdicts: Verdicts = defaultdict(lambda: defaultdict(list))
    for number, cell in enumerate(matrix, 1):
        if number % 400 == 0:
            print(f"judged {number:,} of {len(matrix):,}", file=sys.stderr)
        name = CELLS[cell.labels["negative_prompt"], cell.labels["loras"]]
        verdicts[cell.labels["guidance_scale"]][name].append(_words(cell, folder))
    return verdicts


def _words(cell: Cell, folder: Path) -> Words:
    png = _store(folder).get(object_names.picture(cell.key))
    picture = np.asarray(Image.open(BytesIO(png)).convert("RGB"))
    return verdict(picture, *wish(cell.job.prompt))


def table(verdicts: Verdicts) -> str:
    """For each guidance scale the cells, the base first."""
    return "\n\n".join("\n".join(_block(scale, cells)) for scale, cells in verdicts.items())


def _block(scale: str, cells: dict[str, list[Words]]) -> Iterator[str]:
    heading = "correct", "against base", "p", "pictures that fail in"
    yield "{:<19}{:<24}{:<27}{:<10}{}".format(f"guidance {scale}", *heading)
    right = {name: [correct(words) for words in cells[name]] for name in CELLS.values()}
    for name in CELLS.values():
        against = _against(right["base"], right[name]) if name != "base" else ("", "")
        columns = _share(right[name]), *against, _failures(cells[name])
        yield "{:<19}{:<24}{:<27}{:<10}{}".format(f"  {name}", *columns).rstrip()
    for label, (before, after) in ADDED.items():
        yield "{:<43}{:<27}{}".format(f"  {label}", *_against(right[before], right[after]))


def _share(right: list[bool]) -> str:
    low, high = wilson(sum(right), len(right))
    return f"{sum(right) / len(right):.3f} ({low:.3f} to {high:.3f})"


def _against(base: list[bool], right: list[bool]) -> tuple[str, str]:
    seen = change(base, right)
    return f"{seen.difference:+.3f} ({seen.low:+.3f} to {seen.high:+.3f})", f"{seen.p:.3g}"


def _failures(verdicts: list[Words]) -> str:
    """The three words that most pictures fail in."""
    failed = Counter(word for words in verdicts for word in LOOKS if not words.get(word, True))
    return ", ".join(f"{word} {count}" for word, count in failed.most_common(3))


def heading(options: Namespace, batch: dict[str, Any]) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in batch["settings"].items())
    return (
        f"model {options.model}, LoRA {options.lora} at {options.scale:g},"
        f" negative prompt {json.dumps(options.negative)}\n"
        f"{options.count} prompts of trained combinations, each with its seed; {settings}\n"
        "shares of correct pictures and their differences with 95% intervals (Wilson; Newcombe,"
        " paired);\np is McNemar's, exact, and not corrected for how many there are\n"
    )


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


def _list(text: str) -> list[Any]:
    return list(yaml.safe_load(f"[{text}]"))


def arguments(words: list[str] | None = None) -> Namespace:
    parser = ArgumentParser("python -m tests.tiny_world.article", description=__doc__)
    add = parser.add_argument
    add("folder", nargs="?", type=Path, default=Path("gridfarm-out/article"))
    add("--count", type=int, default=200, help="prompts, each with its seed (%(default)s)")
    add("--guidance", type=_list, default=[1.5, 2, 3, 5, 7.5], metavar="1.5,2,…")
    add("--lora", default="tiny-wrong", help="a file, or a name like %(default)s")
    add("--scale", type=float, default=1.0, help="the LoRA's (%(default)s)")
    add("--negative", default="wrong", help="the negative prompt (%(default)s)")
    add("--model", default="tiny", help="a base's folder instead of %(default)s")
    add("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE",
        help="a setting of every cell, such as steps=10")  # fmt: skip
    add("--workers", type=int, default=2, help="(%(default)s)")
    return parser.parse_args(words)


def main(options: Namespace) -> None:
    batch = document(options)
    matrix = render(batch, options.folder, options.workers)
    print(heading(options, batch))
    print(table(judged(matrix, options.folder)))


if __name__ == "__main__":
    main(arguments())
