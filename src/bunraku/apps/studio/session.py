"""Sessions: what one visitor has on the table, in a folder of its own that is deleted when it was not used for a while."""

import io
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bunraku.animate import Animation, animate
from bunraku.apps.studio.gallery import Piece
from bunraku.apps.studio.items import (
    Choices,
    Clip,
    Setup,
    Still,
    drafted,
    find_thing,
    look_at_clip,
    look_at_still,
    outlined,
)
from bunraku.apps.studio.words import heard
from bunraku.apps.studio.work import Line, Work
from bunraku.apps.uploads import Limits, examine, shown_name
from bunraku.cues.corrections import Pin
from bunraku.cues.cues import Cues
from bunraku.cues.layers import perceive_layers
from bunraku.cues.openpose_json import write_pose
from bunraku.errors import BunrakuError
from bunraku.media.images import over
from bunraku.perception.matte import create_footage_segmenter
from bunraku.perception.objects import Click
from bunraku.puppet_warp import PUPPET_WARP

logger = logging.getLogger(__name__)

Slot = Literal["still", "clip", "backdrop"]

COOKIE = "bunraku_studio"
"""That tells a visitor's session."""

MOST_RUNS = 12  # that are kept for a visitor, and
MOST_WAITING = 3  # that may wait
MOST_VISITORS = 1000  # after whom those who were away for longest are forgotten
EARLY_SIDE, MOST_EARLY = 384, 96  # longest side in pixels and number of the frames that are shown before a run is over
POSTER_SIDE = 320


class Run(Work):
    """A video in the making, or made.

    Attributes:
        key: of its folder.
        setup: what it is made of.
        early: JPEG files of the first frames, as far as there are any, by number; `version` counts what was put there.
        made: what `animate` says of it.
        files: what can be downloaded, by words.
        notes: what is doubtful.
    """

    def __init__(self, key: str, folder: Path, setup: Setup) -> None:
        super().__init__(lambda _: self._make())
        self.key, self.folder, self.setup = key, folder, setup
        self.early: dict[int, bytes] = {}
        self.version = 0
        self.made: Animation | None = None
        self.files: dict[str, Path] = {}
        self.notes: tuple[str, ...] = ()

    def _make(self) -> None:
        self.folder.mkdir()
        try:
            with heard() as notes:
                self._animate()
            self.notes = tuple(notes)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        finally:
            self.early = {}

    def _animate(self) -> None:
        setup, choices = self.setup, self.setup.choices
        still, clip = setup.still.reference(), setup.clip.part(choices.first, choices.last)
        if choices.scene == "driving" and clip.pictures is not None and clip.has_keypoints:
            clicks = [replace(click, frame=click.frame - (choices.first or 0)) for click in choices.objects]
            cues = perceive_layers(
                clip.cues(choices.options()), clip.pictures, create_footage_segmenter(), things=clicks,
                on_frame=lambda done, total: self.report("matte", done, total),
            )  # fmt: skip
            clip = replace(clip, perceived=cues)
        video, sheet = self.folder / choices.output, self.folder / "sheet.png"
        self.made = animate(still, clip, video, choices.options(sheet), self.report, self._show)
        self.files = {"Video": video, "Sheet": sheet}
        if isinstance(cues := clip.cues(choices.options()), Cues):
            replace(cues, media=None).save(self.folder / "motion.cues")
            self.files["Motion"] = self.folder / "motion.cues"
        if still.known_people is not None:
            write_pose(still.known_people, self.folder / "pose.json")
            self.files["Pose"] = self.folder / "pose.json"

    def _show(self, number: int, frames: np.ndarray) -> None:
        self.check()
        for place, frame in enumerate(frames, number):
            picture = Image.fromarray(over(frame, (255, 255, 255)) if frame.shape[-1] == 4 else frame)
            if not self.poster.exists() or place == 8:
                _small(picture, POSTER_SIDE).save(self.poster, quality=85)
            if place < MOST_EARLY:
                written = io.BytesIO()
                _small(picture, EARLY_SIDE).save(written, "JPEG", quality=80)
                self.early[place] = written.getvalue()
                self.version += 1

    @property
    def poster(self) -> Path:
        """A small picture of it."""
        return self.folder / "poster.jpg"


def _small(picture: Image.Image, side: int) -> Image.Image:
    factor = min(1, side / max(picture.size))
    return picture.resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))))


@dataclass(frozen=True)
class Rules:
    """What visitors may do.

    Attributes:
        limits: of a file.
        keep: seconds after a visitor's last sign at which everything of theirs is deleted.
        quota: bytes that a visitor's files may take.
        waiting: runs that may wait altogether.
        model: what animates unless somebody chooses otherwise.
    """

    limits: Limits = field(default_factory=Limits)
    keep: float = 2 * 3600
    quota: int = 2 * 2**30
    waiting: int = 20
    model: str = PUPPET_WARP


class Session:
    """A visitor's table.

    Attributes:
        token: what the visitor's browser says who it is by; nobody else knows it.
        still, clip: what lies on it.
        choices: what becomes of them.
        runs: what was and is being made, the latest first.
        shown: the run that the page shows; None: the preview.
        picked: the character that waits for a dancer.
        looks: how the things that were put on the table last are being looked at.
        problems: by panel, why the last thing that the visitor did came to nothing.
    """

    def __init__(self, token: str, folder: Path, rules: Rules, looks: Line, runs: Line) -> None:
        self.token, self.folder, self.rules = token, folder, rules
        self._looking, self._running = looks, runs
        self.still: Still | None = None
        self.clip: Clip | None = None
        self.choices = Choices(model=rules.model)
        self.runs: list[Run] = []
        self.shown: Run | None = None
        self.picked: int | None = None
        self.looks: dict[Slot, Work] = {}
        self.problems: dict[str, str] = {}
        self.lock = threading.RLock()
        self.seen = time.monotonic()
        folder.mkdir(mode=0o700)

    @property
    def busy(self) -> bool:
        return any(work.busy for work in (*self.looks.values(), *self.runs))

    def setup(self) -> Setup | None:
        """What would be animated; None where something is missing."""
        if self.still is None or self.clip is None or self.still.people is None or self.clip.cues is None:
            return None
        return Setup(self.still, self.clip, self.choices)

    def names(self) -> dict[Path, str]:
        """What people call the files that messages may name."""
        setups = [run.setup for run in self.runs]
        items: list[Still | Clip] = [*(s.still for s in setups), *(s.clip for s in setups)]
        items += [item for item in (self.still, self.clip) if item is not None]
        found = {item.path: item.name for item in items}
        if self.choices.backdrop:
            found[self.choices.backdrop] = self.choices.backdrop_name
        return found

    @contextmanager
    def receiving(self) -> Iterator[Path]:
        """A path for a file that arrives; it is gone afterwards unless it was moved.

        Raises:
            BunrakuError: the visitor's files take too much room already.
        """
        if sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file()) > self.rules.quota:
            raise BunrakuError("your files take too much room; delete some of the runs below, or everything")
        path = self.folder / f"arriving-{secrets.token_hex(8)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put(self, slot: Slot, path: Path, name: str) -> None:
        """Put a file that arrived on the table, to be looked at; what lay there before goes."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        arrived = path.rename(folder / "arrived")
        name = shown_name(name)

        def look(work: Work) -> None:
            work.report("look", 0, 1)
            media = examine(arrived, self.rules.limits, name)
            self._put(slot, work, arrived.rename(folder / f"{slot}{media.suffix}"), name, media.kind == "picture")

        self._look(slot, look)

    def take(self, piece: Piece) -> None:
        """Put something of the gallery on the table, with all that is known of it."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()

        def look(work: Work) -> None:
            work.report("look", 0, 1)
            self._put(piece.slot, work, piece.write(folder), piece.name, piece.slot == "still")

        self._look(piece.slot, look)

    def _look(self, slot: Slot, look: Callable[[Work], None]) -> None:
        with self.lock:
            if before := self.looks.get(slot):
                before.cancel()
            if slot == "still":
                self.still = None
            elif slot == "clip":
                self.clip = None
            self.shown, self.problems = None, {}
            self._new_pairs()
            self.looks[slot] = Work(look)
            self._looking.join(self.looks[slot])

    def _put(self, slot: Slot, work: Work, path: Path, name: str, picture: bool) -> None:
        def show(item: Still | Clip) -> None:
            work.check()
            with self.lock:
                if self.looks.get(slot) is work:
                    setattr(self, slot, item)

        if slot == "still":
            if not picture:
                raise BunrakuError(f"{name} is no picture; a character is a picture (PNG, JPEG, WebP)")
            show(look_at_still(path, name, show, work.report))
        elif slot == "clip":
            if picture:
                raise BunrakuError(f"{name} is a picture; a motion is a video, BVH, OpenPose JSON or cues")
            show(look_at_clip(path, name, show, work.report))
        elif path.suffix in (".bvh", ".json", ".cues"):
            raise BunrakuError(f"{name} is neither a picture nor a video")
        else:
            with self.lock:
                self.choices = replace(self.choices, scene="picture", backdrop=path, backdrop_name=name)

    def remove(self, slot: Slot) -> None:
        """Take something off the table."""
        with self.lock:
            if work := self.looks.pop(slot, None):
                work.cancel()
            if slot != "backdrop":
                setattr(self, slot, None)
            self.shown = None
            self._new_pairs()

    def _new_pairs(self) -> None:
        self.picked = None
        self.choices = replace(self.choices, pairs=None, objects=(), first=None, last=None)

    def choose(self, **changes: object) -> None:
        """Change choices."""
        with self.lock:
            self.problems = {}
            self.choices = replace(self.choices, **changes)  # type: ignore[arg-type]
            self._back_to_preview()

    def _back_to_preview(self) -> None:
        if self.shown is not None and not self.shown.busy:
            self.shown = None

    def pick(self, slot: Slot, person: int) -> None:
        """Click a character, then the dancer who moves it."""
        with self.lock:
            if (setup := self.setup()) is None:
                return
            alone = setup.still.people is not None and setup.still.people.people == 1
            if slot == "still":
                self.picked = None if self.picked == person else person
            elif (one := 0 if alone else self.picked) is not None:
                self.pair(one, person)
                self.picked = None

    def pair(self, character: int, dancer: int | None) -> None:
        """Say who moves a character; None: it stays still."""
        with self.lock:
            if (setup := self.setup()) is None:
                return
            others = [pair for pair in setup.pairs() if pair[0] != character]
            pairs = tuple(sorted([*others, (character, dancer)] if dancer is not None else others))
            if not pairs:
                self.problems = {"result": "somebody has to move"}
            else:
                self.choose(pairs=pairs)

    def pin(self, slot: Slot, pin: Pin) -> None:
        """Put a joint where it belongs, or hide it."""
        with self.lock:
            item = self.still if slot == "still" else self.clip
            track = None if item is None else item.people
            if item is None or track is None or not _within(pin, track.keypoints.shape):
                return
            setattr(self, slot, replace(item, pins=(*item.pins, pin)))
            self._back_to_preview()

    def unpin(self, slot: Slot, *, everything: bool = False) -> None:
        """Take the last correction back, or all of them."""
        with self.lock:
            item = self.still if slot == "still" else self.clip
            if item is not None:
                setattr(self, slot, replace(item, pins=() if everything else item.pins[:-1]))
                self._back_to_preview()

    def keep(self, click: Click) -> None:
        """Keep a thing of the dancer's scene before the character."""
        with self.lock:
            if (clip := self.clip) is None:
                return
            try:
                find_thing(clip, click)
            except BunrakuError as error:
                self.problems = {"clip": f"{error}; click the middle of the thing, or choose another moment"}
            else:
                self.choose(objects=(*self.choices.objects, click))

    def draft(self) -> None:
        """Stand a figure in the still, to be moved by hand."""
        with self.lock:
            if self.still is not None and (work := self.looks.get("still")) and not work.busy:
                self.still = drafted(self.still)
                self._new_pairs()

    def outline(self) -> None:
        """Cut the still out anew, after corrections."""
        with self.lock:
            still = self.still
            if still is None or still.people is None:
                return

            def look(work: Work) -> None:
                work.report("outline", 0, 1)
                new = outlined(still)
                with self.lock:
                    if self.still is still:
                        self.still = new

            self.looks["still"] = Work(look)
            self._looking.join(self.looks["still"])

    def start(self) -> None:
        """Animate what lies on the table, when its turn comes."""
        with self.lock:
            self.problems = {}
            if (setup := self.setup()) is None:
                return
            if sum(run.busy for run in self.runs) >= MOST_WAITING:
                words = f"{MOST_WAITING} of your videos are waiting already; wait for one of them, or cancel it"
                self.problems = {"result": words}
                return
            if len(self._running) >= self.rules.waiting:
                self.problems = {"result": "too many people are waiting at the moment; try again in a few minutes"}
                return
            key = secrets.token_hex(8)
            run = Run(key, self.folder / key, setup.fixed())
            self.runs.insert(0, run)
            self.shown = run
            for old in [old for old in self.runs[MOST_RUNS:] if not old.busy]:
                self.forget(old.key)
            self._running.join(run)

    def run(self, key: str) -> Run | None:
        return next((run for run in self.runs if run.key == key), None)

    def cancel(self, key: str) -> None:
        """End a run; nothing is left of it."""
        with self.lock:
            if (run := self.run(key)) is not None and run.busy:
                run.cancel()
                self.runs.remove(run)
                if self.shown is run:
                    self.shown = None

    def forget(self, key: str) -> None:
        """Delete a run that is over."""
        with self.lock:
            if (run := self.run(key)) is not None and not run.busy:
                self.runs.remove(run)
                if self.shown is run:
                    self.shown = None
                shutil.rmtree(run.folder, ignore_errors=True)

    def again(self, key: str) -> None:
        """Put a run's things back on the table, to change something."""
        with self.lock:
            if (run := self.run(key)) is not None:
                for work in self.looks.values():
                    work.cancel()
                self.looks = {}
                self.still, self.clip, self.choices = run.setup.still, run.setup.clip, run.setup.choices
                self.shown, self.picked, self.problems = None, None, {}

    def before(self, run: Run) -> int:
        """How many runs are made before it."""
        return self._running.before(run)

    def sweep(self) -> None:
        """Delete what nothing refers to any more."""
        with self.lock:
            if any(work.busy for work in self.looks.values()):
                return
            kept = {run.key for run in self.runs}
            setups = [run.setup for run in self.runs]
            items: list[Still | Clip | None] = [
                self.still,
                self.clip,
                *(s.still for s in setups),
                *(s.clip for s in setups),
            ]
            kept |= {item.key for item in items if item is not None}
            backdrops = [self.choices.backdrop, *(s.choices.backdrop for s in setups)]
            kept |= {path.parent.name for path in backdrops if path is not None}
            running = {run.key for run in self.runs if run.busy}
            for folder in self.folder.iterdir():
                if folder.is_dir() and folder.name not in kept | running:
                    shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End everything and delete it."""
        with self.lock:
            for work in (*self.looks.values(), *self.runs):
                work.cancel()
            self.looks, self.runs, self.still, self.clip = {}, [], None, None
            self.shown, self.picked, self.problems = None, None, {}
            self.choices = Choices(model=self.rules.model)
            for path in self.folder.iterdir():
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _within(pin: Pin, shape: tuple[int, ...]) -> bool:
    return 0 <= pin.frame < shape[0] and 0 <= pin.person < shape[1] and 0 <= pin.joint < 18


class Sessions:
    """Everybody's tables.

    Args:
        folder: of all of them; gone when this is closed.
        rules: for everybody.
        at_once: runs that are made at the same time.
    """

    def __init__(self, folder: Path, rules: Rules = Rules(), at_once: int = 1) -> None:
        self.folder, self.rules = folder, rules
        self._looks, self._runs = Line(), Line(at_once)
        self._sessions: dict[str, Session] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        threading.Thread(target=self._tidy, daemon=True, name="bunraku-studio-tidy").start()

    def of(self, token: str | None, *, sign: bool = False) -> Session | None:
        """The session of a visitor who was here before; `sign`: they did something themselves, and what is theirs is kept anew."""
        with self._lock:
            session = self._sessions.get(token or "")
        if session is not None and sign:
            session.seen = time.monotonic()
        return session

    def new(self) -> Session:
        """A table for somebody who comes in."""
        token = secrets.token_urlsafe(24)
        session = Session(token, self.folder / secrets.token_hex(12), self.rules, self._looks, self._runs)
        with self._lock:
            self._sessions[token] = session
            away = sorted((other for other in self._sessions.values() if not other.busy), key=lambda other: other.seen)
            crowd = max(0, len(self._sessions) - MOST_VISITORS)
        for other in away[:crowd]:
            self._end(other)
        return session

    def expire(self) -> None:
        """Delete what was not used for too long, and what nothing refers to."""
        with self._lock:
            sessions = list(self._sessions.values())
        for session in sessions:
            if session.busy:
                session.seen = time.monotonic()
            elif time.monotonic() - session.seen > self.rules.keep:
                self._end(session)
                continue
            session.sweep()

    def _end(self, session: Session) -> None:
        with self._lock:
            self._sessions.pop(session.token, None)
        session.close()
        shutil.rmtree(session.folder, ignore_errors=True)

    def close(self) -> None:
        """End everything and delete everybody's files."""
        self._ended.set()
        for line in (self._looks, self._runs):
            line.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tidy(self) -> None:
        while not self._ended.wait(min(30, self.rules.keep / 2)):
            self.expire()
