"""Files that cleser writes: where they are kept, and that nobody ever sees half of one."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError


def cache_folder() -> Path:
    """Where what was computed is kept: ``$CLESER_CACHE``, else ``cleser`` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cleser"
    return Path(os.environ.get("CLESER_CACHE", default))


@contextmanager
def in_cache(kept: str, cache: Path | None = None) -> Iterator[None]:
    """Say of a failure to write to the cache that it is the cache, and how to have another.

    Args:
        kept: What is written to it, for the message.
        cache: The folder; by default :func:`cache_folder`.

    Raises:
        OSError: The cache, a folder above it or a file in it cannot be made. Other errors pass as they are.

    >>> from pathlib import Path
    >>> with in_cache("features", Path("/dev/null/mine")):
    ...     Path("/dev/null/mine").mkdir()
    Traceback (most recent call last):
    NotADirectoryError: /dev/null/mine: the cache, where features are kept, cannot be written (Not a directory); ...
    """
    folder = cache or cache_folder()
    try:
        yield
    except OSError as error:
        at = None if error.filename is None else Path(os.fsdecode(error.filename))
        if at is None or not (at.is_relative_to(folder) or folder.is_relative_to(at)):
            raise
        raise type(error)(
            f"{folder}: the cache, where {kept} are kept, cannot be written ({error.strerror}); name another folder "
            "in CLESER_CACHE"
        ) from error


_UMASK = os.umask(0)  # it can be read only by being set
os.umask(_UMASK)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file to write in place of another: it takes that one's name when the block ends, or is removed when it fails.

    A reader sees the old file or the new one, never half of one. Processes and threads that write the same file do not
    disturb one another; the last one's stays. Its folder is made where there is none. A device or a pipe, such as
    ``/dev/null``, is written to as it is.

    Args:
        path: The file's name.

    Raises:
        OSError: The file cannot be written, as on a full disk; the error names it, whoever wrote.

    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "runs" / "notes.txt"
    >>> with replacing(out) as part:
    ...     _ = part.write_text("whole")
    ...     out.exists()
    False
    >>> [file.name for file in out.parent.iterdir()]
    ['notes.txt']
    """
    final = Path(path)
    if _is_device(final):
        yield final
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f"{final.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        yield part
        part.chmod(0o666 & ~_UMASK)  # some writers keep what they write to their user
        part.replace(final)
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(final)) from error
    except SafetensorError as error:
        if (number := re.search(r"os error (\d+)", str(error))) is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(final)) from error
    finally:
        with suppress(OSError):
            part.unlink()


def _is_device(path: Path) -> bool:
    """Whether a name is that of a device, a pipe or a socket, in whose place no file may be put."""
    return path.exists() and not path.is_file() and not path.is_dir()


def check_writable(path: str | os.PathLike[str], flag: str) -> None:
    """Refuse a place where nothing can be written, before hours are spent on what would be written there.

    What is tried is to make a file in the nearest folder that exists; nothing stays of it.

    Args:
        path: A file or a folder, which need not exist.
        flag: What the user gave it as.

    Raises:
        ValueError: Nothing can be made there.

    >>> check_writable("gone/runs/a", "--out")
    """
    place = Path(path).absolute()
    if _is_device(place) and os.access(place, os.W_OK):
        return
    while not place.exists() and place != place.parent:
        place = place.parent
    if place.is_file() and place == Path(path).absolute():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ValueError(
            f"{flag} {path} cannot be written ({place}: {error.strerror}), expected a place where files can be made"
        ) from error


def write_bytes(path: str | os.PathLike[str], content: bytes, *, durable: bool = False) -> None:
    """Write a file at once, see :func:`replacing`.

    Args:
        path: The file's name.
        content: All of it.
        durable: Return only when it is on the disk, so that a power cut cannot lose it.
    """
    with replacing(path) as part:
        part.write_bytes(content)
        if durable:
            with part.open("rb+") as file:
                os.fsync(file.fileno())


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8 at once, see :func:`replacing`; line ends stay as they are."""
    write_bytes(path, text.encode())
