"""Exported runs on the Hugging Face hub: opened by name, and uploaded.

A name is ``OWNER/NAME``, or ``OWNER/NAME@REVISION`` for a commit, branch or tag. Only what an exported folder holds is
fetched and sent: weights as safetensors, settings and results as JSON, the card, an ONNX model.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from cleser.evaluation.run_files import CARD, EXPORTED, EXTRACTOR, MODEL, ONNX_MODELS, RESULTS

_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
FILES: Final = (
    MODEL,
    EXPORTED,
    EXTRACTOR,
    RESULTS,
    CARD,
    *ONNX_MODELS.values(),
    "backbone/*.json",
    "backbone/*.safetensors",
)


def is_name(text: str) -> bool:
    """Whether something can be the name of a model on the hub.

    >>> is_name("someone/emotions"), is_name("someone/emotions@v1"), is_name("runs/de/en")
    (True, True, False)
    """
    return _NAME.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Whether something can be the name of a model without a revision, as where one is uploaded.

    >>> is_repository("someone/emotions"), is_repository("someone/emotions@v1")
    (True, False)
    """
    return is_name(text) and "@" not in text


def fetch(name: str) -> Path:
    """The folder of an exported run from the hub, downloaded unless the hub's cache holds it.

    Args:
        name: The repository, as ``"someone/emotions"``.

    Raises:
        ValueError: It cannot be found there or in the cache, or is no exported run.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    repository, _, revision = name.partition("@")
    try:
        folder = snapshot_download(
            repository, revision=revision or None, allow_patterns=list(FILES)
        )
    except LocalEntryNotFoundError as error:
        raise ValueError(
            f"{name} cannot be opened from the hub: its cache holds no such model, and the hub is switched off "
            "(HF_HUB_OFFLINE) or cannot be reached"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{name} cannot be opened from the hub: {reason}") from error
    return Path(folder)


def to_send(folder: Path) -> list[Path]:
    """The files of an exported run that are uploaded, relative to its folder.

    Raises:
        ValueError: The folder is no exported run.
    """
    found = sorted(path.relative_to(folder) for pattern in FILES for path in folder.glob(pattern))
    needed = {MODEL, EXPORTED, CARD}
    if missing := sorted(needed - {str(path) for path in found}):
        raise ValueError(
            f"{folder}: found no {', '.join(missing)}, expected the folder that cleser export makes"
        )
    return found


def push(folder: Path, name: str, *, private: bool = False, api: Any = None) -> str:
    """Upload an exported run as one commit; the repository is made if there is none.

    Args:
        folder: Folder that ``cleser export`` made.
        name: The repository, as ``"someone/emotions"``. Who may write there is decided by the token that ``hf auth
            login`` keeps.
        private: Make a new repository private.
        api: A ``huggingface_hub.HfApi``; that of the environment by default.

    Returns:
        The address of the commit.

    Raises:
        ValueError: The folder is no exported run, or the name cannot be one of the hub.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415

    if not is_repository(name):
        raise ValueError(f"{name!r} is no name on the hub, expected OWNER/NAME")
    files = to_send(folder)
    api = api or HfApi(library_name="cleser")
    api.create_repo(name, private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=name,
        folder_path=folder,
        allow_patterns=[path.as_posix() for path in files],
        commit_message="Upload a run of cleser",
    )
    return str(commit.commit_url)
