"""Every kind of mistake in a batch file: what is said of it, and how it is mended.

A kind is one row here, and a `Mistake` or a `Finding` of that kind where the reader finds it; the
kinds stand in the order in which a file is read. A message and a mend are format strings of what
was found (`{node}`, `{name!r}`, `{text!q}` for not more than a line of a text) or functions of it.
The path already names the setting or the axis, so a message begins with what is wrong with the
value; the mend says what to write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from producer.language.mends import forms, names, ranges, unreadable, values, whole_file

Words = str | Callable[..., str]


@dataclass(frozen=True)
class Row:
    """The words of one kind of mistake; "" is no mend."""

    message: Words
    mend: Words = ""


_FILE = {
    "file-too-large": Row("the file has more than {most:,} bytes", "is it a batch file?"),
    "file-not-utf-8": Row(
        "line {line} is not UTF-8: the byte {byte:#04x}", "save the file as UTF-8"
    ),
    "file-not-text": Row(
        "line {line}, column {column} has the control character {character!r}",
        "remove it; is it a batch file?",
    ),
    "yaml": Row("line {line}, column {column}: {says}", unreadable.place),
    "yaml-without-a-place": Row("{says}", "check the brackets and quotes"),
    "second-document": Row("line {line} starts a second document", "remove the ---"),
    "too-deep": Row("line {line} nests more than {most} deep", "flatten it"),
    "too-many-nodes": Row("the file has more than {most:,} values", "use a range"),
    "tag": Row("line {line} has the tag {tag}", unreadable.tag),
    "no-such-anchor": Row(
        "line {line}: *{anchor} names nothing written above it",
        "quote the prompt if it starts with *",
    ),
    "merge-key": Row("line {line}: << is not read", "write the settings out"),
    "name-not-text": Row(
        "line {line}: a name must be a text, not {node}", "quote the prompt if this is one"
    ),
    "name-twice": Row("is written twice: line {first} and line {line}", "keep one, or rename one"),
    "control-character": Row("line {line} has the control character {character!r}", "remove it"),
}

_TOP = {
    "empty-file": Row("the batch file is empty", 'start with prompts: ["A wolf"]'),
    "file-not-a-mapping": Row(
        "the batch file must be a mapping, not {node}", 'start with prompts: ["A wolf"]'
    ),
    "no-such-key": Row("is not a key of a batch file", names.key),
    "not-a-mapping": Row("must be a mapping, not {node}", forms.mapping),
    "batch-name-not-text": Row("must be a text, not {node}"),
    "batch-name-length": Row("must have 1 to {most} characters, not {length}"),
    "name-length": Row("a name has 1 to {most} characters, not {length}", "rename it"),
    "model-in-settings-too": Row("is in settings too", "keep one of the two"),
}

_SETTINGS = {
    "not-a-setting": Row("is not a setting", names.setting),
    "not-a-dotted-setting": Row("is not a setting", names.dotted_setting),
    "not-a-setting-of-the-group": Row("is not a setting of the {group}", names.setting_of_group),
    "torn-text": Row("ends at its comma", forms.torn_text),
    "torn-number": Row("ends at its comma", forms.torn_number),
    "word-in-a-bundle": Row("is not a setting", "write words: at the top of the file"),
    "set-again": Row("sets {setting} again", "keep one of the two"),
    "no-such-entry": Row("is not known here", names.one_of),
    "not-text": Row("must be a text, not {node}", 'quote it, or write "" for an empty text'),
    "not-one-text": Row("must be one text, not {node}", "quote it if its comma belongs to it"),
    "text-too-long": Row("has {length:,} characters", "at most {most:,} are read"),
    "prompt-syntax": Row("{says}", values.excerpt),
    "no-such-word": Row("has {{{name}}}, which is not in words", names.word),
    "out-of-bounds": Row("must be {bounds}, not {node}", values.number),
    "random-seed": Row("must be a number, not {node}", "random seeds: {{random: 4, from: 7}}"),
    "not-a-choice": Row(values.choices, values.did_you_mean),
    "not-a-size": Row("must be WIDTHxHEIGHT in pixels, not {node}", values.size),
    "several-sizes": Row("must be one size, not {node}", values.size),
    "size-off-the-grid": Row(
        "must have sides that are multiples of 8 from 64 to 8192, not {node}", values.nearest_size
    ),
    "told-size-out-of-bounds": Row("must have sides from 1 to {most:,} pixels, not {node}"),
    "not-a-scheduler": Row("must be a name such as 'euler', not {node}"),
    "scheduler": Row("{says}"),
    "not-a-source": Row(values.sources, values.did_you_mean),
    "pickle": Row("{text!r} is a pickle, which can run code", "convert it to .safetensors"),
    "path-too-long": Row("has {length:,} characters, too many for a path", "check its quotes"),
    "no-such-home": Row("{text!q}: {says}", "write the folder out"),
    "no-such-lora": Row("is not in lora_files", names.lora),
    "loras-not-a-mapping": Row("must be a mapping, not {node}", values.loras),
    "several-strengths": Row(
        "must be one strength, not {node}", "write an axis: loras.{name}: […]"
    ),
}

_AXES = {
    "axis-twice": Row("is the same axis as {other}", "keep one of them"),
    "axis-name": Row("{name!r} can't name an axis", names.axis),
    "torn-list": Row("is a list without its brackets", "write {name}: [{values}]"),
    "key-under-axes": Row("is not written under axes", "write {name}: at the top of the file"),
    "word-name": Row("{name!r} can't name a word", "use a letter, then letters, digits and _"),
    "word-named-as-a-setting": Row("{name} is a setting's name", "rename the word"),
    "list-expected": Row(
        "must be a list of values, or name: value, not {node}", forms.list_of_values
    ),
    "bundles-expected": Row(
        "must be a list of values, or name: value, not {node}", names.bundles_of
    ),
    "not-a-bundle": Row("must be a bundle of settings, not {node}", names.bundles_of),
    "no-values": Row("has no values", "write at least one, or remove the axis"),
    "too-many-values": Row("has more than {most:,} values", "use a range"),
    "label-twice": Row(
        "has the label {label!q}, which {other} has too",
        "remove one, or give both a name (name: value)",
    ),
    "commas": Row(forms.comma_texts, forms.quoted_texts),
    "one-bundle": Row(
        "is one bundle, where names and prompts are expected",
        "put it in a list (- prompt: …), or write name: {{prompt: …}}",
    ),
    "seed-name": Row(
        "{name!r} would be the name of a seed",
        "random seeds are {{random: 4, from: 7}}, a range is 1..9",
    ),
    "text-as-mapping": Row("is a mapping, and a text is meant", "quote it: '{name}: {text}'"),
    "name-in-a-list": Row(
        "names a value, {name!r}, inside a list", "write {{{name}: {text}, …}} without [ ]"
    ),
    "word-without-text": Row("has no text for {word}", "write {{{word}: …}} beside its settings"),
}

_RANGES = {
    "not-a-range": Row("is not a range: {node}", "write 0..99, or 5..13 by 0.5"),
    "step-not-above-0": Row("has the step {step}: {node}", "write by 1, or another step above 0"),
    "step-not-whole": Row(
        "has the step {step}, and {name} is a whole number", "write by 1 or more"
    ),
    "runs-backwards": Row("runs backwards: {node}", "write {last}..{first}"),
    "misses-its-end": Row(
        "goes by steps of 1, and ends at {reached}: {node}", ranges.smaller_steps
    ),
    "long-range-in-a-list": Row("{node} has {values:,} values", "write it as the whole axis"),
}

_GENERATORS = {
    "named-generator": Row("{{{key}: …}} makes values that name themselves", "put it in a list"),
    "generator-takes-no": Row("{{{key}: …}} takes no {name!r}", names.one_of),
    "makes-no-values": Row("makes no values", "write at least one, or remove it"),
    "texts-for-bundles": Row(
        "{file} has texts, and the values of {axis} are bundles of settings",
        "write a .csv file whose columns are settings",
    ),
    "axis-takes-no-files": Row(
        "{axis} takes no files", "{{files: …}} makes values of model, vae and loras"
    ),
    "lora-named-twice": Row("{name} is another file in lora_files", "rename one of them"),
    "emphasize": Row("is spelt emphasise here", "write emphasise: […]"),
    "axis-is-no-text": Row("{axis} is no text", "{{emphasise: …}} makes prompts and words"),
    "emphasis": Row(
        "needs the weight to emphasise with, not {weight!r}", "write with: ++ (or --, or 1.3)"
    ),
    "not-keywords": Row(
        "must be a list of keywords, not {node}", "write emphasise: [blurry, ugly]"
    ),
    "too-many-keywords": Row(
        "emphasises {keywords:,} keywords of {length:,} characters",
        "at most 1,000 of {most:,} characters are read",
    ),
    "generator-makes-no-keywords": Row(
        "{{{key}: …}} makes no keywords", "write them out, or {{file: …}}"
    ),
    "axis-takes-no-random": Row("{axis} takes no random values", "{{random: …}} makes seeds"),
    "per": Row("per must be image, not {node}", "write per: image, or leave it out"),
}

_TABLES = {
    "not-a-file": Row("{file!r} is no file", "paths are relative to the batch file"),
    "no-such-file": Row("{file!r} is not there", names.file),
    "unreadable-file": Row("cannot read {file!r}: {says}", "paths are relative to the batch file"),
    "table-too-large": Row("{file} has more than {most:,} bytes", "split it"),
    "table-not-utf-8": Row("line {line} of {file} is not UTF-8", "save the file as UTF-8"),
    "table-not-text": Row(
        "line {line} of {file} has the control character {character!r}", "remove it"
    ),
    "table": Row("line {line} of {file} cannot be read: {says}", "check its quotes"),
    "too-many-cells-in-a-row": Row(
        "line {line} of {file} has {cells} cells, and the heading {columns}",
        'quote a cell that holds the separator: "a wolf, chilly"',
    ),
    "no-heading": Row("{file} has no heading", "write the settings in its first line"),
    "column-twice": Row(
        "{file} has the column {name!r} twice", "name each column once, after a setting"
    ),
    "column-without-a-name": Row(
        "{file} has a column without a name", "name each column once, after a setting"
    ),
    "pattern": Row(
        "cannot look for {pattern!q}: {says}", "write a pattern such as ./models/*.safetensors"
    ),
    "no-file-matches": Row("no file matches {pattern!q}", names.files),
    "too-many-files": Row("more than {most:,} files match {pattern!r}", "name fewer"),
    "takes-too-long": Row(
        "looking for {pattern!q} takes more than {seconds:g} s",
        "name a folder with fewer files in it",
    ),
}

_CONDITIONS = {
    "not-conditions": Row("must be a list, not {node}", forms.conditions),
    "too-many-conditions": Row("has {entries:,} entries", "at most {most:,}"),
    "condition-without-axis": Row(
        "names no axis, so it would match every cell", "write {{axis: value}}"
    ),
    "too-many-compared": Row(
        "the conditions up to here compare {compared:,} values",
        "write fewer, with names instead of values, or `only` instead of `exclude`",
    ),
    "no-such-axis": Row("is not an axis of this batch", names.one_of),
    "lists-no-value": Row("lists no value", "write at least one"),
    "no-such-value": Row("no value of {axis.name} is {node}", ranges.nearest_value),
    "no-such-value-after-sign": Row("no value of {axis.name} is {text!q}", ranges.nearest_value),
    "turned-comparison": Row("{text!r} is no comparison", 'write "{sign}= {rest}"'),
    "compared-with-text": Row("{sign} compares numbers, and {text!r} is none", 'write "> 9"'),
    "axis-without-numbers": Row(
        "{sign} compares numbers, and {axis.name} has none", ranges.values_of
    ),
}

_WHOLE_FILE = {
    "set-by-two-axes": Row("sets {setting}, which {other} sets too", "keep {setting} in one"),
    "no-prompt": Row("has no prompt", 'write prompts: ["A wolf"]'),
    "too-many-axes": Row("has {axes:,} axes", "at most {most} are read"),
    "too-many-cells": Row(whole_file.product, "at most {most:,} are read"),
    "circle-of-words": Row(whole_file.circle, "end the circle"),
    "filled-too-long": Row(whole_file.filled_too_long, "at most {most:,} are read"),
    "filled-syntax": Row(whole_file.filled_wrong, whole_file.filled),
    "no-cell": Row("exclude and only leave no cell", "remove a condition"),
    "uncountable": Row("{says}", "{hint}"),
}

#: Kind → its words.
TABLE: Mapping[str, Row] = MappingProxyType(
    _FILE | _TOP | _SETTINGS | _AXES | _RANGES | _GENERATORS | _TABLES | _CONDITIONS | _WHOLE_FILE
)
