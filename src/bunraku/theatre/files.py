"""Scenes as files: a video, a still of the character with its pose, and the motion as cues, all exact."""

from dataclasses import dataclass
from pathlib import Path

from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import sidecar, write_pose
from bunraku.media import VideoWriter, write_image
from bunraku.theatre.scene import Scene, render


@dataclass(frozen=True)
class SceneFiles:
    """What `write_scene` writes."""

    video: Path
    reference: Path
    reference_pose: Path
    cues: Path

    @classmethod
    def beside(cls, video: Path) -> "SceneFiles":
        still = video.with_suffix(".png")
        return cls(video, still, sidecar(still), video.with_suffix(".cues"))


def write_scene(scene: Scene, video: Path, frames: int, size: int | tuple[int, int]) -> SceneFiles:
    """Render a scene to `video`, and beside it NAME.png (the frame that shows most joints), NAME.pose.json and NAME.cues.

    The still with its pose is a REFERENCE, the video and the cues are each a DRIVING, and a folder of scenes is training data.
    """
    shown = render(scene, frames, size)
    still = int(shown.pose.scores.sum((1, 2)).argmax())
    files = SceneFiles.beside(video)
    with VideoWriter(video, fps=scene.fps, size=shown.frames.shape[1:3]) as writer:  # type: ignore[arg-type]
        for frame in shown.frames:
            writer.write(frame)
    write_image(files.reference, shown.frames[still])
    write_pose(shown.pose[still : still + 1], files.reference_pose)
    Cues(scene.fps, shown.pose.size, f"{video.name}, theatre", shown.pose).save(files.cues)
    return files
