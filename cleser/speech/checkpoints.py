"""Models of ``transformers`` from a folder or from the hub: backbones, speaker encoders and phone models alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError, safe_open


def open_checkpoint(
    kind: str,
    source: str | Path,
    role: str,
    *,
    revision: str | None = None,
    unused: Sequence[str] = (),
    **options: Any,
) -> tuple[Any, Any]:
    """A pretrained model and its feature extractor; code that a checkpoint brings along is never run.

    transformers fills weights that a checkpoint lacks with random numbers and a warning; here they are an error.

    Args:
        kind: Class of transformers, as ``"AutoModel"``.
        source: A folder that ``save_pretrained`` wrote, or a name on the hub.
        role: What the model is to be, for messages.
        revision: The commit, branch or tag on the hub.
        unused: Parts of the names of weights that may be missing, since nothing depends on them.
        options: More for ``from_pretrained``.

    Returns:
        The model in eval mode, and the checkpoint's own extractor, else its family's default one.

    Raises:
        ValueError: Nothing of the kind can be loaded there, weights are missing, or its extractor cannot be read.
    """
    import transformers  # noqa: PLC0415  (seconds to import)

    try:
        with _quietly(transformers.utils.logging):
            model, report = getattr(transformers, kind).from_pretrained(
                source,
                revision=revision,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
    except SafetensorError as error:
        raise _damaged(source, role, error) from error
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError) as error:
        raise not_loaded(source, role, error) from error
    missing = sorted(k for k in report["missing_keys"] if not any(u in k for u in unused))
    if missing:
        raise ValueError(
            f"{source} lacks {len(missing)} weights, the first being {missing[0]!r}, expected all of a {role}"
        )
    return model.eval(), _extractor(source, role, revision, model.config)


@contextmanager
def _quietly(logging: Any) -> Iterator[None]:
    """Hide transformers' table of weights that a checkpoint lacks (an encoder's decoder, say) and its progress bar."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def copy_checkpoint(source: str | Path, folder: Path) -> None:
    """Write a model that can be opened, and its extractor, to another folder: safetensors and settings alone."""
    import transformers  # noqa: PLC0415

    with _quietly(transformers.utils.logging):
        model, report = transformers.AutoModel.from_pretrained(
            source, trust_remote_code=False, output_loading_info=True
        )
        # What the checkpoint lacks, the decoder of an encoder say, is random here and no part of it.
        missing = report["missing_keys"]
        kept = {name: t for name, t in model.state_dict().items() if name not in missing}
        model.save_pretrained(folder, state_dict=kept)
    _extractor(source, "backbone", None, model.config).save_pretrained(folder)


def _damaged(source: str | Path, role: str, error: SafetensorError) -> ValueError:
    """The error for weights of which only a part is there, as where a model was not fetched to its end."""
    return ValueError(
        f"{_cut_off(source)} cannot be loaded as a {role}: it is cut off or damaged ({_reason(error)}); fetch the "
        "model anew"
    )


def _cut_off(source: str | Path) -> str | Path:
    """Which file of a folder's weights cannot be opened; the folder or name itself where that is not known."""
    for path in sorted(Path(source).glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError:
            return path
    return source


def not_loaded(source: str | Path, role: str, error: Exception) -> ValueError:
    """The error for a checkpoint that cannot be loaded."""
    return ValueError(f"{source} cannot be loaded as a {role}: {_reason(error)}")


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _extractor(source: str | Path, role: str, revision: str | None, config: Any) -> Any:
    """A checkpoint's own extractor, or its family's default one where it is known to have none."""
    import transformers  # noqa: PLC0415

    try:
        return transformers.AutoFeatureExtractor.from_pretrained(
            source, revision=revision, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        there = [name for name in _EXTRACTORS if not _lacks(source, name, revision)]
        if there:
            raise ValueError(
                f"{source} cannot be loaded as a {role}: {there[0]}, which says its sampling rate and "
                f"normalisation, cannot be read ({_reason(error)}); fetch the model anew, or save it and its feature "
                "extractor to a folder"
            ) from error
    if config.model_type == "whisper":
        return transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    return transformers.Wav2Vec2FeatureExtractor()


_EXTRACTORS = ("preprocessor_config.json", "processor_config.json")  # either may describe one


def _describes_one(path: Path) -> bool:
    """Whether a file is there and describes an extractor, or cannot be read; a processor may be a tokeniser alone."""
    if path.name == _EXTRACTORS[0] or not path.exists():
        return path.exists()
    try:
        return "feature_extractor" in json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return True


def _lacks(source: str | Path, name: str, revision: str | None) -> bool:
    """Whether a checkpoint is known not to have a file; that it cannot be reached says nothing."""
    from huggingface_hub import (  # noqa: PLC0415
        _CACHED_NO_EXIST,
        hf_hub_download,
        try_to_load_from_cache,
    )
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError  # noqa: PLC0415

    if Path(source).is_dir():
        return not _describes_one(Path(source) / name)
    if try_to_load_from_cache(str(source), name, revision=revision) is _CACHED_NO_EXIST:
        return True
    try:
        hf_hub_download(str(source), name, revision=revision)
    except LocalEntryNotFoundError:  # is an EntryNotFoundError too
        return False
    except EntryNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False
