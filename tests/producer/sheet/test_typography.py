from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.sheet import typography
from producer.sheet.typography import Typeface, clusters, typeface

BUILT_IN = Typeface((None,))
ASCII = "".join(map(chr, range(0x20, 0x7F)))
ANY_TEXT = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("ab -/_\n")), max_size=200)


@pytest.fixture
def no_system_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typography, "system_fonts", lambda: ())


@given(ANY_TEXT, st.integers(1, 400))
def test_wrapping_loses_no_character(text: str, width: int) -> None:
    printable = BUILT_IN.printable(text)
    assert "".join(BUILT_IN.wrap(printable, 20, width)) == printable


@given(ANY_TEXT, st.integers(1, 400))
def test_a_line_fits_its_width_unless_one_character_does_not(text: str, width: int) -> None:
    for line in BUILT_IN.wrap(BUILT_IN.printable(text), 20, width):
        shown = line.rstrip()
        assert BUILT_IN.length(shown, 20) <= width + 1 or len(clusters(shown)) == 1


def test_lines_break_at_spaces_and_line_breaks() -> None:
    assert BUILT_IN.wrap("one two\nthree", 20, 10_000) == ["one two\n", "three"]
    assert BUILT_IN.wrap("one two", 20, BUILT_IN.length("one two", 20) - 1) == ["one ", "two"]


def test_a_word_too_long_for_a_line_breaks_behind_its_punctuation() -> None:
    width = BUILT_IN.length("lora_unet_", 20)
    assert BUILT_IN.wrap("lora_unet_down", 20, width) == ["lora_unet_", "down"]


def test_ascii_is_drawn_as_it_is_with_pillows_own_font() -> None:
    assert typeface([ASCII]) == BUILT_IN
    assert BUILT_IN.printable(ASCII) == ASCII


@pytest.mark.usefixtures("no_system_fonts")
def test_a_character_that_no_font_has_is_written_as_its_escape() -> None:
    face = typeface(["日 é 🐺"])
    assert face.printable("日 é 🐺") == r"\u65e5 \xe9 \U0001f43a"


def test_what_cannot_be_seen_is_written_as_its_escape() -> None:
    assert BUILT_IN.printable("a\x07b\x1b[2J\u202ec") == r"a\x07b\x1b[2J\u202ec"


def test_every_kind_of_space_is_a_space() -> None:
    assert BUILT_IN.printable("a\u00a0b\tc\r\nd") == "a b    c\nd"


def test_marks_and_joiners_stay_with_their_character() -> None:
    assert clusters("e\u0301a") == ["e\u0301", "a"]
    assert clusters("\U0001f469\u200d\U0001f4bb!") == ["\U0001f469\u200d\U0001f4bb", "!"]


def test_a_system_font_that_covers_more_is_used_for_all_of_the_sheet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given a font with é and one without, a label with é is set in the first alone."""
    monkeypatch.setattr(typography, "system_fonts", lambda: (Path("ascii.ttf"), Path("latin.ttf")))
    monkeypatch.setattr(typography, "_opens", lambda _face: True)
    monkeypatch.setattr(
        typography, "_has", lambda face, cluster: cluster.isascii() or face == Path("latin.ttf")
    )
    face = typeface(["café"])
    assert face.faces[0] == Path("latin.ttf")
    assert [run for _, run in face._runs("café")] == ["café"]


def test_files_that_are_no_fonts_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "DejaVuSans.ttf"
    broken.write_bytes(b"not a font")
    monkeypatch.setattr(typography, "FONT_FOLDERS", (str(tmp_path),))
    typography.system_fonts.cache_clear()
    try:
        assert typography.system_fonts() == (broken,)
        assert typeface(["é"]) == BUILT_IN
    finally:
        typography.system_fonts.cache_clear()


def test_missing_glyphs_are_recognised() -> None:
    """Pillow's own font draws a box for é; it must not count as having it."""
    assert typography._has(None, "e") and not typography._has(None, "é")
