"""200 uploads that nobody should send, the same each time: wrong types, bombs, cut and damaged files, names that lead elsewhere."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

COUNT = 200

NAMES = (
    "../../../../tmp/escaped.png", "..\\..\\escaped.png", "/etc/cron.d/escaped", "nul\x00byte.png", "\x00", "..", ".", "",
    "a" * 5000 + ".png", "new\nline\r\nX-Injected: 1.png", "\u202egnp.exe", "CON", "aux.png", "-rf", "$(touch escaped).png",
    "`id`.png", "; rm -rf ~ ;.png", "%2e%2e%2fescaped.png", "<script>alert(1)</script>.png", "a.png/../../escaped", "reference.pose.json",
    "~root/.ssh/authorized_keys", "\ud83d\ude00.png".encode("utf-16", "surrogatepass").decode("utf-16"), "file://etc/passwd", "\u200b",
)  # fmt: skip


class Hostile(NamedTuple):
    """`name` and `content` as they are sent; `harmless`: the content is a good picture, and only the name is not."""

    name: str
    content: bytes
    harmless: bool = False


def hostile(puppets: Path, seed: int = 0) -> list[Hostile]:
    """`COUNT` of them, made of the good files of a folder (see the fixture `puppets`)."""
    rng = np.random.default_rng(seed)
    good = good_files(puppets)
    found = [Hostile(name, good["a.png"], harmless=True) for name in NAMES]
    found += wrong(rng)
    found += bombs()
    kinds = list(good)
    while len(found) < COUNT:
        name = kinds[len(found) % len(kinds)]
        damaged = bytearray(good[name])
        if len(found) % 2:
            damaged = damaged[: int(rng.integers(1, len(damaged)))]
        else:
            for place in rng.integers(0, len(damaged), max(4, len(damaged) // 200)):
                damaged[place] = rng.integers(256)
        found.append(Hostile(f"damaged-{name}", bytes(damaged)))
    return found[:COUNT]


def good_files(puppets: Path) -> dict[str, bytes]:
    """A good one of each kind that is taken."""
    files = {name: (puppets / name).read_bytes() for name in ("a.png", "a.mp4", "a.cues", "a.pose.json")}
    still = Image.open(puppets / "a.png").convert("RGB")
    for suffix in ("jpg", "webp", "gif"):
        buffer = io.BytesIO()
        more = (
            {"save_all": True, "append_images": [still.rotate(5 * i) for i in range(1, 4)]} if suffix != "jpg" else {}
        )
        still.save(buffer, suffix.replace("jpg", "jpeg"), **more)
        files[f"a.{suffix}"] = buffer.getvalue()
    return files | {"a.bvh": BVH.encode()}


def _bvh() -> str:
    """Somebody who stands still for 4 frames."""
    limbs = {
        "Head": [("Head", 0, 9)],
        "LeftArm": [("LeftArm", 2, 8), ("LeftForeArm", 0, -3), ("LeftHand", 0, -3)],
        "RightArm": [("RightArm", -2, 8), ("RightForeArm", 0, -3), ("RightHand", 0, -3)],
        "LeftLeg": [("LeftUpLeg", 1, 0), ("LeftLeg", 0, -4), ("LeftFoot", 0, -4)],
        "RightLeg": [("RightUpLeg", -1, 0), ("RightLeg", 0, -4), ("RightFoot", 0, -4)],
    }
    text = "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
    for limb in limbs.values():
        for name, x, y in limb:
            text += f"JOINT {name}\n{{\nOFFSET {x} {y} 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
        text += "End Site\n{\nOFFSET 0 -1 0\n}\n" + "}\n" * len(limb)
    joints = sum(map(len, limbs.values()))
    still = " ".join(["0"] * (6 + 3 * joints))
    return text + "}\nMOTION\nFrames: 4\nFrame Time: 0.04\n" + f"{still}\n" * 4


BVH = _bvh()


def wrong(rng: np.random.Generator) -> Iterator[Hostile]:
    scripts = {
        "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>fetch("http://127.0.0.1/")</script></svg>',
        "picture.png": b'<?xml version="1.0"?><svg onload="alert(1)"><image href="file:///etc/passwd"/></svg>',
        "laughs.svg": b'<!DOCTYPE x [<!ENTITY a "ha">' + b"".join(
            b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)
        ) + b"]><svg>&j;</svg>",
        "list.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "more.m3u8": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/steal.ts\n",
        "concat.mp4": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "session.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 1234 RTP/AVP 96\n",
        "page.html": b"<html><script>alert(document.cookie)</script></html>",
        "shell.mp4": b"#!/bin/sh\ntouch escaped\n",
        "code.py": b"import os; os.system('touch escaped')",
        "program.png": b"\x7fELF\x02\x01\x01" + rng.bytes(2000),
        "program.exe": b"MZ" + rng.bytes(2000),
        "paper.pdf": b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj",
        "type.ttf": b"\x00\x01\x00\x00" + rng.bytes(500),
        "empty.png": b"", "zeros.mp4": bytes(10_000), "noise.mp4": rng.bytes(10_000),
        "weights.pkl": pickle.dumps({"weights": [1, 2]}), "model.pt": b"PK\x03\x04" + rng.bytes(3000),
        "heic.mp4": b"\x00\x00\x00\x18ftypheic" + rng.bytes(1000),
    }  # fmt: skip
    yield from (Hostile(name, content) for name, content in scripts.items())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("../../escaped.png", bytes(30_000_000))
    yield Hostile("bomb.zip", archive.getvalue())
    yield Hostile("bomb.png", archive.getvalue())
    yield Hostile("bomb.gz", gzip.compress(gzip.compress(bytes(50_000_000))))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as packed:
        packed.addfile(tarfile.TarInfo("/etc/escaped"))
    yield Hostile("frames.tar.gz", tar.getvalue())


def bombs() -> Iterator[Hostile]:
    nothing = zlib.compress(bytes(30_000_000), 9)
    for width, height in ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (1_000_000, 1), (20_000, 20_000), (0, 0)):
        yield Hostile("wide.png", _png(width, height, nothing))
    yield Hostile("text.png", _png(64, 64, b"", _chunk(b"zTXt", b"Comment\0\0" + nothing)))
    yield Hostile("profile.png", _png(64, 64, b"", _chunk(b"iCCP", b"p\0\0" + nothing)))
    yield Hostile("ten.png", _png(64, 64, b"", *[_chunk(b"iTXt", b"k\0\1\0\0\0" + nothing)] * 10))
    yield Hostile("screen.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x2c" + bytes(200) + b";")
    yield Hostile("canvas.webp", b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(30))
    yield Hostile("wide.jpg", b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x11\0\x02\x11\0\x03\x11\0\xff\xd9")
    yield Hostile("deep.json", b"[" * 1_000_000)
    yield Hostile("deeper.json", b'{"people":' * 200_000)
    yield Hostile("number.json", b'{"people": ' + b"9" * 1_000_000 + b"}")
    person = {"pose_keypoints_2d": [0.5, 0.5, 1] * 18}
    for side in (1e18, 1e300, -1, "1"):
        yield Hostile(
            "canvas.json", json.dumps({"canvas_height": side, "canvas_width": side, "people": [person]}).encode()
        )
    strangers = [{"people": [{"person_id": [frame], **person}]} for frame in range(3000)]
    yield Hostile("crowd.json", json.dumps(strangers).encode())
    yield Hostile("long.bvh", BVH.replace("Frames: 4", "Frames: 4000000000").encode())
    yield Hostile("fast.bvh", BVH.replace("0.04", "1e-300").encode())
    yield Hostile("slow.bvh", BVH.replace("0.04", "1e300").encode())
    yield Hostile("nested.bvh", b"HIERARCHY\n" + b"ROOT a {\n" * 100_000)
    yield Hostile("nan.bvh", BVH.replace("OFFSET 0 9", "OFFSET nan inf").encode())
    for header in (
        {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"__metadata__": {"bunraku.cues": "[" * 100_000}},
        {"__metadata__": {"bunraku.cues": json.dumps({"version": 1, "fps": "1/0", "size": [1e9, 1e9], "source": ""})}},
    ):
        text = json.dumps(header).encode()
        yield Hostile("walk.cues", struct.pack("<Q", len(text)) + text)
    yield Hostile("header.cues", struct.pack("<Q", 2**26) + b"{" + bytes(100))


def _png(width: int, height: int, pixels: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), *more, _chunk(b"IDAT", pixels or zlib.compress(bytes(64 * (1 + 64 * 3))))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
