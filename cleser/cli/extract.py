"""``cleser extract``: encode corpora by a backbone, and store the pooled layers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from cleser.cli.console import console


def extract(
    corpora: Positional[tuple[str, ...]],
    *,
    backbone: str = "acoustic",
    layers: tuple[str, ...] = ("all",),
    tokens: Literal["phone", "uniform", "none"] = "phone",
    statistics: Literal["mean", "mean-std"] = "mean-std",
    alignments: Path | None = None,
    out: Path | None = None,
    dtype: Literal["float16", "float32"] | None = None,
    seconds: float | None = None,
    device: str | None = None,
    verify: bool = False,
) -> None:
    """Encode corpora and keep the pooled layers; an interrupted command continues when it is given again.

    Without --out, the store is where cleser run looks when it is given the same backbone and alignments.
    accelerate launch --num_processes N -m cleser extract … shares the work among N GPUs; torchrun
    --nproc-per-node N -m cleser extract … shares it among N processes, on CPUs too.

    Args:
        corpora: Corpora, each as NAME:FOLDER.
        backbone: acoustic, or a model of transformers as NAME_OR_PATH,layers=0+6+12,dtype=bfloat16.
        layers: Layers of the backbone to keep: all; numbers as 0 3 6, 4:9 for 4 to 8; or half of them (lower, middle or
            upper). Negative numbers count from the end: --layers=-1 is the last layer. To use them, give cleser run the
            backbone as NAME,layers=0+3+6. A store of all layers also serves runs on some of them.
        tokens: What is kept in addition to each utterance's summary: phones if there are alignments, and otherwise
            segments of .1 s (phone); segments of .1 s everywhere (uniform); or nothing (none).
        statistics: Statistics over the frames of each token and utterance; recipes need both.
        alignments: A folder with a TextGrid, CTM or JSON file for each utterance or recording. Not needed for the
            synthetic corpus.
        out: Folder of the store; by default in the cache, where recipes look.
        dtype: Number format of the store, with --out; by default float16 for models of transformers and float32 for
            acoustic, as recipes read them.
        seconds: Seconds of sound that are encoded at once; by default 32 for each core and 480 on a GPU.
        device: Where the backbone runs; by default a GPU if there is one.
        verify: First read all that the store holds, and encode anew what is not as it was written, because of a failing
            disk, say.
    """
    from accelerate import PartialState

    from cleser.alignment.folder import pack_alignments
    from cleser.corpora.registry import load_all
    from cleser.features import Record, store_folder
    from cleser.features.extraction import extract_to_store
    from cleser.progress import track
    from cleser.speech import load_backbone

    if dtype is not None and out is None:
        raise ValueError(
            f"--dtype {dtype} goes with --out FOLDER: recipes read stores of their own"
        )
    if alignments is not None and tokens != "phone":
        raise ValueError(f"--alignments FOLDER goes with --tokens phone, found --tokens {tokens}")
    state = PartialState(cpu=device == "cpu")
    manifest = load_all(corpora, labels=False)
    stated = tokens == "phone" and "phones" in manifest
    phones = pack_alignments(manifest, alignments) if alignments or stated else None
    if phones is not None and phones.said:
        console.print(phones.said, highlight=False)
    model = load_backbone(with_layers(backbone, layers)).to(device or state.device)
    record = Record(tokens, std=statistics == "mean-std")
    folder = out or store_folder(model, record)
    if verify and state.is_main_process:
        console.print(_verified(folder), highlight=False, soft_wrap=True)
    state.wait_for_everyone()
    began = time.perf_counter()
    mine = len(range(state.process_index, len(manifest), state.num_processes))
    with track(f"process {state.process_index}", mine) as advance:
        extraction = extract_to_store(
            manifest,
            model,
            folder,
            record=record,
            alignments=phones,
            dtype=dtype or model.kept,
            seconds=seconds,
            share=(state.process_index, state.num_processes),
            advance=advance,
            announce=lambda said: console.print(f"{folder}: {said}", highlight=False),
            announce_from=0.0,
        )
    took = time.perf_counter() - began
    for problem in extraction.left_out:
        console.print(f"left out: {problem['path']}: {problem['reason']}", highlight=False)
    state.wait_for_everyone()
    if state.is_main_process:
        extraction.store.refresh()
        size, count = extraction.store.nbytes, len(extraction.store)
        console.print(
            f"{folder}: {count} utterances, {size:,} bytes, {took:.1f} s, "
            f"{extraction.padding:.1%} padding",
            highlight=False,
            soft_wrap=True,
        )


def _verified(folder: Path) -> str:
    """What a store held and was not as it was written, which it holds no longer."""
    from cleser.features import PooledStore

    if not (folder / "settings.json").exists():
        return f"{folder}: nothing to verify yet"
    store = PooledStore.open(folder)
    count, broken = len(store), store.verify()
    store.discard(broken)
    return (
        f"{folder}: of {count} utterances, {len(broken)} are not as they were written and are encoded anew, "
        "now or when their corpora are next extracted"
    )


def with_layers(backbone: str, layers: Sequence[str]) -> str:
    """A backbone's name with the layers that are wanted.

    Raises:
        ValueError: The layers cannot be read, or the name says some already.

    >>> with_layers("microsoft/wavlm-large,dtype=bfloat16", ["4:7", "12"])
    'microsoft/wavlm-large,dtype=bfloat16,layers=4+5+6+12'
    >>> with_layers("microsoft/wavlm-large", ["middle"])
    'microsoft/wavlm-large,layers=middle'
    >>> with_layers("microsoft/wavlm-large", ["0", "-1"])  # the first and the last
    'microsoft/wavlm-large,layers=0+-1'
    """
    from cleser.speech.backbones.spec import ACOUSTIC, PARTS, BackboneSpec

    if list(layers) == ["all"]:
        return backbone
    spec = BackboneSpec.parse(backbone)
    if spec.source == ACOUSTIC or spec.count("layers"):
        raise ValueError(
            f"--layers {' '.join(layers)} does not go with --backbone {backbone}, expected a model of "
            "transformers whose layers are not named yet"
        )
    if len(layers) == 1 and layers[0].isalpha():
        return str(spec.having("layers", layers[0]))
    numbers: list[int] = []
    for part in layers:
        if part in ("all", *PARTS):
            raise ValueError(
                f"--layers holds {part!r} beside others, expected all, lower, middle and upper to stand alone"
            )
        first, colon, last = part.partition(":")
        wrong = ValueError(
            f"--layers holds {part!r}, expected all, numbers (-1 is the last layer), a range as 4:9, lower, middle "
            "or upper"
        )
        try:
            meant = range(int(first), int(last)) if colon else [int(first)]
        except ValueError:
            raise wrong from None
        if not meant:
            raise wrong
        numbers += meant
    return str(spec.having("layers", "+".join(map(str, numbers))))
