"""What a sheet's PNG says of itself: which batch it shows, and how it was drawn.

It is a text before the pixels, in a chunk iTXt with the keyword `gridfarm-sheet`: JSON {version,
batch, rows, columns, where, cell_size, settings}. Anybody may have written it: the command that
draws the sheet again is made of what was read and quoted, and never read.
"""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from common.batch import is_batch_id
from common.errors import GridfarmError
from common.picture import text_in
from producer.language.settings import as_text

KEYWORD = "gridfarm-sheet"

Word = Annotated[str, Field(max_length=100_000)]
Words = Annotated[tuple[Word, ...], Field(max_length=1_000)]


class SheetRecipe(BaseModel):
    """How a sheet was drawn. `rows` and `columns` are axes, the outermost first; `where` is written
    as for `--where`; `settings` are those that all its cells have alike."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    batch: str
    rows: Words = ()
    columns: Words = ()
    where: Words = ()
    cell_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    settings: Annotated[dict[Word, JsonValue], Field(max_length=1_000)] = {}

    @field_validator("batch")
    @classmethod
    def _is_an_id(cls, batch: str) -> str:
        if not is_batch_id(batch):
            raise ValueError("it is no batch's id")
        return batch

    @classmethod
    def in_png(cls, png: bytes) -> SheetRecipe | None:
        """What a PNG carries, of which the beginning suffices; None where it is no sheet. Raises
        GridfarmError for what is no PNG, and for a text that is not gridfarm's."""
        text = text_in(png, KEYWORD)
        if text is None:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise GridfarmError(
                "what the sheet says of itself cannot be read",
                hint="it may be from another gridfarm version, or was changed",
            ) from error

    @property
    def command(self) -> str:
        """What draws the sheet again."""
        options = [("rows", ",".join(self.rows)), ("columns", ",".join(self.columns))]
        options += [("where", text) for text in self.where]
        options += [("cell-size", f"{self.cell_size}")] if self.cell_size else []
        return " ".join(["gridfarm", "grid", self.batch, *(_option(*each) for each in options)])

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(exclude={"version"}) | {"command": self.command}

    def to_text(self) -> str:
        """For a person to read."""
        lines = [f"a sheet of {self.batch}"]
        settings = " · ".join(f"{name} {as_text(value)}" for name, value in self.settings.items())
        for name, text in (
            ("rows", ", ".join(self.rows)),
            ("columns", ", ".join(self.columns)),
            ("where", ", ".join(self.where)),
            ("settings", settings),
        ):
            begin = f"  {name:<8}  "
            lines += textwrap.wrap(text, 96, initial_indent=begin, subsequent_indent=" " * 12)
        return "\n".join([*lines, "", "To draw it again:", f"  {self.command}"])

    def written(self) -> str:
        """The text as a PNG carries it."""
        return json.dumps(self.model_dump(), ensure_ascii=False, separators=(",", ":"))


def _option(name: str, value: str) -> str:
    """A value that begins with a hyphen would be taken for an option."""
    joint = "=" if value.startswith("-") else " "
    return f"--{name}{joint}{shlex.quote(value)}"
