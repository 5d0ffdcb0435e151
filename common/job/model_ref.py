"""Which weights exactly: the reference of a model, parsed here and nowhere else.

`ModelRef` is the pinned reference that a Job has; `HubName` is a name on the hub as a person
writes it, which means another commit tomorrow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

#: `builtin`: the tiny model that comes with gridfarm; `hub`: a repository at a commit; `tree`: a
#: folder in diffusers' layout, uploaded file by file; `file`: a checkpoint in one file.
ModelKind = Literal["builtin", "hub", "tree", "file"]
KINDS: tuple[ModelKind, ...] = get_args(ModelKind)

MAX_LENGTH = 300

_HUB_ID = r"[A-Za-z0-9][\w.-]*/[\w.-]+"
#: Of each kind a group of its name.
_REF = re.compile(
    r"(?P<builtin>tiny|tiny-refiner)@(?P<number>\d+)"
    rf"|(?P<hub>{_HUB_ID})@(?P<commit>[0-9a-f]{{40}})"
    r"|tree:(?P<tree>[0-9a-f]{64})"
    r"|file:(?P<file>[0-9a-f]{64})",
    re.ASCII,
)
_WRITTEN_ID = re.compile(rf"{_HUB_ID}(@[\w./-]+)?", re.ASCII)
_HUB_NAME = re.compile(
    rf"(?P<id>{_HUB_ID})(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>.+\.safetensors))?", re.ASCII
)


class ModelRef(str):
    """A model, VAE or refiner with its revision: `tiny@3`, `owner/name@<commit>` on the hub,
    `tree:<sha256 of a folder's manifest>` or `file:<sha256 of a checkpoint>`.

    It is its text, so it serialises, compares and hashes as that. `hub_id` is `owner/name`, ""
    unless of the kind `hub`; `revision` the number of a builtin or the 40 hex digits of a commit,
    "" for assets; `sha256` an asset's hash, "" for the others.

    Raises ValueError for any other text.
    """

    kind: ModelKind
    hub_id: str
    revision: str
    sha256: str

    def __new__(cls, text: str) -> ModelRef:
        match = _REF.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            raise ValueError(f"{text[:80]!r} is no reference of a model")
        ref = super().__new__(cls, text)
        ref.kind = next(kind for kind in KINDS if match[kind])
        ref.hub_id = match["hub"] or ""
        ref.revision = match["number"] or match["commit"] or ""
        ref.sha256 = match["tree"] or match["file"] or ""
        return ref

    @staticmethod
    @lru_cache(maxsize=1_000)
    def parse(text: str) -> ModelRef:
        """As the class does, and without work where it was done: a batch's cells have a few
        models between them. Raises ValueError."""
        return ModelRef(text)

    @property
    def short_name(self) -> str:
        """The model as a person knows it: without its commit, and hashes cut short."""
        if self.sha256:
            return f"{'checkpoint' if self.kind == 'file' else 'model folder'} {self.sha256[:12]}"
        return self.partition("@")[0]

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Text in JSON, this in a model's field."""
        return core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())


@dataclass(frozen=True)
class HubName:
    """`owner/name`, `owner/name@revision`, and for a LoRA also `owner/name/file.safetensors`.
    `revision` and `file` are "" where they are not written."""

    id: str
    revision: str = ""
    file: str = ""

    @classmethod
    def parse(cls, written: str) -> HubName | None:
        """None for what is none: a local path, a word."""
        match = _HUB_NAME.fullmatch(written)
        if written.count("/") == 1 and written.endswith(".safetensors"):
            return None  # loras/style.safetensors: a file that is not there
        return cls(match["id"], match["revision"] or "", match["file"] or "") if match else None

    def at(self, commit: str) -> ModelRef:
        """The repository at that commit. Raises ValueError for what is no commit."""
        return ModelRef(f"{self.id}@{commit}")

    def __str__(self) -> str:
        return "@".join(part for part in (self.id, self.revision) if part)


def is_hub_id(written: str) -> bool:
    """Whether it has the form `owner/name` or `owner/name@revision` of a hub id."""
    return bool(_WRITTEN_ID.fullmatch(written))
