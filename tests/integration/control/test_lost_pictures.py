"""Pictures that are lost, on a real broker and a folder store: damaged, or not there any more.
verify and fetch name them, status shows them, a plain retry draws them again, once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch, matrix
from common.dispatch import Dispatcher, Ledger, is_set, read_control
from common.store import Store, object_names, open_store
from producer.batches import Controller
from producer.cli.main import run
from producer.pictures import read_flaws
from producer.submission import Resolved, submit
from tests.support.orders import frozen
from tests.support.servers import Ministack
from tests.support.troubled_s3 import TroubledS3
from tests.support.under_way import CELLS, QUEUE, failed, finished, key_of, ordered, work_off
from tests.support.whole_pictures import damage, is_whole, put_whole

SMALL = "settings: {size: 64x64}"


@pytest.fixture
def night(store: Store, ledger: Ledger) -> Batch:
    """A batch of CELLS cells that is done, each with the picture that a worker stores."""
    batch = ordered(frozen(seeds=f"0..{CELLS - 1}", more=SMALL), store, ledger)
    complete(batch, range(CELLS), store, ledger)
    Dispatcher(store, ledger, [QUEUE]).finish(batch.id)
    return batch


def complete(batch: Batch, cells: Any, store: Store, ledger: Ledger) -> None:
    finished(batch, cells, store, ledger)
    put_whole(store, batch, cells)


def lose(batch: Batch, i: int, store: Store) -> None:
    store.delete(object_names.picture(key_of(batch, i)))


def drawn_again(batch: Batch, store: Store, ledger: Ledger) -> Counter[int]:
    """What the workers render of it, with pictures that are whole."""
    rendered = work_off(batch, store, ledger)
    put_whole(store, batch, rendered)
    return rendered


def test_a_damaged_picture_is_found_named_and_drawn_again(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger, tmp_path: Path
) -> None:
    """A bit of #5 flips on the disk, #9 is cut off. The ledger has known the batch as done for
    less than a day."""
    damage(store, night, 5)
    damage(store, night, 9, lambda png: png[:-100])
    fetched, _ = gridfarm("fetch", "night", str(tmp_path / "out"), code=4)
    assert (fetched["written"], fetched["damaged"], fetched["unreadable"]) == (CELLS - 2, 2, 0)
    assert [(flaw["i"], flaw["labels"]["seed"]) for flaw in fetched["flaws"]] == [
        (5, "5"), (9, "9"),
    ]  # fmt: skip
    stands, _ = gridfarm("status", "night")
    assert (stands["state"], stands["done"], stands["failed"]) == ("done", CELLS - 2, 2)
    assert [failure["i"] for failure in stands["failures"]] == [5, 9]
    assert all("picture is damaged" in failure["reason"] for failure in stands["failures"])
    answer, said = gridfarm("retry", "night")
    assert "2 cells to render again" in said
    assert (answer["done"], answer["failed"], answer["waiting"]) == (CELLS - 2, 0, 2)
    assert read_flaws(store, night.id, CELLS) == {}
    assert drawn_again(night, store, ledger) == Counter([5, 9])
    assert gridfarm("status", "night")[0]["failed"] == 0
    assert read_control(store, night.id).state == "done"
    gridfarm("verify", "night")
    fetched, _ = gridfarm("fetch", "night", str(tmp_path / "out"))
    assert (fetched["written"], fetched["skipped"]) == (2, CELLS - 2)
    _, said = gridfarm("retry", "night")
    assert "there is nothing to retry" in said


@pytest.mark.parametrize("remembered", ["by the ledger", "by the store alone"])
def test_what_is_not_there_any_more_is_drawn_again(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger, tmp_path: Path, remembered: str
) -> None:
    """A plain retry looks itself; nobody has to verify first. fetch does not call it "not
    rendered yet" either."""
    lose(night, 7, store)
    if remembered == "by the store alone":
        ledger.redis.flushall()
    fetched, _ = gridfarm("fetch", "night", str(tmp_path / "out"), code=4)
    assert (fetched["missing"], fetched["lost"], fetched["flaws"][0]["i"]) == (0, 1, 7)
    answer, _ = gridfarm("retry", "night")
    assert answer["waiting"] == 1
    assert drawn_again(night, store, ledger) == Counter([7])


def test_a_batch_under_way_keeps_what_it_does(gridfarm: Any, store: Store, ledger: Ledger) -> None:
    """Of a batch that is rendering, three cells are done and one of these was lost. What nobody
    has begun is no fault and is not counted."""
    batch = ordered(frozen("dusk", more=SMALL, seeds="0..9"), store, ledger)
    complete(batch, range(3), store, ledger)
    assert gridfarm("verify", "dusk")[0]["whole"] == 3
    assert "nothing to retry" in gridfarm("retry", "dusk")[1]
    assert read_control(store, batch.id).generation == 0
    lose(batch, 1, store)
    found, _ = gridfarm("verify", "dusk", code=4)
    assert (found["whole"], found["missing"]) == (2, 1)
    assert "1 cell to render again" in gridfarm("retry", "dusk")[1]
    assert drawn_again(batch, store, ledger) == Counter([1, *range(3, 10)])


def test_failed_and_lost_cells_are_drawn_and_no_others(
    gridfarm: Any, store: Store, ledger: Ledger
) -> None:
    batch = ordered(frozen("dusk", more=SMALL, seeds="0..5"), store, ledger)
    failed(batch, [2], store, ledger)
    complete(batch, [0, 1, 3, 4, 5], store, ledger)
    Dispatcher(store, ledger, [QUEUE]).finish(batch.id)
    damage(store, batch, 4)
    found, _ = gridfarm("verify", "dusk", code=4)
    assert (found["whole"], found["missing"], found["damaged"]) == (4, 0, 1)
    assert gridfarm("status", "dusk")[0]["failed"] == 2
    assert "2 cells to render again" in gridfarm("retry", "dusk")[1]
    assert drawn_again(batch, store, ledger) == Counter([2, 4])


def test_batches_that_share_a_picture_have_it_again_together(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    """Both found it damaged. When one has drawn it again, the other's retry takes nothing away."""
    other = frozen("other", seeds="4..6", more=SMALL)
    submit(Resolved(other), store, ledger)
    damage(store, night, 5)
    for name in ("night", "other"):
        assert gridfarm("verify", name, code=4)[0]["damaged"] == 1
    gridfarm("retry", "night")
    assert drawn_again(night, store, ledger) == Counter([5])
    _, said = gridfarm("retry", "other")
    assert "nothing to retry" in said
    assert is_whole(store, other, 1)
    assert read_flaws(store, other.id, 3) == {}
    assert gridfarm("status", "other")[0]["failed"] == 0


def test_two_people_retry_at_once(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second begins when the first has taken the picture away and told nobody yet."""
    damage(store, night, 5)
    gridfarm("verify", "night", code=4)
    retry = Controller.retry

    def meanwhile(controller: Controller, **options: Any) -> None:
        monkeypatch.undo()
        assert "1 cell to render again" in gridfarm("retry", "night")[1]
        retry(controller, **options)

    monkeypatch.setattr(Controller, "retry", meanwhile)
    gridfarm("retry", "night")
    assert drawn_again(night, store, ledger) == Counter([5])
    gridfarm("verify", "night")


def test_a_retry_that_was_cut_off_is_made_good_by_the_next(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture is deleted, and the command ends before anybody hears of it."""
    damage(store, night, 5)
    gridfarm("verify", "night", code=4)

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Controller, "retry", cut_off)
        run(["retry", "night", "--store", store.url, "--broker", ledger.broker.url])
    assert not store.exists(object_names.picture(key_of(night, 5)))
    gridfarm("retry", "night")
    assert drawn_again(night, store, ledger) == Counter([5])


def test_above_the_limit_what_was_found_is_drawn_again(
    gridfarm: Any, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given more cells than are enumerated, nobody looks for each: verify does, and retry
    goes by its notes. The done bits of the others stay."""
    monkeypatch.setattr(matrix, "ENUMERATE_UP_TO", 4)
    batch = ordered(frozen("dusk", more=SMALL, seeds="0..9"), store, ledger)
    complete(batch, range(10), store, ledger)
    Dispatcher(store, ledger, [QUEUE]).finish(batch.id)
    damage(store, batch, 3)
    lose(batch, 8, store)
    assert "no cell has failed; there is nothing to retry" in gridfarm("retry", "dusk")[1]
    found, _ = gridfarm("verify", "dusk", code=4)
    assert (found["whole"], found["missing"], found["damaged"]) == (8, 1, 1)
    assert gridfarm("status", "dusk")[0]["failed"] == 2
    assert "2 cells to render again" in gridfarm("retry", "dusk")[1]
    bits = store.get(object_names.done_bitmap(batch.id))
    assert [i for i in range(10) if not is_set(bits, i)] == [3, 8]
    assert drawn_again(batch, store, ledger) == Counter([3, 8])
    gridfarm("verify", "dusk")


def test_submitting_again_draws_what_is_missing_and_forgets_its_note(
    gridfarm: Any, night: Batch, store: Store, ledger: Ledger
) -> None:
    lose(night, 7, store)
    assert gridfarm("verify", "night", "--quick", code=4)[0]["missing"] == 1
    assert submit(Resolved(night), store, ledger).queued == 1
    assert drawn_again(night, store, ledger) == Counter([7])
    assert gridfarm("status", "night")[0]["failed"] == 0


def test_a_picture_that_the_end_had_drawn_again_is_no_failure(
    gridfarm: Any, store: Store, ledger: Ledger
) -> None:
    """It vanished in mid-batch and verify noted it; the batch's end missed it, and a worker drew
    it again. Nobody has read it since."""
    batch = ordered(frozen("dusk", more=SMALL, seeds="0..5"), store, ledger)
    complete(batch, range(3), store, ledger)
    lose(batch, 1, store)
    assert gridfarm("verify", "dusk", code=4)[0]["missing"] == 1
    stands, _ = gridfarm("status", "dusk")
    assert (stands["done"], stands["failed"]) == (2, 1)
    complete(batch, range(3, 6), store, ledger)
    Dispatcher(store, ledger, [QUEUE]).finish(batch.id)
    assert drawn_again(batch, store, ledger) == Counter([1])
    assert read_flaws(store, batch.id, 6).keys() == {1}
    watched, _ = gridfarm("watch", "dusk")
    assert (watched["state"], watched["done"], watched["failed"]) == ("done", 6, 0)
    assert read_flaws(store, batch.id, 6) == {}


def test_a_picture_that_another_batch_drew_again_is_no_failure(
    gridfarm: Any, night: Batch, store: Store
) -> None:
    damage(store, night, 5)
    assert gridfarm("verify", "night", code=4)[0]["damaged"] == 1
    put_whole(store, night, [5])
    stands, _ = gridfarm("status", "night")
    assert (stands["done"], stands["failed"]) == (CELLS, 0)
    assert read_flaws(store, night.id, CELLS) == {}


@pytest.mark.usefixtures("impatient_s3")
def test_who_may_not_write_is_not_sent_to_retry(
    s3_server: Ministack,
    s3_store_url: str,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Of what is damaged, retry knows by notes alone. Other words would contradict the note above
    them, and each other."""
    with TroubledS3(s3_server.port) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        store = open_store(s3_store_url)
        batch = ordered(frozen("dusk", more=SMALL, seeds="0..2"), store, ledger)
        complete(batch, range(3), store, ledger)
        damage(store, batch, 1)
        server.begin("read-only")
        where = ("--store", s3_store_url, "--broker", ledger.broker.url)
        for command in (["verify", "dusk"], ["fetch", "dusk", str(tmp_path / "out")]):
            assert run([*command, *where]) == 4
            out, err = capsys.readouterr()
            assert "the stored picture is damaged" in out
            assert "could not be noted in the store" in err
            assert "gridfarm retry" not in out
        server.end()


def test_a_person_reads_which_pictures_they_are(
    night: Batch, store: Store, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--store", store.url, "--broker", ledger.broker.url)
    damage(store, night, 5)
    lose(night, 9, store)
    assert run(["verify", "night", *where]) == 4
    said, _ = capsys.readouterr()
    assert f"{CELLS} pictures should be stored: 22 whole, 1 missing, 1 damaged" in said
    assert "#5 a wolf · 5" in said and "#9 a wolf · 9" in said
    assert "the stored picture is damaged: bytes of it were changed" in said
    assert f"gridfarm retry {night.id} draws them again" in said
    assert run(["status", "night", *where]) == 0
    assert f"gridfarm retry {night.id} renders them again" in capsys.readouterr().out
    assert run(["show", "night#5", *where]) == 2
    assert "the stored picture is damaged" in capsys.readouterr().err
