"""Each kind of mistake once, word for word, and the table held against what the reader finds."""
# ruff: noqa: E501

from __future__ import annotations

import ast
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from common.errors import BatchFileError
from producer import language
from producer.language import load_batch_file, problem_of
from producer.language.mends.table import TABLE, Words
from producer.language.mistakes import Finding
from tests.support.broken_files import OVERLAPPING, write_room

#: Kind, the file, all that is said of it. The files that they name are `write_room`'s.
FILES = [
    ('file-not-text', "prompts: ['a\x00b']", "line 1, column 13 has the control character '\\x00' (remove it; is it a batch file?)"),
    ('yaml', 'prompts:\n\t- a', 'line 2, column 1: found character that cannot start any token (indent with spaces, not with a tab)'),
    ('second-document', 'prompts: [a]\n---\nprompts: [a]\n', 'line 2 starts a second document (remove the ---)'),
    ("too-deep", f"prompts: {'[' * 40}{']' * 40}", "line 1 nests more than 30 deep (flatten it)"),
    ('tag', 'prompts: !!set {a, b}', 'prompts: line 1 has the tag !!set (remove it)'),
    ('no-such-anchor', 'prompts: &a [*a]', 'prompts.1: line 1: *a names nothing written above it (quote the prompt if it starts with *)'),
    ('merge-key', 'prompts:\n  - <<: {seed: 3}', 'prompts.1: line 2: << is not read (write the settings out)'),
    ('name-not-text', '? [a]\n: b', 'line 1: a name must be a text, not a list of 1 (quote the prompt if this is one)'),
    ('name-twice', 'prompts: {a: x, a: y}', 'prompts.a: is written twice: line 1 and line 1 (keep one, or rename one)'),
    ('control-character', 'prompts: ["a\\0b"]', "prompts.1: line 1 has the control character '\\x00' (remove it)"),
    ('empty-file', '', 'the batch file is empty (start with prompts: ["A wolf"])'),
    ('file-not-a-mapping', 'A wolf', 'the batch file must be a mapping, not \'A wolf\' (start with prompts: ["A wolf"])'),
    ('no-such-key', 'prompt: [a]', 'prompt: is not a key of a batch file (write prompts: [a])'),
    ('not-a-mapping', 'prompts: [a]\nexclude: [a]', "exclude.1: must be a mapping, not 'a' (write {axis: value})"),
    ('batch-name-not-text', 'prompts: [a]\nname: [a]', 'name: must be a text, not a list of 1'),
    ('batch-name-length', "prompts: [a]\nname: ' '", 'name: must have 1 to 100 characters, not 1'),
    ('name-length', "prompts: [a]\nvariants: {'': {}}", 'variants.: a name has 1 to 200 characters, not 0 (rename it)'),
    ('model-in-settings-too', 'prompts: [a]\nmodel: sdxl\nsettings: {model: tiny}', 'model: is in settings too (keep one of the two)'),
    ('not-a-setting', 'prompts:\n  - {animal}', 'prompts.1.animal: is not a setting (quote the prompt if the brace belongs to it: "{animal}")'),
    ('not-a-dotted-setting', 'prompts: [a]\naxes: {refiner.stepz: [3]}', "axes.refiner.stepz: is not a setting (did you mean 'refiner.steps'?)"),
    ('not-a-setting-of-the-group', 'prompts: [a]\nsettings: {refiner: {cfg: 3}}', "settings.refiner.cfg: is not a setting of the refiner (did you mean 'guidance_scale'?)"),
    ('torn-text', 'prompts: [{prompt: A wolf, chilly}]', 'prompts.1.prompt: ends at its comma (quote it: prompt: "A wolf, chilly")'),
    ('torn-number', 'prompts: [a]\nsettings: {guidance_scale: 1,5}', 'settings.guidance_scale: ends at its comma (write 1.5)'),
    ('torn-list', 'prompts: [a]\naxes: {steps: 20, 30}', 'axes.steps: is a list without its brackets (write steps: [20, 30])'),
    ('word-in-a-bundle', "words: {animal: [wolf, cat], place: [Tokyo]}\nprompts: ['{animal}']\nsettings: {words.animal: dog}", 'settings.words.animal: is not a setting (write words: at the top of the file)'),
    ('set-again', 'prompts: [a]\nsettings: {refiner: {steps: 3}, refiner.steps: 4}', 'settings.refiner.steps: sets refiner.steps again (keep one of the two)'),
    ('no-such-entry', 'prompts: [a]\nsettings: {crop: {tpo: 3}}', "settings.crop.tpo: is not known here (did you mean 'top'?)"),
    ('not-text', 'prompts: {file: }', 'prompts: must be a text, not null (quote it, or write "" for an empty text)'),
    ('not-one-text', 'prompts: [[a]]', 'prompts.1: must be one text, not a list of 1 (quote it if its comma belongs to it)'),
    ('prompt-syntax', 'prompts: {a: ()++}', 'prompts.a: has no words to encode; write "" for an empty prompt (in \'()++\')'),
    ('no-such-word', "prompts: ['a {animal}']", 'prompts.1: has {animal}, which is not in words (write words: {animal: […]}, or {{animal}} for literal braces)'),
    ('out-of-bounds', 'prompts: [a]\nseeds: 0-9', "seeds: must be a whole number from 0 to 18446744073709551615, not '0-9' (write 0..9, which makes an axis)"),
    ('random-seed', 'prompts: [a]\nseeds: -1', 'seeds: must be a number, not -1 (random seeds: {random: 4, from: 7})'),
    ('not-a-choice', 'prompts: [a]\nsettings: {noise: gpu}', "settings.noise: must be cpu or cuda, not 'gpu' (did you mean 'cuda'?)"),
    ('not-a-size', 'prompts: [a]\nsettings: {size: 1024}', 'settings.size: must be WIDTHxHEIGHT in pixels, not 1024 (write it as 1024x1024)'),
    ('several-sizes', 'prompts: [a]\nsettings: {size: [64, 64]}', 'settings.size: must be one size, not a list of 2 (write it as 64x64)'),
    ('size-off-the-grid', 'prompts: [a]\nsettings: {size: 64x99999}', "settings.size: must have sides that are multiples of 8 from 64 to 8192, not '64x99999' (the nearest is 64x8192)"),
    ('told-size-out-of-bounds', 'prompts: [a]\nsettings: {original_size: 0x512}', 'settings.original_size: must have sides from 1 to 16,384 pixels, not 0x512'),
    ('not-a-scheduler', 'prompts: [a]\nsettings: {scheduler: [euler]}', "settings.scheduler: must be a name such as 'euler', not a list of 1"),
    ('scheduler', 'prompts: [a]\nsettings: {scheduler: eular}', "settings.scheduler: there is no scheduler 'eular'; did you mean 'euler'?"),
    ('not-a-source', 'prompts: [a]\nmodel: sdlx', "model: must be sdxl, tiny, a hub id (owner/name), a folder (./name) or a .safetensors file, not 'sdlx' (did you mean 'sdxl'?)"),
    ('pickle', 'prompts: [a]\nmodel: ./a.ckpt', "model: './a.ckpt' is a pickle, which can run code (convert it to .safetensors)"),
    ('no-such-home', 'prompts: {file: ~nobody-at-all/x.txt}', "prompts: '~nobody-at-all/x.txt': Could not determine home directory. (write the folder out)"),
    ('no-such-lora', 'prompts: [a]\nsettings: {loras.x: 1}', 'settings.loras.x: is not in lora_files (write lora_files: {name: file or hub id})'),
    ('loras-not-a-mapping', 'prompts: [a]\nlora_files: {wrong: me/w}\naxes: {loras: [wrong]}', "axes.loras.1: must be a mapping, not 'wrong' (write {wrong: 1.0})"),
    ('several-strengths', 'prompts: [a]\nlora_files: {wrong: me/w}\nsettings: {loras: {wrong: [0.5, 1]}}', 'settings.loras.wrong: must be one strength, not a list of 2 (write an axis: loras.wrong: […])'),
    ('axis-twice', 'prompts: [a]\nseeds: 1\naxes: {seed: [2]}', 'axes.seed: is the same axis as seeds (keep one of them)'),
    ('axis-name', 'prompts: [a]\naxes: {1st: [{}]}', "axes.1st: '1st' can't name an axis (use a letter, then letters, digits, _ and -)"),
    ('key-under-axes', 'prompts: [a]\naxes: {words: [{}]}', 'axes.words: is not written under axes (write words: at the top of the file)'),
    ('word-name', 'words: {a-b: [wolf]}\nprompts: [a]', "words.a-b: 'a-b' can't name a word (use a letter, then letters, digits and _)"),
    ('word-named-as-a-setting', 'words: {refiner: [wolf]}\nprompts: [a]', "words.refiner: refiner is a setting's name (rename the word)"),
    ('list-expected', 'prompts: [a]\naxes:\n  steps: 10-50 [3]', "axes.steps: must be a list of values, or name: value, not '10-50 [3]' (write 10..50 by 20)"),
    ('bundles-expected', 'prompts: [a]\naxes: {look: 3}', 'axes.look: must be a list of values, or name: value, not 3 (write name: {setting: value})'),
    ('not-a-bundle', 'prompts: [a]\nvariants: [fast]', "variants.1: must be a bundle of settings, not 'fast' (write name: {setting: value})"),
    ('no-values', 'prompts: []', 'prompts: has no values (write at least one, or remove the axis)'),
    ('label-twice', "prompts: ['a', 'a']", "prompts.2: has the label 'a', which prompts.1 has too (remove one, or give both a name (name: value))"),
    ('commas', 'prompts: [A wolf, chilly]', 'prompts: its commas make 2 texts of [A wolf, chilly] (write prompts: ["A wolf", "chilly"] for 2, or prompts: ["A wolf, chilly"] for one)'),
    ('one-bundle', 'prompts: {prompt: a, seed: 3}', 'prompts: is one bundle, where names and prompts are expected (put it in a list (- prompt: …), or write name: {prompt: …})'),
    ('seed-name', 'prompts: [a]\nseeds: {count: 4}', "seeds: 'count' would be the name of a seed (random seeds are {random: 4, from: 7}, a range is 1..9)"),
    ('text-as-mapping', 'prompts:\n  - a sign: open', "prompts.1: is a mapping, and a text is meant (quote it: 'a sign: open')"),
    ('name-in-a-list', 'prompts: [a]\naxes: {steps: [few: 9]}', "axes.steps.1: names a value, 'few', inside a list (write {few: 9, …} without [ ])"),
    ('word-without-text', "words: {animal: [{seed: 3}]}\nprompts: ['{animal}']", 'words.animal.1: has no text for animal (write {animal: …} beside its settings)'),
    ('not-a-range', 'prompts: [a]\nseeds: 0..', "seeds: is not a range: '0..' (write 0..99, or 5..13 by 0.5)"),
    ('step-not-above-0', 'prompts: [a]\nseeds: 0..9 by 0', "seeds: has the step 0: '0..9 by 0' (write by 1, or another step above 0)"),
    ('step-not-whole', 'prompts: [a]\nseeds: 0..9 by 0.5', 'seeds: has the step 0.5, and seed is a whole number (write by 1 or more)'),
    ('runs-backwards', 'prompts: [a]\nseeds: 9..0', "seeds: runs backwards: '9..0' (write 0..9)"),
    ('misses-its-end', 'prompts: [a]\naxes: {high_noise_frac: 0.5..1}', "axes.high_noise_frac: goes by steps of 1, and ends at 0.5: '0.5..1' (write 0.5..1 by 0.1)"),
    ('long-range-in-a-list', 'prompts: [a]\nseeds: [0..100000]', "seeds.1: '0..100000' has 100,001 values (write it as the whole axis)"),
    ('named-generator', 'prompts: {a: {file: animals.txt}}', 'prompts.a: {file: …} makes values that name themselves (put it in a list)'),
    ('generator-takes-no', 'prompts: {file: animals.txt, form: 7}', "prompts: {file: …} takes no 'form' (known are file)"),
    ('makes-no-values', 'prompts: {file: empty.txt}', 'prompts: makes no values (write at least one, or remove it)'),
    ('texts-for-bundles', 'prompts: [a]\nvariants: {file: animals.txt}', 'variants: animals.txt has texts, and the values of variant are bundles of settings (write a .csv file whose columns are settings)'),
    ('axis-takes-no-files', "prompts: [a]\nvariants: {files: './*'}", 'variants: variant takes no files ({files: …} makes values of model, vae and loras)'),
    ('emphasize', 'prompts: {emphasize: [a, b], with: ++}', 'prompts: is spelt emphasise here (write emphasise: […])'),
    ('axis-is-no-text', 'prompts: [a]\nseeds: {emphasise: [a], with: ++}', 'seeds: seed is no text ({emphasise: …} makes prompts and words)'),
    ('emphasis', 'prompts: [{emphasise: [a, b]}]', "prompts.1: needs the weight to emphasise with, not '' (write with: ++ (or --, or 1.3))"),
    ('not-keywords', 'prompts: [{emphasise: , with: ++}]', 'prompts.1: must be a list of keywords, not null (write emphasise: [blurry, ugly])'),
    ('generator-makes-no-keywords', 'prompts: [{emphasise: [{random: 3}], with: ++}]', 'prompts.1: {random: …} makes no keywords (write them out, or {file: …})'),
    ('axis-takes-no-random', 'prompts: [a]\naxes: {steps: {random: 3}}', 'axes.steps: steps takes no random values ({random: …} makes seeds)'),
    ('per', 'prompts: [a]\nseeds: {random: 3, per: cell}', "seeds: per must be image, not 'cell' (write per: image, or leave it out)"),
    ('table-too-large', 'prompts: {file: huge.txt}', 'prompts: huge.txt has more than 10,000,000 bytes (split it)'),
    ('table-not-utf-8', 'prompts: {file: utf-16.csv}', 'prompts: line 1 of utf-16.csv is not UTF-8 (save the file as UTF-8)'),
    ('table-not-text', 'prompts: {file: nul.txt}', "prompts: line 2 of nul.txt has the control character '\\x00' (remove it)"),
    ('table', 'prompts: {file: quotes.csv}', 'prompts: line 2 of quotes.csv cannot be read: unexpected end of data (check its quotes)'),
    ('too-many-cells-in-a-row', 'prompts: {file: comma.csv}', 'prompts: line 2 of comma.csv has 3 cells, and the heading 2 (quote a cell that holds the separator: "a wolf, chilly")'),
    ('no-heading', 'prompts: {file: nothing.csv}', 'prompts: nothing.csv has no heading (write the settings in its first line)'),
    ('column-twice', 'prompts: {file: twice.csv}', "prompts: twice.csv has the column 'prompt' twice (name each column once, after a setting)"),
    ('column-without-a-name', 'prompts: {file: nameless.csv}', 'prompts: nameless.csv has a column without a name (name each column once, after a setting)'),
    ('pattern', 'prompts: [a]\naxes: {model: {files: ~nobody-at-all/*}}', "axes.model: cannot look for '~nobody-at-all/*': Could not determine home directory. (write a pattern such as ./models/*.safetensors)"),
    ('not-conditions', 'prompts: [a]\nexclude: {prompt: a}', 'exclude: must be a list, not a mapping of prompt (write exclude: [{prompt: a}])'),
    ('condition-without-axis', 'prompts: [a]\nexclude: [{}]', 'exclude.1: names no axis, so it would match every cell (write {axis: value})'),
    ('no-such-axis', 'prompts: [a]\nexclude: [{prompts: a}]', "exclude.1.prompts: is not an axis of this batch (did you mean 'prompt'?)"),
    ('lists-no-value', 'prompts: [a]\nexclude: [{prompt: []}]', 'exclude.1.prompt: lists no value (write at least one)'),
    ('no-such-value', 'prompts: {wolf: a}\nonly: [{prompt: wlof}]', "only.1.prompt: no value of prompt is 'wlof' (did you mean 'wolf'?)"),
    ('no-such-value-after-sign', "prompts: [a]\nseeds: 0..9\nexclude: [{seed: '! 10'}]", "exclude.1.seed: no value of seed is '10' (it has 0..9)"),
    ('turned-comparison', "prompts: [a]\naxes: {steps: [20]}\nexclude: [{steps: '=> 20'}]", 'exclude.1.steps: \'=> 20\' is no comparison (write ">= 20")'),
    ('compared-with-text', "prompts: [a]\nseeds: 0..9\nexclude: [{seed: '> many'}]", 'exclude.1.seed: > compares numbers, and \'many\' is none (write "> 9")'),
    ('axis-without-numbers', "prompts: {a: x, b: y}\nexclude: [{prompt: '> 9'}]", 'exclude.1.prompt: > compares numbers, and prompt has none (list the values: a, b)'),
    ('set-by-two-axes', 'prompts: {w: {prompt: a, seed: 1}}\nseeds: 0..3', 'seeds: sets seed, which prompts.w sets too (keep seed in one)'),
    ('no-prompt', 'seeds: 0..3', 'prompts: has no prompt (write prompts: ["A wolf"])'),
    ('too-many-cells', 'prompts: [a]\nseeds: 0..18446744073709551615', '1 × 18,446,744,073,709,551,616 makes 18,446,744,073,709,551,616 cells (at most 1,000,000,000 are read)'),
    ('circle-of-words', "words: {a: ['{a}']}\nprompts: ['{a}']", 'words: {a} is made of itself (end the circle)'),
    ('filled-syntax', "words: {a: [wolf, '()']}\nprompts: ['{a}']", '\'{a}\' filled in has no words to encode; write "" for an empty prompt (it becomes \'()\')'),
    ('no-cell', 'prompts: {a: x}\nexclude: [{prompt: a}]', 'exclude and only leave no cell (remove a condition)'),
    ("too-many-axes", f"prompts: [a]\naxes: {{{', '.join(f'x{n}: [{{}}]' for n in range(100))}}}", "has 101 axes (at most 100 are read)"),
    ("uncountable", f"prompts: [a]\n{OVERLAPPING}", "exclude and only overlap in too many ways to count the cells they leave (write fewer conditions, or conditions on fewer axes)"),
]  # fmt: skip

#: Kind, what was found, message, mend: where a file would be large, or differ from machine to
#: machine.
FACTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("file-too-large", {"most": 10_000_000}, "the file has more than 10,000,000 bytes", "is it a batch file?"),
    ("file-not-utf-8", {"line": 1, "byte": 0xEB}, "line 1 is not UTF-8: the byte 0xeb", "save the file as UTF-8"),
    ("yaml-without-a-place", {"says": "is not YAML"}, "is not YAML", "check the brackets and quotes"),
    ("too-many-nodes", {"most": 500_000}, "the file has more than 500,000 values", "use a range"),
    ("text-too-long", {"length": 20_001, "most": 20_000}, "has 20,001 characters", "at most 20,000 are read"),
    ("path-too-long", {"length": 5_000}, "has 5,000 characters, too many for a path", "check its quotes"),
    ("too-many-values", {"most": 100_000}, "has more than 100,000 values", "use a range"),
    ("lora-named-twice", {"name": "x"}, "x is another file in lora_files", "rename one of them"),
    ("too-many-keywords", {"keywords": 1_001, "length": 5_005, "most": 20_000}, "emphasises 1,001 keywords of 5,005 characters", "at most 1,000 of 20,000 characters are read"),
    ("not-a-file", {"file": "/b/x"}, "'/b/x' is no file", "paths are relative to the batch file"),
    ("no-such-file", {"file": "/b/x"}, "'/b/x' is not there", "paths are relative to the batch file"),
    ("unreadable-file", {"file": "/b/x", "says": "Permission denied"}, "cannot read '/b/x': Permission denied", "paths are relative to the batch file"),
    ("no-file-matches", {"pattern": "./*.pt", "folder": Path("/b")}, "no file matches './*.pt'", "it was looked for in /b"),
    ("too-many-files", {"pattern": "./*", "most": 10_000}, "more than 10,000 files match './*'", "name fewer"),
    ("takes-too-long", {"pattern": "/**", "seconds": 10.0}, "looking for '/**' takes more than 10 s", "name a folder with fewer files in it"),
    ("too-many-conditions", {"entries": 10_001, "most": 10_000}, "has 10,001 entries", "at most 10,000"),
    ("too-many-compared", {"compared": 3_000_001}, "the conditions up to here compare 3,000,001 values", "write fewer, with names instead of values, or `only` instead of `exclude`"),
    ("filled-too-long", {"text": f"{{a}}{'b' * 80}", "length": 20_001, "most": 20_000}, f"the words of '{{a}}{'b' * 57}' make a prompt of up to 20,001 characters", "at most 20,000 are read"),
]  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("room")
    write_room(folder)
    return folder


@pytest.mark.parametrize(("text", "said"), [pytest.param(*row[1:], id=row[0]) for row in FILES])
def test_a_file_with_one_mistake(text: str, said: str, room: Path) -> None:
    with pytest.raises(BatchFileError) as caught:
        load_batch_file(None, text=text, base_dir=room)
    assert [str(problem) for problem in caught.value.problems] == [said]


@pytest.mark.parametrize(
    ("kind", "facts", "message", "mend"), [pytest.param(*row, id=row[0]) for row in FACTS]
)
def test_a_finding(kind: str, facts: dict[str, Any], message: str, mend: str) -> None:
    problem = problem_of(Finding(kind, facts, "a.b"))
    assert (problem.path, problem.message, problem.hint) == ("a.b", message, mend)


def test_every_kind_stands_above_once() -> None:
    assert sorted([row[0] for row in FILES] + [row[0] for row in FACTS]) == sorted(TABLE)


def test_every_kind_that_is_found_has_a_row_and_every_row_is_found() -> None:
    assert {kind for kind, _ in found()} == set(TABLE)


def test_a_row_needs_no_more_than_what_is_found() -> None:
    """Wherever a kind is found, the facts are there that its message and mend are made of."""
    lacking = [
        f"{kind} without {fact}"
        for kind, facts in found()
        for words in (TABLE[kind].message, TABLE[kind].mend)
        for fact in needed(words) - facts - {"path"}
    ]
    assert not lacking


def test_no_fact_is_found_for_nothing() -> None:
    unused = [
        f"{kind}: {fact}"
        for kind, facts in found()
        for fact in facts - {"node"} - needed(TABLE[kind].message) - needed(TABLE[kind].mend)
    ]
    assert not unused


def needed(words: Words) -> set[str]:
    """The facts that a message or a mend is made of."""
    if callable(words):
        return set(signature(words).parameters)
    fields = (field for _, field, _, _ in Formatter().parse(words) if field)
    return {field.split(".")[0] for field in fields}


def found() -> Iterator[tuple[str, set[str]]]:
    """Each place where a mistake is found: the kind, or each of two, and the names of its facts."""
    root = Path(language.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
                for kind in kinds(node.args[0]):
                    yield kind, facts_of(node)


#: What names a kind: the exception, the record, and the two helpers that make a record.
CALLS = {"Mistake", "Finding", "self._note", "self._found"}


def kinds(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from (*kinds(node.body), *kinds(node.orelse))
    elif isinstance(node, ast.Constant):
        yield str(node.value)


def facts_of(call: ast.Call) -> set[str]:
    names = {keyword.arg for keyword in call.keywords if keyword.arg not in (None, "path")}
    if ast.unparse(call.func) == "Finding":
        dicts = [argument for argument in call.args[1:] if isinstance(argument, ast.Dict)]
        return {str(ast.literal_eval(key)) for each in dicts for key in each.keys if key}
    if ast.unparse(call.func) == "Mistake" and len(call.args) > 1:
        names.add("node")
    return {str(name) for name in names}
