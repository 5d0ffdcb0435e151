"""Text on a sheet: fonts that have the glyphs, measuring, wrapping without losing a character.

Pillow's own font (Aileron, no file to find) covers ASCII and little more. When a sheet has letters
of the alphabets that are set together (Latin, Greek, Cyrillic) beyond that, the system font that
covers most of them is taken for all of the sheet, so that no word is set in two faces. What that
lacks, other scripts and emoji, comes run by run from the next font that has it; an emoji that no
font has is written as its name, a letter as its escape (`\\u65e5`), and nothing as an empty box.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, lru_cache
from itertools import groupby, pairwise
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

#: In their names: fonts in another weight or slant than a text's, which are asked last; and those
#: that have a picture of its script for every character.
_STYLED = re.compile(r"bold|italic|oblique|light|thin|black|heavy|mono|condensed|serif", re.I)
_PLACEHOLDERS = ("lastresort", "adobeblank")
#: Letters from here on are of scripts that fonts draw apart from Latin.
_ANOTHER_SCRIPT = "\u0590"

_NO_CHARACTER = "\U0010ffff"  # never assigned: every font draws its "missing glyph" for it
_JOINER = "\u200d"  # glues emoji into one; drawn as nothing
_SKIN_TONES = {*map(chr, range(0x1F3FB, 0x1F400))}
_FLAG_A, _FLAG_Z = 0x1F1E6, 0x1F1FF  # a flag is the two letters of its country
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

    def escapes(self, text: str) -> bool:
        """Whether `text` has letters that `printable` writes as escapes."""
        parts = (cluster for cluster in clusters(text) if cluster[0].isalpha())
        return any("\\" in self._printable(part) for part in parts)

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
        return _in_words(cluster)

    def _runs(self, text: str) -> Iterator[tuple[Face, str]]:
        parts = clusters(text)
        faces = self._faces(parts)
        for _, run in groupby(range(len(parts)), key=faces.__getitem__):
            first, *more = run
            face = faces[first]
            end = first + len(more) + 1
            yield (None if isinstance(face, _Nowhere) else face), "".join(parts[first:end])

    def _faces(self, parts: Sequence[str]) -> list[Face | _Nowhere]:
        """The face of each cluster. What stands between words of one face is set in that, since
        a script that is written from right to left is set right only in one run."""
        faces = [self._face(part) for part in parts]
        words = [at for at, part in enumerate(parts) if part[0].isalnum()]
        for left, right in pairwise(words):
            face, between = faces[left], parts[left + 1 : right]
            if face != faces[right] or isinstance(face, _Nowhere):
                continue
            if all(_sets(face, part) for part in between):
                faces[left:right] = [face] * (right - left)
        return faces

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
    letters = {c for c in wanted if c[0].isalpha() and c[0] < _ANOTHER_SCRIPT}
    best = max(faces, key=lambda face: sum(_has(face, letter) for letter in letters))
    faces = [best, *(face for face in faces if face != best)]
    return Typeface((*faces, *_with_the_rest(wanted, faces)))


def _with_the_rest(wanted: set[str], faces: Sequence[Face]) -> Iterator[Face]:
    """Further fonts of this machine for what those `faces` lack."""
    lacks = {cluster for cluster in wanted if not any(_has(face, cluster) for face in faces)}
    for face in other_fonts() if lacks else ():
        found = {cluster for cluster in lacks if _opens(face) and _has(face, cluster)}
        if found:
            yield face
        lacks -= found
        if not lacks:
            return


def clusters(text: str) -> list[str]:
    """Characters with the marks and joiners behind them: what must not be torn apart."""
    found: list[str] = []
    for char in text:
        joins = char in _INVISIBLE | _SKIN_TONES or unicodedata.category(char)[0] == "M"
        if found and found[-1] not in " \n" and (joins or found[-1].endswith(_JOINER)):
            found[-1] += char
        else:
            found.append(char)
    return found


@cache
def system_fonts() -> tuple[Path, ...]:
    """The font files of this machine that FONT_FILES names, best first."""
    files = _font_files()
    ranked = [sorted(name for name in files if fnmatch(name, wish)) for wish in FONT_FILES]
    return tuple(dict.fromkeys(files[name] for names in ranked for name in names))


@cache
def other_fonts() -> tuple[Path, ...]:
    """All other font files of this machine, those for plain text first."""
    named, files = {*system_fonts()}, _font_files()
    names = [n for n in files if n.endswith((".ttf", ".otf", ".ttc")) and files[n] not in named]
    names = [name for name in names if not name.startswith(_PLACEHOLDERS)]
    return tuple(files[n] for n in sorted(names, key=lambda n: (bool(_STYLED.search(n)), n)))


def _font_files() -> dict[str, Path]:
    """What lies in FONT_FOLDERS, by its name in lower case."""
    files: dict[str, Path] = {}
    for folder in FONT_FOLDERS:
        for place, _, names in os.walk(Path(folder).expanduser()):
            for name in names:
                files.setdefault(unicodedata.normalize("NFC", name).lower(), Path(place, name))
    return files


def _in_words(cluster: str) -> str:
    """What no font has, as somebody can read it: `:wolf face:`, `DE` for a flag, `e` for an é
    and `1` for a keycap, else escapes."""
    seen = [char for char in cluster if char not in _INVISIBLE | _SKIN_TONES]
    if seen and all(_FLAG_A <= ord(char) <= _FLAG_Z for char in seen):
        return "".join(chr(ord("A") + ord(char) - _FLAG_A) for char in seen)
    names = [unicodedata.name(char, "") for char in seen]
    if all(names) and unicodedata.category(cluster[0])[0] == "S":
        return f":{' + '.join(names).lower()}:"
    base = unicodedata.normalize("NFD", cluster)[0]
    if base.isascii() and base.isprintable():
        return base
    return "".join(map(_escape, cluster))


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


def _sets(face: Face, cluster: str) -> bool:
    """Whether a run of `face` may hold it: a space, too, is a glyph that a font may lack."""
    return _draws_spaces(face) if cluster == " " else _has(face, cluster)


@cache
def _draws_spaces(face: Face) -> bool:
    return _font(face, 16).getmask(" ").getbbox() is None


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
