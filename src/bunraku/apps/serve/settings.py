"""What the server grants, and to whom."""

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bunraku.apps.uploads import Limits
from bunraku.errors import BunrakuError

LEAST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Settings:
    """Everything about a server that can be chosen.

    Attributes:
        work: folder of the server's own, in which everything is kept.
        owners: who may come, by the SHA-256 of their token, in hexadecimal.
        models: what may be asked for.
        limits: of each uploaded file; its frames and seconds also of what is made.
        side: longest side of a picture that is made, px.
        devices: of the workers, one each; None: the best there is.
        queue, queue_each: jobs that may wait, of all and of one owner.
        storage_each: bytes that the files of one owner may have.
        uploads: files that are received at the same time.
        minutes: how long a job may compute.
        memory: bytes that a worker may occupy.
        keep_hours: after which files, and jobs that have ended, are deleted.
    """

    work: Path
    owners: Mapping[str, str] = field(repr=False)
    models: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)
    side: int = 2048
    devices: tuple[str | None, ...] = (None,)
    queue: int = 100
    queue_each: int = 20
    storage_each: int = 2 * 2**30
    uploads: int = 4
    minutes: float = 30
    memory: int = 16 * 2**30
    keep_hours: float = 24

    def owner(self, token: str) -> str | None:
        """Whose token this is."""
        return self.owners.get(digest(token))


def digest(token: str) -> str:
    """How a token is known: comparing digests tells nothing of the token by the time it takes."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path) -> dict[str, str]:
    """Who may come: a file of lines NAME TOKEN, as `Settings.owners`; where there is none, it is made, with one token for `me`.

    Raises:
        BunrakuError: no file that can be read or made, a line of another form, a token that can be guessed, or one of two people.
    """
    try:
        if not path.exists():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"me {secrets.token_urlsafe(32)}\n")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BunrakuError(f"the tokens {path} cannot be read ({error}) (--tokens)") from error
    owners: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if (found := re.fullmatch(r"\s*(\S+)\s+(\S+)\s*", line)) is None or len(found[2]) < LEAST_TOKEN:
            raise BunrakuError(
                f"line {number} of {path} is not NAME TOKEN with a token of at least {LEAST_TOKEN} characters (--tokens)"
            )
        if digest(found[2]) in owners:
            raise BunrakuError(f"line {number} of {path} has the token of another line; everybody has an own one")
        owners[digest(found[2])] = found[1]
    if not owners:
        raise BunrakuError(f"there is no token in {path}; write a line NAME TOKEN (--tokens)")
    return owners
