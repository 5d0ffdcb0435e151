"""The light parser against compel: what compel refuses is refused here, the rest is let through."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.job import MAX_LENGTH, MAX_NESTING, check_prompt, warnings

RIGHT = [
    "",
    " ",
    "A wolf in Yosemite National Park, chilly nature documentary film photography",
    "a large delicious hamburger (in the shape of five-dimensional alien geometry)++++, food",
    "USA President Taylor Swift (signing papers)++++, photo taken by the Associated Press",
    "(a)1.3 (b)-- c+ (d)0.5 (e (f)++)-",
    "(a).attend(1.2) b.attend(++)",
    "a ()++ b",
    "(cat",
    "cat)",
    '"cat" on a mat',
    '5" tall',
    r"\(a\) (b)++",
    ":) :( v1.5 f(x)-1 50% #1 é ☃",
    '("a wolf", "a cat").blend(0.7, 0.3)',
    '("a, b", "c").blend()',
    '("a", "b").blend(1, 1, no_normalize)',
    "((a)++, b).blend(1, 1)",
    "(" * MAX_NESTING + "a" + ")" * MAX_NESTING,
    "a" * MAX_LENGTH,
]

WRONG = [
    ("()++", "no words"),
    ("()", "no words"),
    ("( ()-- )1.2 ()", "no words"),
    ("withLora(wrong)", "no words"),
    ("cat.swap(dog)", ".swap()"),
    ("a (cat).swap(dog) b", ".swap()"),
    ('("a", "b").and()', ".and()"),
    ('("a", "b").and(1, 0.5) c', ".and()"),
    ('("a", "b").add()', ".add()"),
    ('("a", "b").blend(1)', "2 texts and 1 weights"),
    ('("a :)", "b").blend(1)', "2 texts and 1 weights"),
    ('("a").blend(1, 2)', "1 texts and 2 weights"),
    ('("a", "b").blend(x, 1)', "not 'x'"),
    ('("a", "b").blend(a=1)', "not 'a=1'"),
    ('("a", "b").blend(1, -1)', "add up to 0"),
    ('("a", "b").blend(1, 1) and more', "text behind"),
    ("(" * (MAX_NESTING + 1) + "a", "nests"),
    ("(a " * 200, "nests"),
    ("a" * (MAX_LENGTH + 1), "20,001 characters"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_can_be_rendered_is_let_through(text: str) -> None:
    assert check_prompt(text) == []


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_cannot_be_rendered_is_a_mistake(text: str, message: str) -> None:
    [mistake] = check_prompt(text)
    assert message in mistake


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a (cat:1.3)", "(words)1.3"),
        ("a <lora:wrong:0.5> cat", "lora_files"),
        ("a cat withLora(wrong, 0.5)", "loras: {name: 1.0}"),
        ("a cat BREAK a dog", "long_prompts"),
        ("a {cat|dog}", "a prompt of its own"),
        ("a (cat", "unbalanced"),
        ("a cat)", "unbalanced"),
        ('a ("cat", "dog").blend(1, 1)', "middle of a prompt"),
        ("(a cat, a dog).blend(1, 1)", "quote each part"),
        ("((a)++, b).blend(1, 1)", "quote each part"),
    ],
)
def test_what_is_read_otherwise_than_meant_is_a_warning(text: str, message: str) -> None:
    assert check_prompt(text) == []
    [warning] = warnings(text)
    assert message in warning


@pytest.mark.parametrize("text", ["a (cat)++", r"a \(cat", "BREAKFAST", "{cat}", "it is 12:30", ""])
def test_ordinary_prompts_get_no_warning(text: str) -> None:
    assert warnings(text) == []


@pytest.mark.parametrize("character", ["(", "{|", "|", '"', "<lora:", "(:1", ".blend(", "() "])
def test_no_text_takes_long(character: str) -> None:
    text = (character * MAX_LENGTH)[:MAX_LENGTH]
    check_prompt(text)
    warnings(text)


class TestAgainstCompel:
    """compel's own parser, which needs torch, as the reference."""

    @pytest.fixture(scope="class")
    def parse(self, compel: Any) -> Any:
        return compel.Compel.parse_prompt_string

    @pytest.mark.parametrize("text", [text for text in RIGHT if len(text) < 1000])
    def test_compel_parses_what_is_let_through(self, parse: Any, text: str) -> None:
        assert parse(text).prompts

    @example('"()"')
    @example('"" ()')
    @example('"(())1.3" ("()")++')
    @given(
        st.lists(
            st.sampled_from(
                ["(", ")", '"', "a", "wolf ", " ", ", ", "++", "-", "1.3", "()", ".", "\\(", "1"]
            ),
            max_size=12,
        ).map("".join)
    )
    @settings(max_examples=300, deadline=None)
    def test_compel_parses_whatever_is_let_through(self, parse: Any, text: str) -> None:
        if not check_prompt(text):
            assert parse(text).prompts
        else:
            # Most of these are an IndexError in compel; of some it keeps a stray weight as text.
            assert not re.search(r"[a-z]", text), "a text with words is never refused"
