"""`words` as a whole: no circles, no prompt too long, and nothing wrong once they are filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice, product
from typing import cast

from pydantic import JsonValue

from common.batch import MAX_FILLED, WORD, AnyAxis, Axis, Batch, fill, names_in
from common.job import check_prompt
from producer.language.mistakes import Mistake
from producer.language.settings import PROMPTS

#: Combinations of words that are tried out in each prompt, and in all of them.
TRIED, TRIED_IN_ALL = 2_000, 20_000

TRIED_CHARACTERS = 2_000_000

Words = Mapping[str, list[str]]


def words_of(batch: Batch) -> dict[str, list[str]]:
    """The texts of each word axis of a batch."""
    return _texts(batch.axes)


def check_words_together(
    axes: Iterable[AnyAxis], written: Iterable[Mapping[str, JsonValue]]
) -> Iterator[str]:
    """Notes on words; raises Mistake for what cannot be filled in."""
    words = _texts(axes)
    needs = {name: {n for text in texts for n in names_in(text)} for name, texts in words.items()}
    order = _inside_out(needs)
    prompts = [str(s[n]) for s in written for n in PROMPTS if isinstance(s.get(n), str)]
    _check_lengths(prompts, words, order)
    used = {name for text in prompts for name in names_in(text)}
    templates = dict.fromkeys(text for text in prompts if names_in(text))
    _try_out(_combinations(templates, words, needs))
    inside = {inner for name in used for inner in _reach(name, needs)}
    return (f"words.{name}: no prompt has {{{name}}}" for name in words if name not in inside)


def _texts(axes: Iterable[AnyAxis]) -> dict[str, list[str]]:
    return {
        axis.name: [cast(str, value.settings[WORD + axis.name]) for value in axis.values]
        for axis in axes
        if isinstance(axis, Axis) and WORD + axis.name in axis.setting_names()
    }


def _inside_out(needs: Mapping[str, set[str]]) -> list[str]:
    """The words, each behind those that it is made of. Raises Mistake for a circle."""
    done: list[str] = []
    waiting = dict(needs)
    while waiting:
        ready = [name for name, inner in waiting.items() if not inner & waiting.keys()]
        if not ready:
            raise Mistake("circle-of-words", path="words", names=sorted(waiting))
        done += ready
        for name in ready:
            del waiting[name]
    return done


def _check_lengths(prompts: list[str], words: Words, order: list[str]) -> None:
    """Raises Mistake where the longest words make more than anybody reads."""
    longest: dict[str, int] = {}
    for name in order:
        longest[name] = max(_longest(text, longest) for text in words[name])
    for text in prompts:
        if (length := _longest(text, longest)) > MAX_FILLED and names_in(text):
            raise Mistake("filled-too-long", text=text, length=length, most=MAX_FILLED)


def _longest(text: str, longest: Mapping[str, int]) -> int:
    """An upper bound of the length of `text` once it is filled in."""
    names = names_in(text)
    return len(text) + sum(text.count(f"{{{name}}}") * longest[name] for name in names)


def _try_out(combinations: Iterator[tuple[str, dict[str, str]]]) -> None:
    """Fill in words and check what comes out, as far as that takes moments. Raises Mistake."""
    characters = 0
    for text, words in islice(combinations, TRIED_IN_ALL):
        filled = fill(text, words)
        if complaints := check_prompt(filled):
            raise Mistake("filled-syntax", text=text, says=complaints[0], filled=filled)
        characters += len(filled)
        if characters > TRIED_CHARACTERS:
            break


def _combinations(
    templates: Iterable[str], words: Words, needs: Mapping[str, set[str]]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Prompts with words for them: each word once, then some of their combinations."""
    for text in templates:
        names = sorted({inner for name in names_in(text) for inner in _reach(name, needs)})
        lists = [words[name] for name in names]
        longest = max(map(len, lists))
        each = ([texts[turn % len(texts)] for texts in lists] for turn in range(longest))
        for chosen in islice(chain(each, product(*lists)), TRIED):
            yield text, dict(zip(names, chosen, strict=True))


def _reach(name: str, needs: Mapping[str, set[str]]) -> set[str]:
    """The word and all that it is made of."""
    reached, new = {name}, {name}
    while new := {inner for word in new for inner in needs[word]} - reached:
        reached |= new
    return reached
