from __future__ import annotations

from collections.abc import Iterator
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
    monkeypatch.setattr(typography, "other_fonts", lambda: ())


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
@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("日 猫", r"\u65e5 \u732b"),
        ("Ünïcode é", "Unicode e"),
        ("a wolf 🐺!", "a wolf :wolf face:!"),
        ("👩🏽\u200d💻", ":woman + personal computer:"),
        ("\u26e9\ufe0f → 1\ufe0f\u20e3", ":shinto shrine: :rightwards arrow: 1"),
        ("🇩🇪", "DE"),
    ],
)
def test_what_no_font_has_is_written_as_something_readable(text: str, readable: str) -> None:
    face = typeface([text])
    assert face.printable(text) == readable
    assert face.escapes(text) == ("\\" in readable)


def test_what_cannot_be_seen_is_written_as_its_escape() -> None:
    assert BUILT_IN.printable("a\x07b\x1b[2J\u202ec") == r"a\x07b\x1b[2J\u202ec"


def test_every_kind_of_space_is_a_space() -> None:
    assert BUILT_IN.printable("a\u00a0b\tc\r\nd") == "a b    c\nd"


def test_marks_and_joiners_stay_with_their_character() -> None:
    assert clusters("e\u0301a") == ["e\u0301", "a"]
    assert clusters("\U0001f469\u200d\U0001f4bb!") == ["\U0001f469\u200d\U0001f4bb", "!"]


LATIN, EMOJI, ARABIC = Path("latin.ttf"), Path("emoji.ttf"), Path("arabic.ttf")
COVERED = {
    LATIN: lambda char: char < "\u0500",
    EMOJI: lambda char: char.isascii() or char > "\U0001f000",
    ARABIC: lambda char: char.isascii() or "\u0600" <= char < "\u0700",
    None: str.isascii,
}


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that draws Latin and Cyrillic is preferred; two others are only found by looking."""
    monkeypatch.setattr(typography, "system_fonts", lambda: (LATIN,))
    monkeypatch.setattr(typography, "other_fonts", lambda: (EMOJI, ARABIC))
    monkeypatch.setattr(typography, "_opens", lambda _face: True)
    monkeypatch.setattr(typography, "_draws_spaces", lambda _face: True)
    monkeypatch.setattr(typography, "_has", lambda face, cluster: all(map(COVERED[face], cluster)))


@pytest.mark.usefixtures("fonts")
def test_letters_beyond_ascii_change_the_font_of_the_sheet() -> None:
    """No word is set in two faces."""
    face = typeface(["café", "plain"])
    assert face.faces[0] == LATIN
    assert [*face._runs("café")] == [(LATIN, "café")]


@pytest.mark.usefixtures("fonts")
@pytest.mark.parametrize("text", ["wolf 🐺 (snow)", "x سلام", "1 §"])
def test_emoji_and_other_scripts_change_no_other_text(text: str) -> None:
    """Only their own runs are set in another face."""
    face = typeface(["plain", text])
    assert face.faces[0] is None
    assert [*face._runs("plain")] == [(None, "plain")]
    others = "".join(run for used, run in face._runs(text) if used is not None)
    assert others == "".join(char for char in text if not char.isascii())
    assert face.printable(text) == text


@pytest.mark.usefixtures("fonts")
def test_words_of_a_script_from_right_to_left_are_one_run() -> None:
    """Only the shaping of a whole run puts them in their order."""
    face = typeface(["سلام - دنیا!"])
    assert [*face._runs("سلام - دنیا!")] == [(ARABIC, "سلام - دنیا"), (None, "!")]
    assert [*face._runs("ok سلام ok")] == [(None, "ok "), (ARABIC, "سلام"), (None, " ok")]


@pytest.fixture
def font_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The only one of the machine."""
    monkeypatch.setattr(typography, "FONT_FOLDERS", (str(tmp_path),))
    for known in (typography.system_fonts, typography.other_fonts):
        known.cache_clear()
    yield tmp_path
    for known in (typography.system_fonts, typography.other_fonts):
        known.cache_clear()


def test_fonts_that_draw_a_box_for_everything_are_none(font_folder: Path) -> None:
    """Of the others those for plain text come first."""
    for name in ("LastResort.otf", "Ab-Bold.ttf", "Zz.ttf", "DejaVuSans.ttf", "notes.txt"):
        (font_folder / name).touch()
    assert [path.name for path in typography.other_fonts()] == ["Zz.ttf", "Ab-Bold.ttf"]


def test_files_that_are_no_fonts_are_passed_over(font_folder: Path) -> None:
    for name in ("DejaVuSans.ttf", "other.ttf"):
        (font_folder / name).write_bytes(b"not a font")
    assert typography.system_fonts() == (font_folder / "DejaVuSans.ttf",)
    assert typeface(["é"]) == BUILT_IN


def test_missing_glyphs_are_recognised() -> None:
    """Pillow's own font draws a box for é; it must not count as having it."""
    assert typography._has(None, "e") and not typography._has(None, "é")
