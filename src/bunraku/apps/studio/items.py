"""What lies on a visitor's table: a still, a clip, and the choices that say what becomes of them. None of it ever changes; a change is a new one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bunraku.animate import AnimateOptions, MotionOptions
from bunraku.animate.canvas import choose_canvas
from bunraku.animate.cast import Pairs, choose_pairs, perceive_cast
from bunraku.animate.driving import Driving, excerpt, open_driving
from bunraku.animate.reference import Reference, open_reference
from bunraku.animate.still import standing
from bunraku.apps.studio.words import heard
from bunraku.cues.corrections import Pin, corrected
from bunraku.cues.cues import Cues
from bunraku.cues.retarget import Retarget
from bunraku.errors import BunrakuError
from bunraku.media import FramesByNumber, VideoWriter, open_frames, resize
from bunraku.perception.matte import create_segmenter, still_mattes
from bunraku.perception.objects import Click
from bunraku.perception.pose import PoseTrack
from bunraku.progress import Progress, silent
from bunraku.puppet_warp import PUPPET_WARP

SceneChoice = Literal["reference", "driving", "transparent", "picture"]

LOOK = MotionOptions(max_people=4)
SHOWN_SIDE = 1280  # longest side in pixels of a still as the page shows it
PROXY_HEIGHT = 480  # of a clip
TINT = (255, 90, 60)  # of things
FADE = 0.2  # seconds over which a correction of a clip's pose fades out


@dataclass(frozen=True, eq=False)
class Still:
    """A picture of one or more characters, and what was seen in it.

    Attributes:
        key: of its folder.
        name: what people call it.
        path: the picture; `shown` is what the page shows of it.
        size: (height, width) in pixels.
        found: everybody in it, (1, P, K), or None as long as nobody was found.
        pins: joints that were put right.
        drafted: whether `found` is a standing figure that nobody was recognised in.
        outline: a picture of `shown`'s size whose opaque part is everybody's matte; None: there is none yet.
        notes: what is doubtful.
    """

    key: str
    name: str
    path: Path
    size: tuple[int, int]
    found: PoseTrack | None = None
    pins: tuple[Pin, ...] = ()
    drafted: bool = False
    outline: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> Path:
        return self.path.with_name("shown.jpg")

    @cached_property
    def people(self) -> PoseTrack | None:
        """Everybody, as corrected."""
        return None if self.found is None else corrected(self.found, self.pins)

    def reference(self) -> Reference:
        """As `animate` takes it, with the mask that lies beside it."""
        return replace(open_reference(self.path), known_people=self.people)


@dataclass(frozen=True, eq=False)
class Clip:
    """A motion, and what was seen in it.

    Attributes:
        key, name, path: as of `Still`.
        driving: the whole of it, open.
        proxy: what the page plays of it; None: there are poses alone.
        found: everybody's cues; None as long as nobody was looked for.
        pins: joints that were put right, in frames of the whole clip.
        notes: what is doubtful.
    """

    key: str
    name: str
    path: Path
    driving: Driving
    proxy: Path | None = None
    found: Cues | None = None
    pins: tuple[Pin, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def cues(self) -> Cues | None:
        """Everybody's, as corrected."""
        if self.found is None or self.found.pose is None or not self.pins:
            return self.found
        return replace(self.found, pose=corrected(self.found.pose, self.pins, round(FADE * self.found.fps)))

    @property
    def people(self) -> PoseTrack | None:
        """Everybody's poses, as corrected."""
        return None if self.cues is None else self.cues.pose

    def part(self, first: int | None, last: int | None) -> Driving:
        """Frames [first, last) with the cues that are known of them, as `animate` takes them."""
        options = replace(LOOK, start=first, stop=last)
        if self.cues is None:
            return open_driving(self.path, options)
        known = excerpt(self.cues, self.path, options)
        if isinstance(self.driving.source, Cues):
            return replace(self.driving, source=known)
        return replace(open_driving(self.path, options), perceived=known)


@dataclass(frozen=True)
class Choices:
    """What a visitor chose; None leaves it to the studio.

    Attributes:
        pairs: (character, dancer) by number.
        scene: what is behind the character; "picture": `backdrop`.
        backdrop, backdrop_name: a picture or video, and what people call it.
        objects: things of the driver's scene that stay in front of the character, clicked in frames of the whole clip.
        proportions: as `AnimateOptions.retarget`.
        model: as `AnimateOptions.model`.
        calm, sound, seed: as `AnimateOptions.smoothing`, `audio`, `seed`.
        first, last: the range of the clip's frames.
    """

    pairs: Pairs | None = None
    scene: SceneChoice = "reference"
    backdrop: Path | None = None
    backdrop_name: str = ""
    objects: tuple[Click, ...] = ()
    proportions: Retarget | None = None
    model: str = PUPPET_WARP
    calm: bool = False
    sound: bool = True
    seed: int = 0
    first: int | None = None
    last: int | None = None

    @property
    def output(self) -> str:
        """Name of the video."""
        return "video.webm" if self.scene == "transparent" else "video.mp4"

    def options(self, sheet: Path | None = None) -> AnimateOptions:
        """As `animate` takes them."""
        one = self.pairs[0] if self.pairs and len(self.pairs) == 1 else (0, 0)
        several = self.pairs if self.pairs and len(self.pairs) > 1 else None
        scene = self.backdrop if self.scene == "picture" and self.backdrop else self.scene
        return AnimateOptions(
            max_people=LOOK.max_people, reference_person=one[0], person=one[1], pairs=several, model=self.model, seed=self.seed,
            scene=scene, retarget=self.proportions, smoothing=self.calm, audio=self.sound, sheet=sheet,
        )  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """Everything that makes a video."""

    still: Still
    clip: Clip
    choices: Choices

    def pairs(self) -> Pairs:
        """Who moves as whom: as chosen, or as the library chooses."""
        people, driving = self.still.people, self.clip.people
        if people is None or driving is None:
            return ()
        chosen = self.choices.pairs
        if chosen is not None and all(one < people.people and other < driving.people for one, other in chosen):
            return chosen
        return choose_pairs(people, driving, LOOK)

    def fixed(self) -> "Setup":
        """With the pairs named, so that they stay what they are."""
        return replace(self, choices=replace(self.choices, pairs=self.pairs()))


def look_at_still(path: Path, name: str, show: Callable[[Still], None], report: Progress = silent) -> Still:
    """Open a picture and look for people; shown what is known each time when more is.

    Raises:
        BunrakuError: not a picture. Nobody in it is a note.
    """
    report("look", 0, 1)
    opened = open_reference(path)
    still = Still(path.parent.name, name, path, opened.size)
    factor = min(1, SHOWN_SIDE / max(still.size))
    size = max(1, round(still.size[0] * factor)), max(1, round(still.size[1] * factor))
    Image.fromarray(resize(opened.image, size)).save(still.shown, quality=90)
    show(still)
    report("people", 0, 1)
    try:
        with heard() as notes:
            people = opened.people(LOOK)
            for person in range(people.people):
                opened.tell_doubts(people.person(person), LOOK)
        still = replace(still, found=people, notes=tuple(notes))
    except BunrakuError as error:
        return replace(still, notes=(str(error),))
    show(still)
    report("outline", 0, 1)
    return outlined(still)


def drafted(still: Still) -> Still:
    """With a standing figure whose joints a person moves."""
    return replace(still, found=standing(still.size), pins=(), drafted=True, notes=())


def outlined(still: Still) -> Still:
    """With everybody's matte as the cut-out finds it, written beside the picture."""
    if still.people is None:
        return still
    height, width = Image.open(still.shown).size[::-1]
    opened = open_reference(still.path)
    matte = opened.matte if opened.matte is None or opened.matte.ndim == 2 else opened.matte.max(0)
    try:
        if matte is None:
            small = resize(opened.image, (height, width))
            matte = still_mattes(small, still.people.scaled((height, width)), create_segmenter()).max(0)
    except BunrakuError:
        return replace(still, outline=None)
    alpha = resize(matte[..., None], (height, width))[..., 0]
    path = still.path.with_name(f"outline-{len(still.pins)}.png")
    Image.fromarray(np.dstack([np.zeros((height, width, 3), np.uint8), 255 - alpha]), "RGBA").save(path)
    return replace(still, outline=path)


def look_at_clip(path: Path, name: str, show: Callable[[Clip], None], report: Progress = silent) -> Clip:
    """Open a motion, make what the page plays, and look for people, unless cues lie beside it; shown what is known each time when more is.

    Raises:
        BunrakuError: no motion, or nobody in it.
    """
    report("look", 0, 1)
    driving = open_driving(path, LOOK)
    clip = Clip(path.parent.name, name, path, driving)
    frames = driving.source
    if not isinstance(frames, Cues):
        proxy, height = path.with_name("shown.mp4"), min(PROXY_HEIGHT, frames.size[0])
        size = height // 2 * 2, max(2, round(frames.size[1] * height / frames.size[0] / 2) * 2)
        with VideoWriter(proxy, fps=frames.fps, size=size, crf=23, audio_from=driving.sound) as video:
            for number, frame in enumerate(frames, 1):
                video.write(resize(frame, size))
                report("prepare", number, len(frames))
        clip = replace(clip, proxy=proxy)
    show(clip)
    if (known := path.with_suffix(".cues")) != path and known.exists():
        return replace(clip, found=Cues.load(known))
    with heard() as notes:
        cues = driving.cues(LOOK, longest_side=SHOWN_SIDE, on_frame=lambda done, total: report("people", done, total))
    return replace(clip, found=cues, notes=tuple(notes))


def thing_file(clip: Clip, click: Click) -> Path:
    """Where the page finds the picture of a thing that was clicked: opaque where it is in its frame."""
    return clip.path.with_name(f"thing-{'-'.join(f'{place:.0f}' for place in click.place)}-{click.frame}.png")


def find_thing(clip: Clip, click: Click) -> None:
    """Write the picture of a thing that was clicked.

    Raises:
        BunrakuError: nothing stands out there, or there is no such place.
    """
    frames = clip.driving.source
    if clip.proxy is None or not 0 <= click.frame < len(frames):
        raise BunrakuError("there is no such frame")
    click.check(frames.size)
    frame = FramesByNumber(open_frames(clip.proxy))[[click.frame]][0]
    mask = click.find(frame, frames.size)
    tinted = np.concatenate(
        [np.broadcast_to(np.array(TINT, np.uint8), frame.shape), 255 * mask[..., None].astype(np.uint8)], -1
    )
    Image.fromarray(tinted, "RGBA").save(thing_file(clip, click))


def retargeted(setup: Setup) -> tuple[PoseTrack, bool]:
    """The motion as it is brought onto the characters, (F, N, K), and whether it is in pixels of the driver's picture instead of the still's.

    Raises:
        BunrakuError: nothing to bring, or nobody to bring it onto.
    """
    choices = setup.fixed().choices
    options = choices.options()
    clip, size = setup.clip.part(choices.first, choices.last), setup.still.size
    still = Reference(setup.still.path, np.broadcast_to(np.uint8(0), (*size, 3)), setup.still.people)
    cast = perceive_cast(still, clip, options)
    own, cues = cast.moved, cast.cues
    inside = choices.scene == "driving"
    canvas = choose_canvas(
        size, cues.size if inside else size, any_size=inside, multiple=2, scene=cues.size if inside else None
    )
    poses = canvas.poses(cues, own, options.retargeting)
    if not isinstance(poses, PoseTrack):
        raise BunrakuError("drawn skeletons have no joints that could be shown on the character")
    if options.refine:
        from bunraku.weights.loading import mended  # imports torch, which takes seconds

        poses = mended(poses, canvas.track(own))
    return poses, inside
