"""Text on a sheet: fonts that have the glyphs, measuring, wrapping without losing a character.

Pillow's own font (Aileron, no file to find) covers ASCII and little more. When a sheet needs
other letters, the system font that covers most of its text is taken for all of the sheet, so
that one label is not set in two faces; a glyph it lacks comes from the next font that has it,
and one that no font has is written as its escape (`\\u65e5`), never as an empty box.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

FONT_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
)
#: In order of preference; lower case, NFC.
FONT_FILES = (
    "helveticaneue.ttc",
    "notosans-regular.?tf",
    "dejavusans.ttf",
    "liberationsans-regular.ttf",
    "arial.ttf",
    "arial unicode.ttf",
    "hiragino sans gb.ttc",
    "ヒラギノ角ゴシック w3.ttc",
    "pingfang.ttc",
    "applesdgothicneo.ttc",
    "notosanscjk*-regular.*",
    "droidsansfallback*.ttf",
    "wqy-*.ttc",
    "notosans*-regular.?tf",
    "notoemoji*.ttf",
    "apple symbols.ttf",
    "symbola*.?tf",
)

_NO_CHARACTER = "\U0010ffff"  # never assigned: every font draws its "missing glyph" for it
_JOINER = "\u200d"  # glues emoji into one; drawn as nothing
_INVISIBLE = {_JOINER, "\u200c", "\ufe0e", "\ufe0f"}  # joiners, variation selectors
_BREAKS_AFTER = re.compile(r"(?<=[-_/\\,.:;|=+])")
_WORDS = re.compile(r"\n|[^ \n]+ *| +")

#: A font file, or None for Pillow's own.
Face = Path | None


@dataclass(frozen=True)
class Typeface:
    """Fonts in the order in which they are asked for a glyph. Sizes and lengths are pixels."""

    faces: tuple[Face, ...]

    def printable(self, text: str) -> str:
        """`text` with what cannot be drawn written as escapes, and every space as a plain one."""
        text = text.replace("\r\n", "\n").replace("\t", "    ")
        return "".join(self._printable(cluster) for cluster in clusters(text))

    def length(self, text: str, size: int) -> float:
        return sum(_length(face, run, size) for face, run in self._runs(text.rstrip("\n")))

    def wrap(self, text: str, size: int, width: float) -> list[str]:
        """Printable `text` in lines no longer than `width`, spaces at the end not counted.

        Nothing is lost: the lines joined are the text. A word longer than a line is broken
        behind its punctuation, or anywhere; a single character always fits.
        """
        lines, line, used = [], "", 0.0
        for token in self._tokens(text, size, width):
            too_long = used + self.length(token.rstrip(), size) > width
            if line and (too_long or line.endswith("\n")):
                lines.append(line)
                line, used = "", 0.0
            line += token
            used += self.length(token, size)
        return [*lines, line]

    def draw(self, on: ImageDraw, at: tuple[int, int], text: str, size: int, ink: str) -> None:
        """One line, its baseline starting `at` (x, y)."""
        x, baseline = float(at[0]), at[1]
        for face, run in self._runs(text.rstrip()):
            on.text((x, baseline), _visible(run), fill=ink, font=_font(face, size), anchor="ls")
            x += _length(face, run, size)

    def _printable(self, cluster: str) -> str:
        kind = unicodedata.category(cluster[0])
        if cluster == "\n" or kind == "Zs":
            return cluster if cluster == "\n" else " "
        if kind[0] != "C" and self._face(cluster) is not _NOWHERE:
            return cluster
        return "".join(map(_escape, cluster))

    def _runs(self, text: str) -> Iterator[tuple[Face, str]]:
        for face, run in groupby(clusters(text), key=self._face):
            yield (None if isinstance(face, _Nowhere) else face), "".join(run)

    def _face(self, cluster: str) -> Face | _Nowhere:
        return next((face for face in self.faces if _has(face, cluster)), _NOWHERE)

    def _tokens(self, text: str, size: int, width: float) -> Iterator[str]:
        for word in _WORDS.findall(text):
            if self.length(word.rstrip(), size) <= width and not _is_wide(word):
                yield word
            else:
                yield from self._pieces(word, size, width)

    def _pieces(self, word: str, size: int, width: float) -> Iterator[str]:
        for piece in _BREAKS_AFTER.split(word):
            if self.length(piece.rstrip(), size) <= width and not _is_wide(piece):
                yield piece
            else:
                yield from clusters(piece)


class _Nowhere:
    """No face has the glyph."""


_NOWHERE = _Nowhere()


def typeface(texts: Iterable[str]) -> Typeface:
    """The fonts for a sheet with these texts."""
    wanted = {cluster for text in texts for cluster in clusters(text)}
    wanted = {cluster for cluster in wanted if unicodedata.category(cluster[0])[0] not in "CZ"}
    if all(_has(None, cluster) for cluster in wanted):
        return Typeface((None,))
    faces: list[Face] = [None, *filter(_opens, system_fonts())]
    best = max(faces, key=lambda face: sum(_has(face, cluster) for cluster in wanted))
    return Typeface((best, *(face for face in faces if face != best)))


def clusters(text: str) -> list[str]:
    """Characters with the marks and joiners behind them: what must not be torn apart."""
    found: list[str] = []
    for char in text:
        joins = char in _INVISIBLE or unicodedata.category(char)[0] == "M"
        if found and found[-1] not in " \n" and (joins or found[-1].endswith(_JOINER)):
            found[-1] += char
        else:
            found.append(char)
    return found


@cache
def system_fonts() -> tuple[Path, ...]:
    """The font files of this machine that FONT_FILES names, best first."""
    files: dict[str, Path] = {}
    for folder in FONT_FOLDERS:
        for place, _, names in os.walk(Path(folder).expanduser()):
            for name in names:
                files.setdefault(unicodedata.normalize("NFC", name).lower(), Path(place, name))
    ranked = [sorted(name for name in files if fnmatch(name, wish)) for wish in FONT_FILES]
    return tuple(dict.fromkeys(files[name] for names in ranked for name in names))


def _escape(char: str) -> str:
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _is_wide(text: str) -> bool:
    """Chinese, Japanese and Korean text may break between any two characters."""
    return any(unicodedata.east_asian_width(char) in "WF" for char in text)


@lru_cache(maxsize=256)
def _font(face: Face, size: int) -> FreeTypeFont:
    from PIL import ImageFont

    if face is not None:
        return ImageFont.FreeTypeFont(face, size)
    built_in = ImageFont.load_default(size)
    assert isinstance(built_in, ImageFont.FreeTypeFont)  # Pillow's wheels all carry FreeType
    return built_in


def _opens(face: Path) -> bool:
    try:
        return bool(_font(face, 16))
    except OSError:  # a damaged file, or bitmaps of one size only, as colour emoji are
        return False


@cache
def _has(face: Face, cluster: str) -> bool:
    return all(char in _INVISIBLE or char == " " or _has_glyph(face, char) for char in cluster)


@cache
def _has_glyph(face: Face, char: str) -> bool:
    drawn = _font(face, 16).getmask(char)
    return drawn.getbbox() is not None and bytes(drawn) != _missing_glyph(face)


@cache
def _missing_glyph(face: Face) -> bytes:
    return bytes(_font(face, 16).getmask(_NO_CHARACTER))


@lru_cache(maxsize=20_000)
def _length(face: Face, run: str, size: int) -> float:
    return _font(face, size).getlength(_visible(run))


def _visible(run: str) -> str:
    """Without what shapes the characters around it: Pillow draws it as a box where it has no
    shaping engine."""
    return "".join(char for char in run if char not in _INVISIBLE)
