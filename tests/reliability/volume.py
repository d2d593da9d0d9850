"""Small file systems that can be filled: of memory, in a mount namespace of their own, so that nobody has to be root."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.reliability.application import ROOT

BALLAST = "ballast"


class Volumes:
    """One file system over each of these folders, for as long as the `with` lasts.

    Who is started by the command `entered` sees them at their place; everybody else under `seen`.
    """

    def __init__(self, folders: Sequence[Path], size: str) -> None:
        self._folders, self._size = folders, size

    def __enter__(self) -> Volumes:
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
        mounts = [f"mount -t tmpfs -o size={self._size} tmpfs {shlex.quote(str(folder))}" for folder in self._folders]
        self._holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", " && ".join([*mounts, "echo made", "exec cat"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"made\n":
            self.__exit__()
            raise RuntimeError("no file systems can be made here: unshare(1) and user namespaces are wanted")
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.communicate()  # its input ends, and so does it

    @property
    def entered(self) -> tuple[str, ...]:
        of = f"--target={self._holder.pid}"
        return ("nsenter", of, "--user", "--mount", "--preserve-credentials", f"--wd={ROOT}")

    def seen(self, path: Path) -> Path:
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def fill(self, folder: Path, leave: int = 0) -> None:
        """Leave so many bytes of the file system under a folder."""
        ballast = self.seen(folder) / BALLAST
        with ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))
            if leave:
                os.truncate(file.fileno(), max(0, file.tell() - leave))

    def free(self, folder: Path) -> None:
        (self.seen(folder) / BALLAST).unlink()
