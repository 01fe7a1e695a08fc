"""What an installation has and lacks: versions, optional parts, devices, and whether they work together."""

from __future__ import annotations

import errno
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

State = Literal["ok", "absent", "broken"]

# What the extras of pyproject.toml are for, in the words of someone who wonders whether to install one.
PURPOSES = {
    "audformat": "databases of audformat, read and written",
    "ctc": "phone alignment by a CTC phone model (torchaudio)",
    "espeak": "phone alignment by synthesis, for any language that espeak-ng speaks",
    "faiss": "neighbour graphs compared with faiss",
    "onnx": "runs exported as ONNX files, and checked",
    "optuna": "settings suggested by Optuna (cleser tune --search optuna)",
    "opensmile": "eGeMAPS functionals",
    "peft": "LoRA when a backbone is fine-tuned",
    "pml": "losses of pytorch-metric-learning over our relations",
    "resemblyzer": "a small pretrained speaker encoder",
    "tensorboard": "training shown in TensorBoard (cleser run --tracker tensorboard)",
    "wandb": "training shown in Weights & Biases (cleser run --tracker wandb)",
}


class Finding(NamedTuple):
    """One line of the examination.

    Attributes:
        group: Group of the finding: ``"packages"``, ``"extras"``, ``"devices"``, ``"checks"`` or
            ``"plug-ins"``.
        name: Name of what was looked at.
        state: ``"ok"``; ``"absent"`` where something optional is missing; ``"broken"`` where work will fail.
        detail: What was found, and what was expected if it is not right.
    """

    group: str
    name: str
    state: State
    detail: str


def examine() -> list[Finding]:
    """Look at everything; nothing is changed, and nothing is fetched."""
    return [*_packages(), *_extras(), *_devices(), *_checks(), *_plugins()]


def installed(requirement: Requirement) -> Finding:
    """Whether a requirement is met.

    >>> installed(Requirement("numpy>=999")).detail
    '... installed, expected >=999'
    """
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        wanted = f", expected {requirement.specifier}" if requirement.specifier else ""
        return Finding("packages", requirement.name, "broken", f"not installed{wanted}")
    if not requirement.specifier.contains(version, prereleases=True):
        detail = f"{version} installed, expected {requirement.specifier}"
        return Finding("packages", requirement.name, "broken", detail)
    return Finding("packages", requirement.name, "ok", version)


def _packages() -> Iterator[Finding]:
    yield Finding("packages", "python", "ok", f"{platform.python_version()} on {_machine()}")
    for requirement in _requirements(None):
        yield installed(requirement)


def _extras() -> Iterator[Finding]:
    for extra, purpose in PURPOSES.items():
        wrong = [f for f in map(installed, _requirements(extra)) if f.state != "ok"]
        if wrong:
            lacking = "; ".join(f"{f.name} {f.detail}" for f in wrong)
            detail = f"{purpose}: {lacking} (pip install 'cleser[{extra}]')"
            yield Finding("extras", extra, "absent", detail)
        else:
            yield Finding("extras", extra, "ok", purpose)


def _requirements(extra: str | None) -> list[Requirement]:
    """Requirements of cleser, or those that an extra adds."""
    try:
        stated = [Requirement(text) for text in metadata.requires("cleser") or []]
    except metadata.PackageNotFoundError:  # run from a folder of sources, which states nothing
        return []
    if extra is None:
        return [r for r in stated if r.marker is None or r.marker.evaluate({"extra": ""})]
    chosen = (r for r in stated if r.marker is not None)
    return [
        r
        for r in chosen
        if r.marker.evaluate({"extra": extra}) and not r.marker.evaluate({"extra": ""})  # type: ignore[union-attr]
    ]


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding("devices", "cpu", "ok", f"{torch.get_num_threads()} threads")
    for i in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(i)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        detail = f"{card.name}, {card.total_memory / 2**30:.0f} GiB, {bf16}"
        yield Finding("devices", f"cuda:{i}", "ok", detail)
    if not torch.cuda.device_count():
        built = (
            f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
        )
        yield Finding("devices", "cuda", "absent", f"no card is visible ({built})")
    if torch.backends.mps.is_available():
        yield Finding("devices", "mps", "ok", "Apple GPU")


def _checks() -> Iterator[Finding]:
    checks: dict[str, Callable[[], str]] = {"audio files": _audio_files, "feature cache": _cache}
    if find_spec("torchaudio"):
        checks["torch and torchaudio"] = torch_pair
    for name, check in checks.items():
        try:
            yield Finding("checks", name, "ok", check())
        except Exception as error:  # whatever is wrong with the machine is what we are here to say
            yield Finding("checks", name, "broken", f"{type(error).__name__}: {error}")


def _plugins() -> Iterator[Finding]:
    """Recipes and readers of other packages."""
    from cleser import plugins
    from cleser.corpora.registry import GROUP as CORPORA
    from cleser.experiments.methods import GROUP as RECIPES

    for group, kind in ((RECIPES, "recipe"), (CORPORA, "reader")):
        for name, point in sorted(plugins.registered(group, kind).items()):
            if package := plugins.package_of(point):
                try:
                    plugins.load(point, kind)
                    yield Finding("plug-ins", name, "ok", f"a {kind} of the package {package}")
                except plugins.PluginError as error:
                    yield Finding("plug-ins", name, "broken", str(error))


def torch_pair() -> str:
    """Call compiled code of both packages on one tensor; versions that do not fit fail here.

    Raises:
        RuntimeError: They do not work together; the message names both versions.
    """
    import torch

    versions = f"torch {torch.__version__}, torchaudio {metadata.version('torchaudio')}"
    try:
        import torchaudio

        # Three frames that say 1, blank, 2 can be aligned with (1, 2) in one way only.
        scores = torch.full((1, 3, 3), -9.0)
        scores[0, torch.arange(3), torch.tensor([1, 0, 2])] = 0.0
        path, _ = torchaudio.functional.forced_align(
            scores, torch.tensor([[1, 2]], dtype=torch.int32)
        )
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise RuntimeError(f"{versions} do not work together: {error}") from error
    if path.tolist() != [[1, 0, 2]]:
        raise RuntimeError(f"{versions}: found the alignment {path.tolist()}, expected [[1, 0, 2]]")
    return versions


def _audio_files() -> str:
    import soundfile

    formats = [
        name for name in ("WAV", "FLAC", "OGG", "MP3") if name in soundfile.available_formats()
    ]
    return f"libsndfile {soundfile.__libsndfile_version__} reads {', '.join(formats)}"


def _cache() -> str:
    from cleser.files import cache_folder, in_cache

    folder = cache_folder()
    with in_cache("features and synthetic recordings"):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    return f"{folder}, {shutil.disk_usage(folder).free / 2**30:.0f} GiB free"
