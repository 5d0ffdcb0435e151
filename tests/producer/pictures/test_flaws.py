"""What was found wrong is noted in the store, and what is still damaged is taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.batch import Matrix
from common.store import Store, object_names, open_store
from producer.pictures import flaws as flaw_notes
from producer.pictures import read_flaws, standing_flaws, take_damaged_away
from producer.pictures.examine import GONE, Flaw
from producer.pictures.flaws import Inspector
from tests.support.orders import frozen, put_batch
from tests.support.servers import Ministack
from tests.support.troubled_s3 import TroubledS3
from tests.support.whole_pictures import cell_of, damage, is_whole, put_whole

BATCH = frozen(more="settings: {size: 64x64}")
MATRIX = Matrix(BATCH)


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    """A batch of four cells, of which 0 to 2 are stored."""
    store = open_store(str(tmp_path / "store"))
    put_batch(store, BATCH)
    put_whole(store, BATCH, range(3))
    return store


def noted(store: Store) -> dict[int, str]:
    return read_flaws(store, BATCH.id, len(MATRIX))


class TestInspector:
    def test_what_is_damaged_is_noted_until_it_is_whole(self, shelf: Store) -> None:
        whole = shelf.get(object_names.picture(cell_of(BATCH, 1).key))
        damage(shelf, BATCH, 1)
        found = [Inspector(BATCH.id, shelf).read(cell) for cell in MATRIX]
        assert [isinstance(each, Flaw) for each in found] == [False, True, False, True]
        assert noted(shelf).keys() == {1, 3}
        assert noted(shelf)[1].startswith("the stored picture is damaged")
        assert noted(shelf)[3] == GONE
        shelf.put(object_names.picture(cell_of(BATCH, 1).key), whole)
        Inspector(BATCH.id, shelf).read(cell_of(BATCH, 1))
        assert noted(shelf).keys() == {3}

    def test_what_is_not_due_is_not_noted(self, shelf: Store) -> None:
        found = Inspector(BATCH.id, shelf).read(cell_of(BATCH, 3), due=False)
        assert isinstance(found, Flaw) and found.fault == "missing"
        assert noted(shelf) == {}

    def test_a_look_reads_nothing(self, shelf: Store) -> None:
        damage(shelf, BATCH, 1)
        looks = [Inspector(BATCH.id, shelf).look(cell) for cell in MATRIX]
        assert [flaw and flaw.fault for flaw in looks] == [None, None, None, "missing"]
        assert noted(shelf).keys() == {3}


class TestTakeDamagedAway:
    def test_only_what_is_still_damaged_goes(self, shelf: Store) -> None:
        """Noted: 0, mended since by another batch; 1, damaged; 2, deleted since; 9, no cell."""
        damage(shelf, BATCH, 1)
        shelf.delete(object_names.picture(cell_of(BATCH, 2).key))
        for i in (0, 1, 2, 9):
            shelf.put(object_names.flaw(BATCH.id, i), b'{"reason": "damaged"}')
        taken = take_damaged_away(MATRIX, BATCH.id, shelf)
        assert taken.gone == {1, 2}
        assert taken.dealt_with == {0, 1, 2}
        assert taken.unreadable == ()
        key = cell_of(BATCH, 1).key
        names = (object_names.picture, object_names.sidecar, object_names.thumbnail)
        assert not any(shelf.exists(name(key)) for name in names)
        assert is_whole(shelf, BATCH, 0)
        assert noted(shelf).keys() == {0, 1, 2}  # until the cells are to be rendered

    def test_what_cannot_be_read_stays(self, shelf: Store) -> None:
        path = Path(shelf.url, object_names.picture(cell_of(BATCH, 1).key))
        path.unlink()
        path.symlink_to(path)
        shelf.put(object_names.flaw(BATCH.id, 1), b'{"reason": "damaged"}')
        taken = take_damaged_away(MATRIX, BATCH.id, shelf)
        assert (taken.gone, taken.dealt_with) == (frozenset(), frozenset())
        assert [flaw.i for flaw in taken.unreadable] == [1]
        assert path.is_symlink()


class TestStandingFlaws:
    def test_what_is_whole_again_is_no_flaw_and_its_note_goes(self, shelf: Store) -> None:
        """Noted: 0, drawn again since; 1, damaged; 2, deleted since."""
        damage(shelf, BATCH, 1)
        shelf.delete(object_names.picture(cell_of(BATCH, 2).key))
        for i in range(3):
            shelf.put(object_names.flaw(BATCH.id, i), b'{"reason": "it was damaged"}')
        standing = standing_flaws(noted(shelf), MATRIX, BATCH.id, shelf)
        assert standing.keys() == {1, 2}
        assert standing[2] == GONE  # what is wrong now, not what was noted
        assert noted(shelf).keys() == {1, 2}

    def test_of_many_the_first_are_read(
        self, shelf: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flaw_notes, "READ_AGAIN", 1)
        for i in range(3):
            shelf.put(object_names.flaw(BATCH.id, i), b'{"reason": "it was damaged"}')
        standing = standing_flaws(noted(shelf), MATRIX, BATCH.id, shelf)
        assert standing == {1: "it was damaged", 2: "it was damaged"}
        assert noted(shelf).keys() == {1, 2}

    @pytest.mark.integration
    @pytest.mark.usefixtures("impatient_s3")
    def test_who_may_not_write_is_told_the_truth_all_the_same(
        self, s3_server: Ministack, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with TroubledS3(s3_server.port) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
            store = open_store(s3_store_url)
            put_batch(store, BATCH)
            put_whole(store, BATCH, [0])
            store.put(object_names.flaw(BATCH.id, 0), b'{"reason": "it was damaged"}')
            server.begin("read-only")
            standing = standing_flaws(noted(store), MATRIX, BATCH.id, store)
            server.end()
        assert standing == {}
        assert noted(store).keys() == {0}


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b"\xff", b"[" * 9999, b'{"reason": 3}'])
def test_a_strangers_note_breaks_nothing(shelf: Store, note: bytes) -> None:
    shelf.put(object_names.flaw(BATCH.id, 2), note)
    shelf.put(f"{object_names.flaws(BATCH.id)}²", note)
    shelf.put(object_names.flaw(BATCH.id, 4), note)
    assert noted(shelf).keys() == {2}
