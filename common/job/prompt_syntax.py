"""A light check of compel's prompt syntax, so that a typo is found before anything is rendered.

What compel reads: `(words)++`, `(words)--`, `word+`, `(words)1.3`, `(words).attend(1.3)`, any of
them nested, and over a whole prompt `("one", "two").blend(0.7, 0.3)`; `\\(` is a literal
parenthesis. Everything else is text. compel's own parser needs torch; this one knows only what
compel 2.5 raises on, silently drops, or reads otherwise than the writer hoped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

#: Characters. Parsing this many takes compel seconds; a text encoder reads about 300.
MAX_LENGTH = 20_000

#: Open parentheses at one place. compel's parser ends in a RecursionError near 60.
MAX_NESTING = 20

_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_ESCAPED = re.compile(r"\\[()\"]")
_WEIGHT = rf"(?:\++|-+|{_NUMBER}|\.attend\([^()]*\))?"
_EMPTY_GROUP = re.compile(rf"\(\s*\){_WEIGHT}")
_QUOTED_EMPTY = re.compile(rf'"\s*(?:\(\s*\){_WEIGHT}\s*)+"{_WEIGHT}')
_LORA_CALL = re.compile(r"(?:use|with)Lora\([^()]*\)")
_SWAP = re.compile(r"[\w)\"]\s*\.swap\(")
_COMBINED = re.compile(r"\)\s*\.(blend|and|add)\s*\(([^()]*)\)")
_QUOTED = re.compile(r'"[^"]*"')

#: What may stand between a blend's commas; with anything else the whole prompt is literal text.
BLENDED = re.compile(r"""\s*(?:"[^"]*"|\([^()]*\)|[^\s()",.=]+)\s*""")

_ELSEWHERE = (
    (
        re.compile(rf"\([^()]*:\s*{_NUMBER}\s*\)"),
        "(words:1.3) is another program's syntax and stays literal text; write (words)1.3",
    ),
    (
        re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>"),
        "<lora:…> stays literal text; name the file in lora_files and use loras: {name: 1.0}",
    ),
    (_LORA_CALL, "withLora(…) has no effect here; use the setting loras: {name: 1.0}"),
    (
        re.compile(r"(?<!\S)BREAK(?!\S)"),
        "BREAK stays literal text; long_prompts: chunk reads prompts of more than 75 tokens",
    ),
    (
        re.compile(r"\(\([^()]*\)\)(?![+\-.\d])"),
        "((words)) weighs nothing here; write (words)++",
    ),
    (
        re.compile(r"(?<!\w)__\w+__(?!\w)"),
        "__name__ stays literal text; write {name}, and words: {name: […]}",
    ),
    (
        re.compile("^[“”‘’„«]"),
        "begins with a curly quote, which is part of the text; \" and ' are YAML's quotes",
    ),
    (
        re.compile("[\u00a0\u2007\u202f]"),
        "has a no-break space, which weights do not end at; write an ordinary space",
    ),
    (
        re.compile(r"\{[^{}|]*\|[^{}]*\}"),
        "{a|b} stays literal text; write each choice as a prompt of its own",
    ),
)


def check_prompt(text: str) -> list[str]:
    """Everything in `text` that cannot be rendered as written; empty if it can be."""
    if len(text) > MAX_LENGTH:
        return [f"is {len(text):,} characters long; at most {MAX_LENGTH:,} are read"]
    plain = _ESCAPED.sub("__", text)
    if _depth(plain) > MAX_NESTING:
        return [f"nests parentheses more than {MAX_NESTING} deep"]
    return list(_mistakes(plain))


def warnings(text: str) -> list[str]:
    """What `text` will be read as, where its writer probably meant something else."""
    plain = _ESCAPED.sub("__", text[:MAX_LENGTH])
    return list(_surprises(plain))


def _mistakes(plain: str) -> Iterator[str]:
    if plain.strip() and not _without_empties(plain).strip():
        yield 'has no words to encode; write "" for an empty prompt'
    if _SWAP.search(plain):
        yield ".swap() is not supported; write the two texts as two prompts"
    combined = _combination(plain)
    if combined:
        yield from _wrong_combination(plain, combined)


def _surprises(plain: str) -> Iterator[str]:
    for pattern, meaning in _ELSEWHERE:
        if pattern.search(plain):
            yield meaning
    if plain.count("(") != plain.count(")"):
        yield "has unbalanced parentheses, which stay literal text"
    if (blend := _combination(plain)) and not _blends(plain[: blend.start()]):
        yield 'is no blend but literal text: quote each part, ("a cat", "a dog").blend(1, 1)'
    if _COMBINED.search(plain) and not _combination(plain):
        yield "combines texts in the middle of a prompt, which stays literal text"


def _depth(plain: str) -> int:
    """The most parentheses open at one place, those never closed included."""
    steps = (1 if bracket == "(" else -1 for bracket in re.findall(r"[()]", plain))
    return max(accumulate(steps, lambda depth, step: max(0, depth + step), initial=0))


def _without_empties(plain: str) -> str:
    """`plain` without empty groups, groups or quotations of empty groups, and their weights."""
    previous = None
    text = _LORA_CALL.sub("", plain)
    while text != previous:
        # Quotes around empty groups vanish with them; quotes around nothing are text.
        previous, text = text, _EMPTY_GROUP.sub("", _QUOTED_EMPTY.sub("", text))
    return text


def _combination(plain: str) -> re.Match[str] | None:
    """The `.blend(…)` or `.and(…)` behind a group that starts the prompt, if there is one."""
    masked = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), plain)
    start = len(masked) - len(masked.lstrip())
    if masked[start : start + 1] != "(":
        return None
    end = _closing(masked, start)
    return _COMBINED.match(plain, end) if end else None


def _blends(group: str) -> bool:
    """Whether `(one, two`, the parts of a blend, are such that compel takes them apart."""
    inside = group.strip()[1:]
    masked = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), inside)
    return all(map(BLENDED.fullmatch, masked.split(",")))


def _closing(masked: str, start: int) -> int | None:
    """Where the parenthesis that opens at `start` closes."""
    depth = 0
    for bracket in re.compile(r"[()]").finditer(masked, start):
        depth += 1 if bracket[0] == "(" else -1
        if depth == 0:
            return bracket.start()
    return None


def _wrong_combination(plain: str, combined: re.Match[str]) -> Iterator[str]:
    if combined[1] != "blend":
        yield f".{combined[1]}() is not supported with SDXL; use .blend() or one text"
        return
    if plain[combined.end() :].strip():
        yield "has text behind .blend(…); blend the whole prompt, or nothing"
    yield from _wrong_weights(plain[: combined.start()], combined[2])


def _wrong_weights(group: str, written: str) -> Iterator[str]:
    parts = _QUOTED.sub("_", group).count(",") + 1
    weights = [weight.strip() for weight in written.split(",")] if written.strip() else []
    normalised = weights[-1:] != ["no_normalize"]
    numbers = weights if normalised else weights[:-1]
    wrong = [number for number in numbers if not re.fullmatch(_NUMBER, number)]
    if wrong:
        yield f".blend() takes numbers such as 0.5, not {wrong[0]!r}"
    elif numbers and len(numbers) != parts:
        yield f".blend() has {parts} texts and {len(numbers)} weights; write one for each"
    elif numbers and normalised and sum(map(float, numbers)) == 0:
        yield ".blend() has weights that add up to 0"
