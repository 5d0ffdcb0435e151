"""rm, on a real broker and real stores: what goes, what stays, and that nothing comes back."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.batch import Batch, Matrix, matrix
from common.dispatch import Dispatcher, Ledger, queue_name
from common.errors import StoreUnreachable
from common.store import Store, local_files, object_names, open_store
from producer.catalogue import keys
from producer.cli.main import run
from producer.removal import Announcements, beat, deletion, read_intents, stopping
from producer.submission import Resolved, submit
from tests.support import troubled_s3
from tests.support.orders import frozen, left_in, pictures_in, put_batch, put_pictures
from tests.support.servers import Ministack
from tests.support.troubled_s3 import TroubledS3

pytestmark = pytest.mark.integration


@pytest.fixture
def rm(store: Store, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`gridfarm rm …` on the store, with --json; its answer when it ends with `code`."""

    def call(*arguments: str, code: int = 0) -> Any:
        ended = run(["rm", *arguments, "--store", store.url, "--json"])
        out, err = capsys.readouterr()
        assert ended == code, out + err
        return json.loads(out)

    return call


@pytest.fixture
def ledger(broker: str, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """The farm's broker, as the person has it in the environment."""
    monkeypatch.setenv("GRIDFARM_BROKER", broker)
    return Ledger(broker)


def ordered(store: Store, ledger: Ledger, *, running: tuple[int, ...] = ()) -> Batch:
    """A batch of four cells under way: cell 0 is stored, `running` are leased to w1."""
    batch = frozen()
    submit(Resolved(batch), store, ledger)
    put_pictures(store, batch, [0])
    for i in running:
        assert ledger.claim(batch.id, i, 0, key_of(batch, i), "w1") == "ok"
    return batch


def key_of(batch: Batch, i: int) -> str:
    cell = Matrix(batch)[i]
    assert cell
    return cell.key


def test_a_batch_goes_with_its_pictures_and_assets_stay(rm: Any, store: Store) -> None:
    batch = put_batch(store, frozen(), done=range(4))
    store.put(object_names.failure(batch, 1), b"{}")
    store.put(object_names.asset("aa"), b"a LoRA")
    answer = rm("night", "--yes")
    gone = {"batches": [batch], "pictures": 4, "stayed": 0, "why": ""}
    assert answer == gone | {"store": store.url}
    assert list(store.list("")) == [object_names.asset("aa")]


def test_pictures_of_another_batch_stay(rm: Any, store: Store) -> None:
    """Also those that the other one has not rendered itself."""
    put_batch(store, frozen(), done=range(4))
    other = put_batch(store, frozen("other", seeds="2..9"), state="cancelled")
    answer = rm("night", "--yes")
    assert (answer["pictures"], answer["stayed"]) == (2, 2)
    assert pictures_in(store) == 2
    assert store.exists(object_names.batch(other))


def test_batches_removed_together_share_with_the_others_only(rm: Any, store: Store) -> None:
    put_batch(store, frozen(), done=range(4))
    put_batch(store, frozen("other"), done=range(4))
    assert rm("night", "other", "--yes")["pictures"] == 4
    assert left_in(store) == []


def test_keep_pictures(rm: Any, store: Store) -> None:
    put_batch(store, frozen(), done=range(4))
    assert rm("night", "--yes", "--keep-pictures")["stayed"] is None
    assert pictures_in(store) == 4
    assert list(store.folders(object_names.BATCHES)) == []


@pytest.mark.parametrize("large", ["night", "other"])
def test_where_a_batch_is_too_large_to_compare_all_pictures_stay(
    rm: Any, store: Store, monkeypatch: pytest.MonkeyPatch, large: str
) -> None:
    """Given one that nobody enumerates, be it the one to remove or another."""
    monkeypatch.setattr(keys, "ENUMERATE_UP_TO", 9)
    monkeypatch.setattr(matrix, "ENUMERATE_UP_TO", 9)
    for name in ("night", "other"):
        seeds = "0..19" if name == large else "0..3"
        put_batch(store, frozen(name, seeds=seeds), done=range(4))
    answer = rm("night", "--yes")
    assert "20 cells" in answer["why"]
    assert pictures_in(store) == 4


def test_where_a_document_cannot_be_read_all_pictures_stay(rm: Any, store: Store) -> None:
    put_batch(store, frozen(), done=range(4))
    store.put(object_names.batch("newer-12345678"), b'{"schema_number": 99}')
    assert "newer-12345678" in rm("night", "--yes")["why"]
    assert pictures_in(store) == 4
    assert rm("newer-12345678", "--yes")["batches"] == ["newer-12345678"]
    assert list(store.folders(object_names.BATCHES)) == []


def test_a_batch_with_an_id_of_before(rm: Any, store: Store) -> None:
    """Its id says nothing of its document; a batch of today shares its pictures."""
    old = "night-1a2b3c4d"
    put_batch(store, frozen(), done=range(4))
    for name in (object_names.batch, object_names.control):
        store.put(name(old), store.get(name(frozen().id)))
    assert rm(old, "--yes")["stayed"] == 4
    assert list(store.folders(object_names.BATCHES)) == [frozen().id]
    assert rm("night", "--yes")["pictures"] == 4


def test_without_a_terminal_it_wants_yes(rm: Any, store: Store) -> None:
    put_batch(store, frozen(), done=range(4))
    answer = rm("night", code=2)
    assert "--yes" in answer["hint"]
    assert pictures_in(store) == 4


def test_an_unfinished_batch_is_refused_whole(rm: Any, store: Store, ledger: Ledger) -> None:
    """Nothing of the other batch on the line is removed either."""
    batch = ordered(store, ledger)
    put_batch(store, frozen("other", seeds="7..8"), done=[0])
    answer = rm("other", "night", "--yes", code=2)
    assert batch.id in answer["message"]
    assert "--cancel" in answer["hint"]
    assert pictures_in(store) == 2


def test_cancel_leaves_nothing_that_a_worker_could_bring_back(
    rm: Any, store: Store, ledger: Ledger
) -> None:
    """Given messages on the queue, when it is removed, then they are refused, and neither a
    rebuild nor a tick of any worker knows the batch again."""
    batch = ordered(store, ledger)
    rm("night", "--cancel", "--yes")
    assert ledger.claim(batch.id, 1, 0, key_of(batch, 1), "w1") == "unknown"
    Dispatcher(store, ledger, [queue_name()]).tick()
    assert not ledger.known(batch.id)
    assert left_in(store) == []


def test_removing_waits_until_running_cells_have_stopped(
    rm: Any, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that a worker still stores before it hears of the end goes too."""
    batch = ordered(store, ledger, running=(1,))

    def a_moment(_: float) -> None:
        put_pictures(store, batch, [0, 1])
        assert not ledger.renew(batch.id, 1, key_of(batch, 1), "w1")
        ledger.release(batch.id, 1, key_of(batch, 1), "w1")

    monkeypatch.setattr(stopping.time, "sleep", a_moment)
    assert rm("night", "--cancel", "--yes")["pictures"] == 2
    assert left_in(store) == []


@pytest.mark.parametrize("room", [0, 4_096])
def test_a_full_disk_can_be_freed(
    tmp_path: Path, ledger: Ledger, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a folder that takes no byte more, or some once something is deleted from it: a batch
    that is under way is cancelled and removed all the same."""
    store = open_store(str(tmp_path / "store"))
    batch = ordered(store, ledger)
    freed, unlink = 0, Path.unlink

    def deleting(self: Path, **options: bool) -> None:
        nonlocal freed
        freed += room * (self.exists() and not self.name.startswith(".partial-"))
        unlink(self, **options)

    def syncing(_: int) -> None:
        nonlocal freed
        if freed <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        freed -= 4_096

    monkeypatch.setattr(Path, "unlink", deleting)
    monkeypatch.setattr(local_files.os, "fsync", syncing)
    assert run(["rm", "night", "--cancel", "--yes", "--store", store.url]) == 0
    assert left_in(store) == []
    assert not ledger.known(batch.id)


@pytest.mark.usefixtures("impatient_s3")
def test_a_full_bucket_can_be_freed(
    s3_server: Ministack, s3_store_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a server that refuses whatever is written."""
    batch = ordered(open_store(s3_store_url), ledger)
    with TroubledS3(s3_server.port) as trouble:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", trouble.url)
        monkeypatch.setattr(troubled_s3, "CHANGES", ("PUT",))
        trouble.begin("full")
        assert run(["rm", batch.id, "--cancel", "--yes", "--store", s3_store_url]) == 0
        assert trouble.hit
        assert left_in(open_store(s3_store_url)) == []


def test_the_same_file_can_be_ordered_again(rm: Any, store: Store, ledger: Ledger) -> None:
    ordered(store, ledger)
    rm("night", "--cancel", "--yes")
    report = submit(Resolved(frozen()), store, ledger)
    assert report.queued == 4
    status = ledger.status(report.batch)
    assert status and status.state == "rendering"


def test_a_removal_that_is_cut_off_anywhere_can_be_given_again(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a store that fails at the n-th deletion, for every n: nothing is active any more,
    no worker's tick brings the batch back, no picture is left that nobody knows of, and the
    same command by the batch's id ends it."""
    monkeypatch.setattr(beat, "STILL_S", 0)
    monkeypatch.setattr(beat, "SETTLE_S", 0)
    for cut_at in range(1, 30):
        ledger.redis.flushall()
        store = open_store(str(tmp_path / str(cut_at)))
        batch = ordered(store, ledger)
        store.put(object_names.failure(batch.id, 3), b'{"reason": "x"}')
        if _rm_cut_off(store, batch.id, cut_at, monkeypatch) == 0:
            break
        if not store.exists(object_names.active(batch.id)):
            Dispatcher(store, ledger, [queue_name()]).tick()
            assert ledger.feed(queue_name(), "task") == 0
        noted = read_intents(store, Announcements(None))
        assert pictures_in(store) == 0 or noted or store.exists(object_names.batch(batch.id))
        if left_in(store):
            assert run(["rm", batch.id, "--cancel", "--yes", "--store", store.url]) == 0
        assert left_in(store) == []
        assert not ledger.known(batch.id)
    assert cut_at > 5


def _rm_cut_off(store: Store, batch_id: str, cut_at: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a removal whose `cut_at`-th deletion fails."""
    count, delete = 0, type(store).delete

    def failing(self: Store, name: str) -> None:
        nonlocal count
        count += 1
        if count >= cut_at:
            raise StoreUnreachable("cut off")
        delete(self, name)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "delete", failing)
        patched.setattr(deletion, "DELETERS", 1)
        return run(["rm", batch_id, "--cancel", "--yes", "--store", store.url])
