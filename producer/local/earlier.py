"""The stores of a time when each batch had its own: what they hold is taken into the one store.

Files are linked, or copied where the file system has no links, and the earlier store stays as it
is; a note in it says where its pictures are, so that this is done once. It may be cut off at any
moment and begun again: a batch's document comes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from common.store import disk_errors, link, object_names, open_store
from producer.local.place import from_here
from producer.progress import ProgressCallback, Say
from producer.wording import counted

#: The note, whose name is none of an object, as it begins with a dot.
TAKEN = ".taken-into"
#: What only says how things stood there, or is made anew.
LEFT = (object_names.STORE_ID, object_names.ACTIVE, "index/", "probe/")


def take_in(earlier: Path, into: Path, say: Say, progress: ProgressCallback) -> None:
    """Give the store in the folder `into` what the one in `earlier` has and it has not; once.
    Raises StoreError."""
    note = earlier / TAKEN
    if note.exists():
        return
    names = sorted(_wanted(earlier, into), key=_is_document)
    for count, name in enumerate(names, 1):
        with disk_errors(f"{into}: cannot take in {name}"):
            if not (into / name).exists():
                link(earlier / name, into / name)
        progress(f"taking in {from_here(earlier)}", count, len(names))
    with disk_errors(f"cannot write {note}"):
        note.write_text(f"{into}\n")
    if documents := sum(map(_is_document, names)):
        say(
            f"{from_here(earlier)}: {counted(documents, 'batch', 'batches')} taken into"
            f" {from_here(into)}, with all pictures; that folder is needed no more"
        )


def _wanted(earlier: Path, into: Path) -> Iterator[str]:
    """The names of its objects, but for those of batches that `into` has, whose documents there
    are newer."""
    known = {folder.parent.name for folder in into.glob("batches/*/batch.json")}
    for name in open_store(str(earlier)).list(""):
        below = name.removeprefix(object_names.BATCHES)
        is_known = below != name and below.partition("/")[0] in known
        if not (name.startswith(LEFT) or is_known):
            yield name


def _is_document(name: str) -> bool:
    return name.endswith("/batch.json")
