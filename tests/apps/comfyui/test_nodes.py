"""The nodes, called as ComfyUI calls them: by the names of INPUT_TYPES."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bunraku.animate import AnimateOptions, animate
from bunraku.animate.reference import people_of
from bunraku.apps.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, host
from bunraku.apps.comfyui.arrays import images_of, images_of_chunks, mask_of, pictures_of
from bunraku.cues.cues import Cues
from bunraku.cues.openpose_json import write_pose
from bunraku.errors import BunrakuError
from bunraku.media import read_image, write_image
from bunraku.perception.pose import PoseTrack
from bunraku.sampling.strength import Strength


def run(node: str, **given: Any) -> tuple[Any, ...]:
    """A node's outputs; widgets that are not given have their defaults."""
    cls = NODE_CLASS_MAPPINGS[node]
    for part in cls.INPUT_TYPES().values():  # type: ignore[attr-defined]
        for name, (kind, *settings) in part.items():
            if isinstance(kind, list) and name not in given:
                given[name] = settings[0].get("default", kind[0]) if settings else kind[0]
            elif settings and "default" in settings[0]:
                given.setdefault(name, settings[0]["default"])
    made = getattr(cls(), cls.FUNCTION)(**given)
    outputs = made["result"] if isinstance(made, dict) else made
    assert len(outputs) == len(cls.RETURN_TYPES)  # type: ignore[attr-defined]
    return outputs


@pytest.fixture(scope="module")
def played() -> tuple[torch.Tensor, Cues, torch.Tensor, Cues]:
    return run("BunrakuTheatre", frames=5, size=128)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def puppet() -> Any:
    return run("BunrakuLoadModel", model="puppet-warp")[0]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ComfyUI's folders: input and output."""

    class Folders:
        @staticmethod
        def get_input_directory() -> str:
            return str(tmp_path / "input")

        @staticmethod
        def get_output_directory() -> str:
            return str(tmp_path / "output")

        @staticmethod
        def get_annotated_filepath(name: str) -> str:
            kind = "output" if name.endswith("[output]") else "input"
            return str(tmp_path / kind / name.removesuffix("[output]").strip())

        @staticmethod
        def get_save_image_path(prefix: str, folder: str) -> tuple[str, str, int, str, str]:
            return folder, prefix, 7, "", prefix

    for name in ("input", "output"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(host, "_folders", Folders)
    return tmp_path


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_every_node_is_of_the_plain_public_kind(name: str) -> None:
    cls: Any = NODE_CLASS_MAPPINGS[name]
    types = cls.INPUT_TYPES()
    assert set(types) <= {"required", "optional", "hidden"}
    assert all(isinstance(kind, str | list) for part in types.values() for kind, *_ in part.values())
    assert len(cls.RETURN_NAMES if cls.RETURN_TYPES else ()) == len(cls.RETURN_TYPES)
    assert callable(getattr(cls(), cls.FUNCTION))
    assert cls.CATEGORY == "bunraku"
    assert cls.DESCRIPTION
    assert NODE_DISPLAY_NAME_MAPPINGS[name].startswith("Bunraku ")


def test_animate_makes_what_the_command_makes(
    played: tuple[torch.Tensor, Cues, torch.Tensor, Cues], puppet: Any, tmp_path: Path
) -> None:
    image, reference, _, driving = played
    frames, alpha, fps = run(
        "BunrakuAnimate", model=puppet, image=image, driving=driving, reference=reference, mask=images_of(reference.maps["mattes"][0, :1])
    )  # fmt: skip
    write_image(tmp_path / "a.png", pictures_of(image)[0])
    write_image(tmp_path / "mask.png", np.repeat(reference.maps["mattes"][0, 0][..., None], 3, -1))
    assert reference.pose is not None
    write_pose(reference.pose, tmp_path / "a.pose.json")
    driving.save(tmp_path / "b.cues")
    options = AnimateOptions(model="puppet-warp", mask=tmp_path / "mask.png")
    animate(tmp_path / "a.png", tmp_path / "b.cues", tmp_path / "out", options)
    assert (pictures_of(frames) == np.stack([read_image(tmp_path / "out" / f"{i:04}.png") for i in range(5)])).all()
    assert frames.dtype == torch.float32
    assert (tuple(alpha.shape), float(alpha.min()), fps) == ((5, 128, 128), 1.0, 12.0)


def test_scenes(played: tuple[torch.Tensor, Cues, torch.Tensor, Cues], puppet: Any) -> None:
    image, reference, _, driving = played
    given: dict[str, Any] = {"model": puppet, "image": image, "driving": driving, "reference": reference}
    clear, alpha, _ = run("BunrakuAnimate", **given, scene="transparent")
    assert 0.02 < float((alpha > 0.5).float().mean()) < 0.6
    green = torch.zeros(1, 128, 128, 3)
    green[..., 1] = 1
    before, _, _ = run("BunrakuAnimate", **given, scene="images", scene_images=green)
    assert torch.allclose(before, clear * alpha[..., None] + green * (1 - alpha[..., None]), atol=0.02)
    with pytest.raises(BunrakuError, match="needs scene_images"):
        run("BunrakuAnimate", **given, scene="images")
    with pytest.raises(BunrakuError, match="the scene has 3 images, the motion 5 frames"):
        run("BunrakuAnimate", **given, scene="images", scene_images=green.expand(3, -1, -1, -1))
    inside, _, _ = run("BunrakuAnimate", **given, scene="driving")
    empty_corner = pictures_of(inside)[:, :8, :8], driving.pixels[range(5)][:, :8, :8]  # type: ignore[index]
    assert np.abs(empty_corner[0].astype(int) - empty_corner[1]).max() <= 2


def test_an_own_pipeline_is_opened_once_and_kept(
    played: tuple[torch.Tensor, Cues, torch.Tensor, Cues], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, reference, _, driving = played
    (model,) = run("BunrakuLoadModel", other=str(model_folder))
    monkeypatch.setattr("bunraku.animate.models.open_pipeline", lambda *_: pytest.fail("opened again"))
    one, other = (
        run("BunrakuAnimate", model=model, image=image, driving=driving, reference=reference, steps=1, seed=seed)[0]
        for seed in (1, 2)
    )
    assert one.shape == other.shape == (5, 64, 64, 3)
    assert not torch.equal(one, other)
    more, weaker = (
        run("BunrakuAnimate", model=model, image=image, driving=driving, reference=reference, steps=1, seed=1, **given)[
            0
        ]
        for given in (
            {"more_images": 1 - image},
            {"strengths": run("BunrakuStrength", condition="reference", strength=0.2)[0]},
        )
    )
    assert not torch.equal(one, more)
    assert not torch.equal(one, weaker)
    with pytest.raises(BunrakuError, match="at most 5 pictures"):
        run(
            "BunrakuAnimate",
            model=model,
            image=image,
            driving=driving,
            reference=reference,
            more_images=image.expand(5, -1, -1, -1),
        )


def test_strengths_are_a_chain() -> None:
    (first,) = run("BunrakuStrength", condition="pose", strength=0.5)
    (both,) = run("BunrakuStrength", condition="reference", strength=2.0, start=0.1, end=0.6, strengths=first)
    assert both == (Strength("pose", 0.5), Strength("reference", 2.0, 0.1, 0.6))
    (again,) = run("BunrakuStrength", condition="pose", strength=1.0, strengths=both)
    assert again == (Strength("reference", 2.0, 0.1, 0.6), Strength("pose", 1.0))
    with pytest.raises(BunrakuError, match="from a start to a later end"):
        run("BunrakuStrength", start=0.6, end=0.5)


def test_keypoints_go_out_and_come_back_into_the_same_cues(
    played: tuple[torch.Tensor, Cues, torch.Tensor, Cues],
) -> None:
    _, _, _, driving = played
    assert driving.pose is not None
    (keypoints,) = run("BunrakuCuesToKeypoints", cues=driving)
    keypoints[2]["people"][0]["pose_keypoints_2d"][0] += 5
    (edited,) = run("BunrakuKeypointsToCues", keypoints=keypoints, cues=driving)
    moved = edited.pose.keypoints - np.where(driving.pose.scores[..., None] >= 0.3, driving.pose.keypoints, 0)
    assert moved[2, 0, 0, 0] == pytest.approx(5, abs=1e-4)
    assert np.abs(moved).sum() == pytest.approx(5, abs=1e-2)
    assert edited.fps == driving.fps
    assert edited.maps.keys() == driving.maps.keys()
    (alone,) = run("BunrakuKeypointsToCues", keypoints=keypoints, fps=30.0)
    assert (alone.fps, len(alone), alone.pixels) == (30, 5, None)
    with pytest.raises(BunrakuError, match="the keypoints have 4 frames, the cues 5"):
        run("BunrakuKeypointsToCues", keypoints=keypoints[:4], cues=driving)
    with pytest.raises(BunrakuError, match="nobody is in any of the 5 frames"):
        run("BunrakuKeypointsToCues", keypoints=[frame | {"people": []} for frame in keypoints])


def test_masks_have_colours_that_can_be_edited(played: tuple[torch.Tensor, Cues, torch.Tensor, Cues]) -> None:
    _, _, _, driving = played
    identities, mask = run("BunrakuCuesToMasks", cues=driving)
    assert (pictures_of(identities)[..., 0] == driving.maps["mattes"][:, 0]).all()
    assert torch.equal(mask, images_of(driving.maps["mattes"][:, 0]))
    identities[:, :10] = 0
    (edited,) = run("BunrakuMasksToCues", cues=driving, identities=identities)
    assert not edited.maps["mattes"][:, :, :10].any()
    assert (edited.maps["mattes"][:, :, 10:] == driving.maps["mattes"][:, :, 10:]).all()
    with pytest.raises(BunrakuError, match="there is no person 3: 1 are known"):
        run("BunrakuCuesToMasks", cues=driving, person=3)
    with pytest.raises(BunrakuError, match="turn on `layers`"):
        run("BunrakuCuesToMasks", cues=Cues(driving.fps, driving.size, "poses", pose=driving.pose))


def test_people_are_put_in_order(played: tuple[torch.Tensor, Cues, torch.Tensor, Cues]) -> None:
    _, _, _, driving = played
    one = driving.pose
    assert one is not None
    two = PoseTrack(np.concatenate([one.keypoints, one.keypoints + 1], 1), np.repeat(one.scores, 2, 1), one.size)
    mattes = np.concatenate([driving.maps["mattes"], 0 * driving.maps["mattes"]], 1)
    cues = Cues(driving.fps, driving.size, "two", pose=two, maps={"mattes": mattes})
    (swapped,) = run("BunrakuChoosePeople", cues=cues, people="1, 0")
    assert (swapped.pose.keypoints == two.keypoints[:, ::-1]).all()
    assert (swapped.maps["mattes"] == mattes[:, ::-1]).all()
    for wrong in ("2", "0,0", "", "-1", "a"):
        with pytest.raises(BunrakuError, match="people"):
            run("BunrakuChoosePeople", cues=cues, people=wrong)
    with pytest.raises(BunrakuError, match="such as 0:1,1:0"):
        run("BunrakuRetargetPreview", image=played[0], driving=driving, pairs="0,1")


def test_retargeting_is_seen_before(played: tuple[torch.Tensor, Cues, torch.Tensor, Cues]) -> None:
    image, reference, _, driving = played
    (every,) = run("BunrakuRetargetPreview", image=image, driving=driving, reference=reference)
    (one,) = run("BunrakuRetargetPreview", image=image, driving=driving, reference=reference, method="full")
    assert every.shape[0] == one.shape[0] == 5
    assert every.shape[2] == pytest.approx(7 / 3 * one.shape[2], rel=0.02)  # seven panels and three


def test_motions_and_cues_are_files_of_comfyui(
    folders: Path, played: tuple[torch.Tensor, Cues, torch.Tensor, Cues]
) -> None:
    _, _, _, driving = played
    run("BunrakuSaveCues", cues=driving, filename_prefix="dance")
    assert (folders / "output" / "dance_00007_.cues").is_file()
    cues, keypoints, preview, fps = run("BunrakuLoadMotion", file="dance_00007_.cues [output]", start=1, frames=3)
    assert (len(cues), len(keypoints), len(preview), fps) == (3, 3, 3, 12.0)
    driving.save(folders / "input" / "dance.cues")
    write_image(folders / "input" / "no motion.png", np.zeros((9, 9, 3), np.uint8))
    node: Any = NODE_CLASS_MAPPINGS["BunrakuLoadMotion"]
    assert node.INPUT_TYPES()["required"]["file"][0] == ["dance.cues"]
    (folders / "secret.cues").write_bytes((folders / "input" / "dance.cues").read_bytes())
    for name, message in (("../secret.cues", "is not in ComfyUI's input folder"), ("none.cues", "there is no none")):
        with pytest.raises(BunrakuError, match=message):
            run("BunrakuLoadMotion", file=name)


def test_a_still_is_looked_at_as_stills_are(monkeypatch: pytest.MonkeyPatch) -> None:
    image, reference, _, _ = run("BunrakuTheatre", frames=1, size=128)
    looked: list[np.ndarray] = []

    def find(picture: np.ndarray, *_: Any) -> PoseTrack:
        looked.append(picture)
        assert reference.pose is not None
        return reference.pose

    assert callable(people_of)
    monkeypatch.setattr("bunraku.apps.comfyui.nodes.people_of", find)
    cues, keypoints, preview = run("BunrakuPerceive", images=image, layers=True)
    assert (looked[0] == pictures_of(image)[0]).all()
    assert (len(cues), len(keypoints), tuple(preview.shape)) == (1, 1, (1, 128, 128, 3))
    truth, found = reference.maps["mattes"][0, 0] > 127, cues.maps["mattes"][0, 0] > 127
    assert (truth & found).sum() / (truth | found).sum() > 0.8


def test_masks_that_do_not_belong(played: tuple[torch.Tensor, Cues, torch.Tensor, Cues], puppet: Any) -> None:
    image, reference, _, driving = played
    given: dict[str, Any] = {"model": puppet, "image": image, "driving": driving, "reference": reference}
    for mask, message in (
        (torch.ones(1, 64, 64), "the mask has 64x64 px, the image 128x128"),
        (torch.zeros(1, 128, 128), "the mask is empty"),
        (torch.ones(2, 128, 128), "2 masks need `reference` cues with as many people"),
    ):
        with pytest.raises(BunrakuError, match=message):
            run("BunrakuAnimate", **given, mask=mask)
    with pytest.raises(BunrakuError, match="are of a picture of 128x128 px, the image has 64x64"):
        run("BunrakuAnimate", **given | {"image": torch.zeros(1, 64, 64, 3)})
    with pytest.raises(BunrakuError, match="width and height, or neither"):
        run("BunrakuAnimate", **given, width=64)


def test_tensors_and_arrays() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    assert (pictures_of(images_of(pictures)) == pictures).all()
    assert torch.equal(images_of_chunks(iter([pictures[:2], pictures[2:]]), 3), images_of(pictures))
    assert mask_of(torch.ones(4, 5), (4, 5)).shape == mask_of(torch.ones(1, 4, 5), (4, 5)).shape == (4, 5)
    assert mask_of(torch.ones(2, 4, 5), (4, 5)).shape == (2, 4, 5)
    with pytest.raises(BunrakuError, match="an IMAGE is"):
        pictures_of(torch.zeros(4, 5, 3))
    with pytest.raises(BunrakuError, match="2 frames were made of 3"):
        images_of_chunks(iter([pictures[:2]]), 3)
