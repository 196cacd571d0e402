"""300 inputs that nobody should give, through the real command line: each is refused in a sentence, or gives a right result.

python benchmarks/hostile.py --json hostile.json

Commands run one after the other in a long-lived process, as a shell would see them. A refusal exits with code 2, says why and leaves nothing
behind; a result can be read again. Anything else is a fault: a traceback, a death, a minute of work, 2 GiB of memory, a file left over. Files are
made, or damaged with a fixed seed. The last line counts; the exit code is 1 where there was a fault.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests make good files and uploads that nobody should send

COUNT = 300
SECONDS = 60
"""Of processor time, or so many of waiting for something else."""

MEMORY = 2 * 2**30
GUARD = 8 * 2**30
"""Of addresses, which are more than memory: the machine is to outlive a fault."""

OTHERS = ("tmp/.ses", "tmp/torchinductor_")
"""What libraries write once, wherever they run: onnxruntime a file, torch a folder for what it compiles."""

FAULT = re.compile(r"Traceback \(most recent call last\)|^  File \"", re.MULTILINE)
VIDEO = (".mp4", ".mkv", ".webm", ".gif", ".webp", ".avi", ".mov", ".m3u8", ".sdp")
STILL = (".png", ".jpg", ".bmp", ".tif", ".svg", ".exe", ".pdf")


@dataclass(frozen=True)
class Case:
    """One command. Its folder has links to the good files, and what `make` puts there.

    Attributes:
        arguments: of `bunraku`, with --json where the command knows it.
        make: puts the hostile file into the folder.
    """

    name: str
    arguments: tuple[str, ...]
    make: Callable[[Path], object] = lambda folder: None


@dataclass
class Verdict:
    """What became of a case; `faults` is empty where all is well."""

    name: str
    command: str
    code: int | None
    said: str
    seconds: float
    peak_mib: float
    faults: list[str] = field(default_factory=list)


# --- good files ------------------------------------------------------------------------------------------------------------------


def make_good(folder: Path) -> None:
    """A good file of every kind."""
    from PIL import Image

    from bunraku.cues.cues import Cues
    from bunraku.cues.openpose_json import write_openpose_json
    from bunraku.cues.skeleton import draw_skeleton
    from bunraku.evaluation.evaluate import EvaluateOptions, evaluate_clips
    from bunraku.media import VideoWriter
    from bunraku.theatre import sample_scene
    from bunraku.theatre.files import write_scene
    from tests.apps.hostile import BVH

    folder.mkdir()
    scene = sample_scene(3, "test")
    write_scene(scene, folder / "a.mp4", 8, (96, 64))
    still = Image.open(folder / "a.png").convert("RGB")
    for suffix in ("jpg", "webp", "bmp", "tif", "gif"):
        still.save(folder / f"a.{suffix}")
    mask = Image.new("L", still.size)
    mask.paste(255, (16, 16, 48, 90))
    mask.save(folder / "mask.png")
    cues = Cues.load(folder / "a.cues")
    assert cues.pose is not None
    (folder / "walk.bvh").write_text(BVH)
    write_openpose_json(cues.pose, folder / "poses")
    shutil.copy(next(iter(sorted((folder / "poses").iterdir()))), folder / "pose.json")
    drawn = draw_skeleton(cues.pose)
    for suffix in ("mp4", "mkv", "webm", "gif", "webp", "mov"):
        with VideoWriter(folder / f"drawn.{suffix}", fps=12, size=cues.size) as video:
            for frame in drawn:
                video.write(frame)
    for clips in ("made", "true"):
        (folder / clips).mkdir()
        shutil.copy(folder / "a.mp4", folder / clips)
    results, _ = evaluate_clips(folder / "made", folder / "true", folder, EvaluateOptions(metrics=("psnr", "ssim")))
    results.save(folder / "report.json")
    (folder / "clips").mkdir()
    for name in ("a.mp4", "a.cues", "a.png"):
        shutil.copy(folder / name, folder / "clips")
    (folder / "jobs.csv").write_text("reference,driving,output\na.png,a.cues,out.mp4\n")
    shutil.copytree(Path(sys.modules["bunraku"].__file__ or "").parent / "assets" / "mini", folder / "model")


# --- damage ----------------------------------------------------------------------------------------------------------------------


def damaged(content: bytes, rng: np.random.Generator, way: int) -> bytes:
    """Bytes that were a file."""
    data, size = bytearray(content), len(content)
    match way % 6:
        case 0:
            return bytes(data[: int(rng.integers(1, size))])
        case 1:
            for place in rng.integers(0, size, max(4, size // 200)):
                data[place] = rng.integers(256)
        case 2:  # where formats say how large everything is
            for place in rng.integers(0, min(size, 200), 8):
                data[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        case 3:
            start = int(rng.integers(0, size))
            data[start : start + size // 4] = bytes(len(data[start : start + size // 4]))
        case 4:
            return rng.bytes(size)
        case 5:
            start = int(rng.integers(0, size))
            data[start:start] = data[: size // 3]
    return bytes(data)


STRANGE: tuple[Any, ...] = (
    None, -1, 0, 1e308, -1e308, float("nan"), float("inf"), "", "x", [], {}, True, 10**30, [[[]]], "../../etc/passwd", "0", 2**31, 1e-320, [None], ["\ud800"],
)  # fmt: skip


def estranged(content: Any, rng: np.random.Generator) -> Any:
    """JSON with a strange value somewhere, or something left out."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = list(node) if isinstance(node, dict) else range(min(len(node), 4)) if isinstance(node, list) else ()
        for key in keys:
            places.append((node, key))
            walk(node[key])

    content = json.loads(json.dumps(content))
    walk(content)
    for _ in range(int(rng.integers(1, 3))):
        node, key = places[int(rng.integers(len(places)))]
        if isinstance(node, dict) and rng.random() < 0.2:
            node.pop(key, None)
        elif isinstance(node, dict) or key < len(node):
            node[key] = STRANGE[int(rng.integers(len(STRANGE)))]
    return content


def respelled(text: str, rng: np.random.Generator) -> str:
    """Text with a few other words."""
    parts = re.split(r"(\s+)", text)
    words = [i for i, part in enumerate(parts) if part.strip()]
    strange = ("nan", "inf", "-1", "1e400", "0", "", "x", "{", "}", "99999999999", "\x00", "ROOT", "CHANNELS", "1e-300")
    for i in rng.choice(words, int(rng.integers(1, 4))):
        parts[i] = strange[int(rng.integers(len(strange)))]
    return "".join(parts)


def safetensors(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def unpacked(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body of a safetensors file."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


# --- the corpus ------------------------------------------------------------------------------------------------------------------

AS_STILL = (
    ("animate", "{}", "a.cues", "-o", "out.mp4", "--json"),
    ("retarget", "{}", "a.cues", "-o", "out.png", "--json"),
    ("perceive", "{}", "-o", "out.pose.json", "--json"),
    ("animate", "a.png", "a.cues", "-o", "out.mp4", "--mask", "{}", "--json"),
    ("animate", "a.png", "a.cues", "-o", "out.mp4", "--scene", "{}", "--json"),
    ("animate", "a.png", "a.cues", "-o", "out.mp4", "--reference", "{}", "--json"),
)
AS_MOTION = (
    ("animate", "a.png", "{}", "-o", "out.mp4", "--json"),
    ("perceive", "{}", "-o", "out.cues", "--json"),
    ("retarget", "a.png", "{}", "-o", "out.mp4", "--json"),
    ("animate", "a.png", "{}", "-o", "out.gif", "--fps", "7", "--start", "1", "--json"),
    ("animate", "a.png", "{}", "-o", "out", "--smooth", "--sheet", "sheet.png", "--json"),
)
AS_VIDEO = (
    *AS_MOTION,
    ("animate", "a.png", "a.cues", "-o", "out.mp4", "--scene", "{}", "--json"),
    ("perceive", "{}", "-o", "out.cues", "--driving-kind", "skeleton", "--json"),
)
AS_POSE = (*AS_MOTION, ("animate", "a.png", "a.cues", "-o", "out.mp4", "--reference-pose", "{}", "--json"))
AS_WEIGHTS = (("models", "info", "{}", "--json"), ("models", "convert", "{}", "out", "--json"))


def by_name(name: str) -> tuple[tuple[str, ...], ...]:
    """The commands that a file of that name is for."""
    suffix = Path(name).suffix
    if suffix in (".pt", ".pkl", ".safetensors", ".ckpt"):
        return AS_WEIGHTS
    if suffix == ".json":
        return AS_POSE
    if suffix in (".bvh", ".cues"):
        return AS_MOTION
    return AS_VIDEO if suffix in VIDEO else AS_STILL


class Corpus:
    """Cases one by one, each a function of the seed and its number."""

    def __init__(self, good: Path, seed: int) -> None:
        self.good, self.rng, self.cases = good, np.random.default_rng(seed), list[Case]()

    def add(self, name: str, arguments: tuple[str, ...], make: Callable[[Path], object] = lambda folder: None) -> None:
        self.cases.append(Case(name, arguments, make))

    def file(self, name: str, content: bytes, commands: tuple[tuple[str, ...], ...] | None = None) -> None:
        """A hostile file of that name, in the place of the good one if there is one, to one of the commands for it."""
        commands = commands or by_name(name)
        template = commands[len(self.cases) % len(commands)]
        place = Path(name)

        def make(folder: Path) -> None:
            (folder / place.parent).mkdir(parents=True, exist_ok=True)
            (folder / place).unlink(missing_ok=True)
            (folder / place).write_bytes(content)

        self.add(name, tuple(part.replace("{}", name) for part in template), make)

    def all(self) -> list[Case]:
        for part in (self.media, self.odd, self.uploads, self.json, self.bvh, self.cues, self.weights, self.reports, self.training, self.tables, self.options):  # fmt: skip
            part()
        return self.cases

    def media(self) -> None:
        for suffix in ("mp4", "mkv", "webm", "gif", "webp", "mov"):
            for way in range(6):
                self.file(f"x.{suffix}", damaged((self.good / f"drawn.{suffix}").read_bytes(), self.rng, way))
        for suffix in ("png", "jpg", "webp", "bmp", "tif", "gif"):
            for way in range(4):
                content = damaged((self.good / f"a.{suffix}").read_bytes(), self.rng, way)
                self.file(f"x.{suffix}", content, AS_STILL)
        self.file("x.mp4", (self.good / "a.png").read_bytes())
        self.file("x.png", (self.good / "a.mp4").read_bytes())
        self.file("x.mp4", (self.good / "a.cues").read_bytes())
        self.file("x.cues", (self.good / "a.mp4").read_bytes())

    def odd(self) -> None:
        """Media that are whole, and strange."""
        from PIL import Image

        def picture(name: str, mode: str, size: tuple[int, int], colour: Any = None, **save: Any) -> None:
            buffer = io.BytesIO()
            Image.new(mode, size, colour or 0).save(buffer, Path(name).suffix[1:].replace("tif", "tiff"), **save)
            self.file(name, buffer.getvalue(), AS_STILL)

        picture("one.png", "RGB", (1, 1))
        picture("flat.png", "RGB", (20_000, 32))
        picture("deep.png", "I;16", (64, 96), 40_000)
        picture("float.tif", "F", (64, 96), float("nan"))
        picture("bits.png", "1", (64, 96))
        picture("print.tif", "CMYK", (64, 96))
        picture("large.png", "L", (12_000, 12_000))
        picture("clear.png", "RGBA", (64, 96), (0, 0, 0, 0))
        picture("profile.png", "RGB", (64, 96), icc_profile=b"nonsense" * 20)
        picture("exif.png", "RGB", (64, 96), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\xff\0\0")

        def video(name: str, times: list[int], size: tuple[int, int] = (64, 96), rate: int = 25) -> None:
            import av

            path = Path(tempfile.mkdtemp(dir=self.good)) / name
            with av.open(str(path), "w") as container:
                stream = container.add_stream("libx264", rate=rate)
                stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p"
                for time_, value in zip(times, range(1000)):
                    frame = av.VideoFrame.from_ndarray(np.full((*size[::-1], 3), value * 16 % 256, np.uint8), "rgb24")
                    frame.pts = time_
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
            self.file(name, path.read_bytes(), AS_VIDEO)

        video("black.mp4", [0, 1, 2, 3])
        video("small.mp4", [0, 1, 2, 3], (16, 16))
        video("single.mp4", [0])
        for days in (1, 1, 30):
            video("gap.mkv", [0, 1, 2, days * 24 * 3600 * 25])
        video("fast.mkv", [0, 1, 2, 3], rate=1000)
        for command in (*AS_STILL[:2], AS_MOTION[0], AS_MOTION[1], AS_WEIGHTS[0], ("train", "animate-anyone", "-o", "out", "--data", "{}")):  # fmt: skip
            self.add("pipe", tuple(part.replace("{}", "pipe") for part in command), lambda f: os.mkfifo(f / "pipe"))
        for name in ("pipe.png", "pipe.json", "pipe.bvh", "pipe.cues"):
            command = by_name(name)[0]
            self.add(name, tuple(p.replace("{}", name) for p in command), lambda f, n=name: os.mkfifo(f / n))  # type: ignore[misc]
        for device in ("/dev/zero", "/dev/null", "/dev/full"):
            self.add(device, ("animate", device, device, "-o", "out.mp4"))
        self.add("/dev/full", ("animate", "a.png", "a.cues", "-o", "/dev/full"))
        self.add("loop", ("animate", "loop.png", "a.cues", "-o", "out.mp4"), lambda f: (f / "loop.png").symlink_to("loop.png"))  # fmt: skip
        self.add("long name", ("animate", "n" * 300 + ".png", "a.cues", "-o", "out.mp4"))
        self.add("long output", ("animate", "a.png", "a.cues", "-o", "n" * 300 + ".mp4"))
        self.add("no bytes", ("animate", "a.png", "\udcff.mp4", "-o", "out.mp4"))
        self.add("empty folder", ("animate", "a.png", "empty", "-o", "out.mp4"), lambda f: (f / "empty").mkdir())

        def sizes(folder: Path) -> None:
            (folder / "frames").mkdir()
            for number in range(3):
                Image.new("RGB", (64 + 8 * number, 96)).save(folder / "frames" / f"{number}.png")

        self.add("frames of several sizes", ("animate", "a.png", "frames", "-o", "out.mp4"), sizes)

    def uploads(self) -> None:
        from tests.apps.hostile import bombs, wrong

        for found in [*bombs(), *wrong(np.random.default_rng(0))]:
            self.file(f"x{Path(found.name).suffix}", found.content)

    def json(self) -> None:
        pose = json.loads((self.good / "pose.json").read_text())
        for _ in range(24):
            self.file("x.json", json.dumps(estranged(pose, self.rng)).encode())
        text = json.dumps(pose)
        for content in (b"", b" ", b"null", b"{}", b"[]", b"[[]]", b"\xff\xfe", text.encode("utf-16"), text.encode()[:-9], b"{\"people\": []}", json.dumps([pose, {}]).encode(), json.dumps({**pose, "people": pose["people"] * 2000}).encode()):  # fmt: skip
            self.file("x.json", content)

    def bvh(self) -> None:
        text = (self.good / "walk.bvh").read_text()
        for _ in range(22):
            self.file("x.bvh", respelled(text, self.rng).encode())
        for old, new in (("Frames: 4", "Frames: 0"), ("Frames: 4", "Frames: -4"), ("0.04", "0"), ("0.04", "-0.04"), ("CHANNELS 3", "CHANNELS 999999999")):  # fmt: skip
            self.file("x.bvh", text.replace(old, new).encode())

    def cues(self) -> None:
        content = (self.good / "a.cues").read_bytes()
        header, body = unpacked(content)
        own = json.loads(header["__metadata__"]["bunraku.cues"])
        for way in range(6):
            self.file("x.cues", damaged(content, self.rng, way))
        for _ in range(12):
            told = {**header, "__metadata__": {"bunraku.cues": json.dumps(estranged(own, self.rng))}}
            self.file("x.cues", safetensors(told, body))
        for _ in range(8):
            self.file("x.cues", safetensors(estranged(header, self.rng), body))
        values = np.frombuffer(body, np.float32).copy()
        for value in (np.nan, np.inf, 1e30, -1e9):
            values[::7] = value
            self.file("x.cues", safetensors(header, values.tobytes()))
        people, frames = header["pose.keypoints"]["shape"][1], header["pose.keypoints"]["shape"][0]
        for key, shape, dtype in (
            ("pose.keypoints", [0, people, 18, 2], "F32"), ("pose.keypoints", [frames, 0, 18, 2], "F32"), ("pose.keypoints", [frames, people, 9, 4], "F32"),
            ("pose.keypoints", [frames, people, 18, 4], "BF16"), ("pose.keypoints", [frames, people, 18, 8], "F8_E4M3"),
        ):  # fmt: skip
            told = {**header, key: {**header[key], "shape": shape, "dtype": dtype}}
            if 0 in shape:
                told = {**told, "pose.scores": {"dtype": "F32", "shape": shape[:3], "data_offsets": [0, 0]}}
                told[key] = {**told[key], "data_offsets": [0, 0]}
            self.file("x.cues", safetensors(told, b"" if 0 in shape else body))

    def weights(self) -> None:
        name = "model/denoiser/diffusion_pytorch_model.safetensors"
        content = (self.good / name).read_bytes()
        header, body = unpacked(content)
        animate = (("animate", "a.png", "a.cues", "-o", "out.mp4", "--model", "model", "--steps", "1", "--stop", "2", "--json"),)  # fmt: skip
        info = (("models", "info", "model", "--json"), ("models", "convert", "model", "out", "--json"))
        for way in (0, 2, 4):
            self.file(name, damaged(content, self.rng, way), animate)
            self.file(name, damaged(content, self.rng, way), info)
        for _ in range(4):
            self.file(name, safetensors(estranged(header, self.rng), body), info)
        self.file(name, safetensors(header, bytes([255]) * len(body)), animate)  # not a number, all of them
        for part in ("model_index.json", "denoiser/config.json", "scheduler/scheduler_config.json", "vae/config.json", "image_encoder/config.json"):  # fmt: skip
            own = json.loads((self.good / "model" / part).read_text())
            for _ in range(5):
                self.file(f"model/{part}", json.dumps(estranged(own, self.rng)).encode(), animate)
        self.file("model/denoiser/config.json", b"[" * 100_000, animate)
        self.add("no denoiser", animate[0], lambda f: shutil.rmtree(f / "model" / "denoiser"))
        import torch

        for thing in ({"a": 1}, [torch.zeros(2)], {"state_dict": {"x": torch.zeros(2)}}, {"conv_in.weight": torch.zeros(())}):  # fmt: skip
            buffer = io.BytesIO()
            torch.save(thing, buffer)
            self.file("x.pt", buffer.getvalue())
            self.file("x.ckpt", damaged(buffer.getvalue(), self.rng, 1))

    def reports(self) -> None:
        compare = (("evaluate", "--compare", "report.json", "x.json", "--json"),)
        report = json.loads((self.good / "report.json").read_text())
        for _ in range(12):
            self.file("x.json", json.dumps(estranged(report, self.rng)).encode(), compare)
        for content in (b"[" * 100_000, b"{}", b"\xff", b"9" * 100_000):
            self.file("x.json", content, compare)
        score = ("evaluate", "--generated", "made", "--truth", "true", "--metrics", "psnr", "-o", "out", "--json")
        for way in range(4):
            self.file("made/a.mp4", damaged((self.good / "a.mp4").read_bytes(), self.rng, way), (score,))
        self.add("unknown metric", (*score[:6], "nonsense", *score[7:]))
        self.add("no clips", score, lambda f: (f / "made" / "a.mp4").unlink())

    def training(self) -> None:
        short = (
            "train",
            "animate-anyone",
            "-o",
            "out",
            "--set",
            "steps=1",
            "--set",
            "resolution=64",
            "--set",
            "batch=1",
        )
        for setting in ("steps=0", "steps=x", "batch=-1", "resolution=9", "resolution=[64]", "resolution=[a,b]", "sizes=[[1]]", "learning_rate=nan", "betas=[2,3]", "betas=1", "domain=x", "drop=3", "drop={pose: x}", "options={x: 1}", "styles=7", "trains=[nothing]", "trains=5", "nonsense=1", "=", "seed=-1", "seed=99999999999999999999999", "precision=int4", "workers=-1", "ema_decay=7", "keep=/dev/null/x", "vae=a.png", "vae=model", "resolution=64000", "references=0", "accumulate=0.5", "warmup=-3", "crop=24", "clip_norm=x", "steps=[[["):  # fmt: skip
            self.add(f"--set {setting}", (*short, "--set", setting))
        for data in ("nowhere", "a.png", "clips/a.mp4", "poses"):
            self.add(f"--data {data}", (*short, "--data", data))
        for init in ("nowhere", "a.png", "poses", "model/vae"):
            self.add(f"--init {init}", (*short, "--init", init))
        self.file("clips/a.cues", damaged((self.good / "a.cues").read_bytes(), self.rng, 0), ((*short, "--data", "clips"),))  # fmt: skip
        self.file("clips/a.mp4", damaged((self.good / "a.mp4").read_bytes(), self.rng, 0), ((*short, "--data", "clips"),))  # fmt: skip
        for content in (b"{", b"[]", b"\xff", b'{"output": 1, "steps": 2, "seed": 3}'):
            self.file("out/config.json", content, (short,))
        for inside in ("checkpoints/step-1/model.safetensors", "checkpoints/step-1/optimizer.bin"):
            self.file(f"out/{inside}", b"nonsense", (short,))
        index = {"version": 1, "shards": 1, "clips": [{"name": "a.mp4", "video": [0, 9], "cues": [9, 10], "seen": [], "matted": [], "maps": [], "box": []}]}  # fmt: skip
        for _ in range(4):
            content = json.dumps(estranged(index, self.rng)).encode()
            self.file("shards/bunraku-00000.json", content, ((*short, "--data", "shards"),))

    def tables(self) -> None:
        for text in ("", "\n", "reference\na.png\n", "reference,driving,output\n", "reference,driving,output\na.png,a.cues\n", "reference,driving,output,steps\na.png,a.cues,out.mp4,x\n", "reference,driving,output\na.png,a.cues,out.mp4\na.png,a.cues,out.mp4\n", "reference,driving,output,nonsense\na.png,a.cues,out.mp4,1\n", "reference,driving,output\n\x00,\x00,\x00\n", 'reference,driving,output\n"a.png,a.cues,out.mp4\n', "reference,reference,driving,output\na.png,a.png,a.cues,out.mp4\n", "reference,driving,output\n" + "x" * 200_000 + ",a.cues,out.mp4\n"):  # fmt: skip
            self.file("x.csv", text.encode(), (("animate", "--jobs", "x.csv", "--json"),))
        for content in (b"\xff\xfe\x00", bytes(5000)):
            self.file("x.csv", content, (("animate", "--jobs", "x.csv", "--json"),))

    def options(self) -> None:
        base = ("animate", "a.png", "a.cues", "-o", "out.mp4", "--json")
        for given in ("--size 0", "--size 1x1", "--size 999999x999999", "--size 20000x20000", "--size x", "--fps 0", "--fps -1", "--fps nan", "--fps 1/0", "--fps 1e99", "--fps 1000", "--start 99", "--start -1", "--stop 0", "--person 99", "--person -1", "--max-people 0", "--max-people 9999999", "--pairs 0:99", "--pairs x", "--device nonsense", "--seed -1", "--seed 99999999999999999999999", "--scene nonsense", "--strength x", "--canvas 0x0", "--sheet out.mp4", "--sheet a.png", "--side-by-side out.mp4", "--debug a.png", "--mask nowhere.png", "--reference-pose a.png", "--model nonsense", "--model a.png", "--model poses", "-o a.png", "-o nowhere/out.mp4", "-o out.xyz", "-o a.cues", "-o %d%d.png"):  # fmt: skip
            self.add(given, (*base, *given.split(" ", 1)))
        mini = (*base, "--model", "mini", "--stop", "2")
        for given in ("--steps 0", "--steps 9999", "--guidance nan", "--guidance -5", "--guidance 1e30", "--window 0", "--overlap 99", "--chain 99", "--temperature nan", "--strength pose=1e9", "--strength x=1", "--size 99999x99999", "--size 32x4096", "--seed -1"):  # fmt: skip
            self.add(f"mini {given}", (*mini, "--steps", "1", *given.split(" ", 1)))
        for given in ("--frames 0", "--frames 99999999", "--size 0", "--size 9999999", "--count 0", "--seed -1", "--seed 99999999999999999999999", "--people 9"):  # fmt: skip
            self.add(f"theatre {given}", ("theatre", "-o", "out", *given.split(" ", 1)))


def corpus(good: Path, seed: int) -> list[Case]:
    """`COUNT` cases of all kinds, spread evenly over what there is."""
    cases = Corpus(good, seed).all()
    return [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, COUNT).round().astype(int))]


# --- the process that runs commands ----------------------------------------------------------------------------------------------


def serve() -> None:
    """Run commands that come as lines of JSON on stdin, each in its folder; answers with what a shell would see."""
    answers = os.fdopen(os.dup(1), "w")
    resource.setrlimit(resource.RLIMIT_AS, (GUARD, GUARD))
    import torch  # noqa: F401  # what every command pays once is no memory of a case

    from bunraku.cli import main

    for line in sys.stdin:
        asked = json.loads(line)
        os.chdir(asked["folder"])
        tempfile.tempdir = None
        os.environ["TMPDIR"] = str(Path(asked["folder"]) / "tmp")
        Path("/proc/self/clear_refs").write_text("5")
        out, err = io.StringIO(), io.StringIO()
        sys.argv = ["bunraku", *asked["arguments"]]
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as exit:
                code = exit.code if isinstance(exit.code, int) else 1 if exit.code else 0
            except BaseException:
                import traceback

                err.write(traceback.format_exc())
                code = 1
        peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]
        print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue(), "peak": peak}), file=answers, flush=True)  # fmt: skip


class Server:
    """The process above, started again when a case has killed it or had to be stopped."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, folder: Path, arguments: tuple[str, ...]) -> tuple[dict[str, Any] | None, str]:
        """The answer, or None and why there is none."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True, cwd=Path(__file__).parents[1],
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"folder": str(folder), "arguments": arguments}) + "\n")
        process.stdin.flush()
        worked, asleep = self._state()[1], 0.0
        while not select.select([process.stdout], [], [], 0.5)[0]:
            running, seconds = self._state()
            asleep = 0 if running else asleep + 0.5  # on a crowded machine whoever waits for a core is no fault
            if seconds - worked > SECONDS or asleep > SECONDS:
                self.stop()
                return None, f"it hangs: {seconds - worked:.0f} s of work, {asleep:.0f} s asleep"
        line = process.stdout.readline()
        if line:
            return json.loads(line), ""
        code = process.wait()
        self._process = None
        return None, f"the process died of {signal.Signals(-code).name if code < 0 else code}"

    def _state(self) -> tuple[bool, float]:
        """Whether it runs or could run, and its processor seconds."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0] == "R", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# --- judgement -------------------------------------------------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, str]:
    """What is in a folder: names and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            found[str(path.relative_to(folder))] = "special"
        else:
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"  # fmt: skip
    return found


def judge(case: Case, good: Path, folder: Path, server: Server) -> Verdict:
    """Run a case in a new folder."""
    shutil.copytree(good, folder, copy_function=os.link, symlinks=True)
    (folder / "tmp").mkdir()
    case.make(folder)
    before, started = snapshot(folder), time.monotonic()
    answer, death = server.ask(folder, case.arguments)
    seconds = time.monotonic() - started
    command = " ".join(("bunraku", *case.arguments))
    if answer is None:
        return Verdict(case.name, command, None, "", seconds, 0, [death])
    said = answer["err"] + ("" if answer["code"] == 0 else answer["out"])
    verdict = Verdict(case.name, command, answer["code"], refusal(said), seconds, answer["peak"] / 1024)
    after = snapshot(folder)
    changed = {
        name
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name) and not name.startswith(OTHERS)
    }
    verdict.faults += faults(case, answer, before, after, changed, folder)
    return verdict


def refusal(said: str) -> str:
    """The sentence of a refusal, which comes last."""
    return said[said.rfind("error: ") :].strip()[:2000] if "error: " in said else said.strip()[-2000:]


def faults(
    case: Case, answer: dict[str, Any], before: dict[str, str], after: dict[str, str], changed: set[str], folder: Path
) -> Iterator[str]:
    """What is wrong with an answer."""
    if FAULT.search(answer["err"] + answer["out"]):
        yield "a traceback: " + (answer["err"] + answer["out"]).strip().splitlines()[-1]
        return
    if answer["peak"] * 1024 > MEMORY:
        yield f"{answer['peak'] / 2**20:.1f} GiB of memory"
    hidden = [name for name in changed & after.keys() if Path(name).name.startswith(".") or name.startswith("tmp/")]
    if hidden:
        yield f"left over: {hidden[0]}"
    if taken := [name for name in before if name in changed and not name.startswith("out")]:
        yield f"changed: {taken[0]}"
    match answer["code"]:
        case 2:
            if left := sorted(changed):
                yield f"refused, and left: {left[0]}"
            if not re.search(r"error: .{12}|Usage: |Invalid value|Error", answer["err"], re.DOTALL):
                yield "refused without a sentence"
        case 0:
            yield from wrong_results(case, answer, folder)
        case 1 if case.arguments[0] in ("models", "evaluate") or "--jobs" in case.arguments:
            pass  # some of many, or of a file that was to be looked at, is wrong, and was named
        case code:
            yield f"exit code {code}"


def wrong_results(case: Case, answer: dict[str, Any], folder: Path) -> Iterator[str]:
    """Results that cannot be read again, or are not what the command says of them."""
    from bunraku.cues.cues import Cues
    from bunraku.cues.openpose_json import read_openpose_json
    from bunraku.errors import BunrakuError
    from bunraku.media import open_frames, read_image

    row: dict[str, Any] = {}
    if "--json" in case.arguments:
        try:
            row = json.loads(answer["out"])
        except ValueError:
            yield "--json is not JSON"
    try:
        for name in ("out.mp4", "out.gif", "out"):
            made = folder / name
            if made.exists() and case.arguments[0] in ("animate", "retarget"):
                count = sum(1 for _ in open_frames(made))
                if name != "out.gif" and count != row.get("frames"):
                    yield f"{name} has {count} frames, not {row.get('frames')}"
        for name in ("out.png", "sheet.png"):
            if (folder / name).exists():
                read_image(folder / name)
        if (folder / "out.cues").exists():
            cues = Cues.load(folder / "out.cues")
            if cues.pose is not None and not (np.isfinite(cues.pose.keypoints).all() and np.isfinite(cues.pose.scores).all()):  # fmt: skip
                yield "poses that are not finite"
        if (folder / "out.pose.json").exists():
            read_openpose_json(folder / "out.pose.json")
    except BunrakuError as error:
        yield f"what was written cannot be read: {error}"


def run(seed: int, every: int, only: str | None, report: Callable[[Verdict], None]) -> list[Verdict]:
    """Every so many-th case, or those with `only` in their command."""
    verdicts = []
    server = Server()
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        good = Path(place) / "good"
        make_good(good)
        cases = [c for c in corpus(good, seed)[::every] if only is None or only in f"{c.name} {' '.join(c.arguments)}"]
        for leftover in good.glob("tmp*"):
            shutil.rmtree(leftover)
        try:
            for number, case in enumerate(cases):
                folder = Path(place) / f"{number}"
                verdicts.append(judge(case, good, folder, server))
                report(verdicts[-1])
                shutil.rmtree(folder)
        finally:
            server.stop()
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the damage: another one finds other faults")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th case only")
    parser.add_argument("--only", help="take the cases with this text in their command")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()

    def report(verdict: Verdict) -> None:
        state = "FAULT" if verdict.faults else {0: "works", 1: "named", 2: "refused"}[verdict.code or 0]
        print(f"{state:8}{verdict.seconds:6.1f} s  {verdict.command[:150]!r}  {'; '.join(verdict.faults)}", flush=True)

    started = time.monotonic()
    verdicts = run(options.seed, options.every, options.only, report)
    if options.json:
        options.json.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=1))
    faulty = [verdict for verdict in verdicts if verdict.faults]
    codes = Counter(verdict.code for verdict in verdicts if not verdict.faults)
    print(
        f"{len(verdicts)} hostile inputs: {codes[2]} refused in a sentence, {codes[0]} worked, {codes[1]} named as partly wrong, "
        f"{f'{len(faulty)} FAULTS' if faulty else 'nothing else happened'}; at most {max(v.peak_mib for v in verdicts):.0f} MiB and "
        f"{max(v.seconds for v in verdicts):.0f} s each, {time.monotonic() - started:.0f} s in all"
    )
    sys.exit(bool(faulty))


if __name__ == "__main__":
    main()
