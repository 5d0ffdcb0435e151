"""How fast a batch is rendered and how long the rest takes, by what was seen of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from producer.batches.status import Status

#: Nobody looked for so long: what happened meanwhile says nothing.
UNSEEN_S = 15.0
#: Workers say within so many seconds what they do; a begin that was seen is not known better.
REPORTED_WITHIN_S = 2.5
BEGIN_KNOWN_AFTER_S = 4 * REPORTED_WITHIN_S
#: A pace needs so many seconds of rendering, and goes by the latest so many seconds and pictures.
BASIS_S, RECENT_S, RECENT_PICTURES = 3.0, 60.0, 8
#: Between two pictures a worker may load something; the pace is shown on for so long.
HELD_S = 5.0


@dataclass(frozen=True)
class _Mark:
    """`pictures` were rendered when `workers` rendered and had spent `spent_s` on the batch."""

    spent_s: float
    pictures: int
    workers: int


class Pace:
    """Follows one batch, look by look; the caller gives the times. The clock is the time that
    workers spend on rendering this batch, all of them added up: what they load or download, a
    pause, and what nobody saw are no part of it, and neither are pictures that were stored before.
    A picture costs so much of it, and the rest is shared among those who render now."""

    def __init__(self) -> None:
        self._seen: Status | None = None
        self._at = self._went_on_at = 0.0
        self._forget()

    def look(self, status: Status, *, now: float) -> None:
        """The batch stands like this, `now` by a clock that goes on while this machine sleeps:
        `time.time()`. A gap in it begins anew, and so does a count that goes back."""
        took, before = now - self._at, self._seen
        self._seen, self._at = status, now
        if before is None or not 0 <= took <= UNSEEN_S or _goes_back(before, status):
            self._forget()
            self._under_way = _at_work(status)
        elif busy := _at_work(before):
            self._spent_s += took * busy
            self._add(_rendered(status) - _rendered(before))
        elif _at_work(status) and not self._marks:
            self._begin()
        self._note_workers(status, now)

    @property
    def per_minute(self) -> float | None:
        """Pictures a minute; None while there is no basis, or nobody renders."""
        per_picture = self._per_picture_s()
        return 60 * self._workers / per_picture if per_picture else None

    @property
    def left_s(self) -> float | None:
        """Seconds until the batch is over; None as `per_minute`, and once the last pictures take
        longer than pictures do."""
        per_picture = self._per_picture_s()
        if per_picture is None or self._seen is None:
            return None
        remaining = self._seen.jobs - self._seen.done - self._seen.failed
        sharing = min(self._workers, remaining)
        rest_s = remaining * per_picture - min(self._since_last_s, sharing * per_picture)
        return rest_s / sharing if rest_s > 0 else None

    def _forget(self) -> None:
        self._spent_s, self._last_s, self._pictures, self._under_way = 0.0, 0.0, 0, 0
        self._marks: deque[_Mark] = deque()
        self._began = False
        self._measured: tuple[float, int] | None = None
        self._recent_workers: deque[tuple[float, int]] = deque()

    def _begin(self) -> None:
        """Rendering was seen to begin."""
        self._mark()
        self._began = True

    def _mark(self) -> None:
        self._last_s = self._spent_s
        self._marks.append(_Mark(self._spent_s, self._pictures, self._workers))

    def _add(self, pictures: int) -> None:
        """The counting begins with the first picture, as nobody knows what of it was drawn before;
        one that a single worker was seen to begin counts. Of those that were under way when the
        watching began, none does."""
        if pictures <= 0:
            return
        self._pictures += pictures
        known = self._workers == 1 and self._since_last_s >= BEGIN_KNOWN_AFTER_S
        if self._under_way or (self._began and not known):
            self._marks.clear()
        self._under_way = max(0, self._under_way - pictures)
        self._began = False
        self._mark()
        self._prune()
        self._measure()

    def _prune(self) -> None:
        """Pictures come in waves where many workers began together: two waves at least. Of many
        workers that join, nothing comes for a while: then the counting begins anew."""
        pictures = max(RECENT_PICTURES, 2 * self._workers)
        last, marks = self._marks[-1], self._marks
        while (
            len(marks) > 2
            and last.pictures - marks[1].pictures >= pictures
            and last.spent_s - marks[1].spent_s >= RECENT_S * self._workers
        ):
            marks.popleft()
        if self._workers >= 2 * marks[0].workers:
            marks.clear()
            self._mark()

    def _measure(self) -> None:
        """Whole waves, from a moment of one to the same moment of another. Before there is one,
        what was measured stays."""
        last, workers = self._marks[-1], self._workers
        waves = (last.pictures - self._marks[0].pictures) // workers
        since = last.pictures - waves * workers
        first = next(mark for mark in reversed(self._marks) if mark.pictures <= since)
        pictures, spent_s = last.pictures - first.pictures, last.spent_s - first.spent_s
        if waves and spent_s >= BASIS_S * workers:
            self._measured = spent_s, pictures

    def _note_workers(self, status: Status, now: float) -> None:
        """A worker that loads something for a moment still counts."""
        if status.state != "rendering":
            self._recent_workers.clear()
        elif busy := _at_work(status):
            self._went_on_at = self._went_on_at if self._recent_workers else now
            self._recent_workers.append((now, busy))
        while self._recent_workers and now - self._recent_workers[0][0] > HELD_S:
            self._recent_workers.popleft()

    @property
    def _workers(self) -> int:
        """How many render, at least one."""
        return max((busy for _, busy in self._recent_workers), default=1)

    @property
    def _since_last_s(self) -> float:
        return self._spent_s - self._last_s

    def _per_picture_s(self) -> float | None:
        """Seconds of one worker, None as `per_minute`. One that takes longer than those before
        makes the pace slower already while it does."""
        if not self._measured or not self._shown():
            return None
        spent_s, pictures = self._measured
        so_far_s = (spent_s + self._since_last_s) / (pictures + self._workers)
        return max(spent_s / pictures, so_far_s)

    def _shown(self) -> bool:
        """Somebody renders, and whoever does has said so."""
        listening = self._seen is not None and bool(self._seen.listening)
        told = self._at - self._went_on_at >= REPORTED_WITHIN_S
        return listening and bool(self._recent_workers) and told


def _rendered(status: Status) -> int:
    return status.done - status.found


def _goes_back(before: Status, now: Status) -> bool:
    """Cells are rendered again, or the broker's memory was made anew."""
    return now.done < before.done or now.found < before.found


def _at_work(status: Status) -> int:
    """The workers that render this batch: of others that render, it is another's."""
    rendering = sum(worker.state == "rendering" for worker in status.listening)
    return min(rendering, status.running)
