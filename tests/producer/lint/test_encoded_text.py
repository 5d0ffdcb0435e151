"""The words that an encoder reads: as many tokens as in what compel makes of the same prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from common.job import MAX_LENGTH
from producer.lint.encoded_text import encoded_texts

#: Each has another form of the syntax, or something that looks like it.
PROMPTS = [
    "",
    "A wolf in Yosemite National Park, chilly nature documentary film photography",
    "a large delicious hamburger (in the shape of five-dimensional alien geometry)++++, food",
    "(a)1.3 (b)-- c+ (d)0.5 (e (f)++)-",
    "(a).attend(1.2) b.attend(++)",
    "(a cat, (a dog)-- and. so...)1.2, the end",
    "(a)(b)1.2(c)",
    'wolf++, fox-- (bear)+. "owl"1.5 and a "quoted (moose)++ here"-',
    "f/2.8, 50mm (f/2.8, 50mm)++ ...(wait...)",
    "a,b,,c ,d",
    "((very)) ((good)1.1)1.1 [photo] {x} <y>",
    "withLora(wrong, 0.5) a wolf",
    r"a \(b\)++ \"c\" (d \(e\) f)++",
    "well-known (e-mail)++ of 2+2, 16:9 --ar 3",
    "photo(s) of a wolf's (fox's)++ den",
    '5" tall, 6" wide',
    "a ((wolf",
    'a) wolf "',
    ":) :( v1.5 f(x)-1 50% #1 é ☃ (a:1.3)",
    "(" * 20 + "a wolf" + ")" * 20 + "++",
    '("a wolf", "a (big)++ cat, too").blend(0.7, 0.3)',
    ' ( "a, b" , "c" ) .blend()',
    "(cat, dog).blend(1, 1)",
    '((a cat), "a dog").blend(1, 1)',
    "(a cat, a dog).blend(1, 1)",
    "((a)++, b).blend(1, 1)",
    '("a")1.2 and ("b", "c").blend(1, 1)',
]


@pytest.fixture(scope="module")
def compel_texts(compel: ModuleType) -> Callable[[str], list[list[str]]]:
    """What compel encodes: for each text of a blend, or the only one, its weighted fragments."""
    parser, blend = compel.prompt_parser.PromptParser(), compel.prompt_parser.Blend

    def texts(prompt: str) -> list[list[str]]:
        parsed: Any = parser.parse_conjunction(prompt).prompts[0]
        prompts = parsed.prompts if isinstance(parsed, blend) else [parsed]
        return [[fragment.text for fragment in each.children] for each in prompts]

    return texts


def pieces(*texts: str) -> list[str]:
    """What CLIP splits a text into before it encodes each piece by itself."""
    return [piece for text in texts for piece in re.findall(r"[^\W\d_]+|\d|(?:[^\s\w]|_)+", text)]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_words_are_those_that_compel_encodes(
    compel_texts: Callable[[str], list[list[str]]], prompt: str
) -> None:
    ours = [pieces(text) for text in encoded_texts(prompt)]
    assert ours == [pieces(*fragments) for fragments in compel_texts(prompt)]


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 30_000,
        "(a " * 9000,
        '"' * 30_000,
        "(" * 9000 + "a" + ")" * 9000,
        "a," * 30_000,
        "((.)" * 9000,
    ],
    ids=["open", "open words", "quotes", "nested", "commas", "full stops"],
)
def test_of_a_hostile_prompt_only_so_much_is_looked_at(hostile: str) -> None:
    """Such a prompt is refused elsewhere; reading it must end all the same."""
    assert sum(map(len, encoded_texts(hostile))) <= 2 * MAX_LENGTH
