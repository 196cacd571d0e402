"""The pictures of docs/gallery.md: runs the commands of that page, and puts what they write beside it.

python examples/gallery.py --work out/gallery
"""

import argparse
import re
import shutil
import subprocess
from pathlib import Path

from bunraku.media import read_image, resize, write_image

DOCS = Path(__file__).parents[1] / "docs"
WIDEST = 1600  # pixels of a picture on the page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/gallery"), help="folder that the commands run in")
    work = parser.parse_args().work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL):
        for command in block.splitlines():
            print(f"$ {command}", flush=True)
            subprocess.run(command.split(), cwd=work, check=True)
    for name in re.findall(r"\(gallery/([\w.]+)\)", page):
        picture = read_image(work / name)
        height, width = picture.shape[:2]
        scale = min(1, WIDEST / width)
        write_image(DOCS / "gallery" / name, resize(picture, (round(height * scale), round(width * scale))))
        print(DOCS / "gallery" / name)


if __name__ == "__main__":
    main()
