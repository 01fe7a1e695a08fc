"""``cleser extract``: corpora through a backbone into a store of pooled layers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from cleser.cli.console import console


def extract(
    corpora: Positional[tuple[str, ...]],
    *,
    out: Path,
    backbone: str = "acoustic",
    pool: Literal["token", "phone", "utterance"] = "utterance",
    token: float = 0.1,
    std: bool = False,
    alignments: Path | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    seconds: float | None = None,
    device: str | None = None,
) -> None:
    """Encode corpora and keep all layers, pooled; the same command goes on where it was stopped.

    accelerate launch --num_processes N -m cleser extract … shares the work among N GPUs, torchrun
    --nproc-per-node N -m cleser extract … among N processes on CPUs too.

    Args:
        corpora: Each as NAME:FOLDER.
        out: Folder of the store.
        backbone: acoustic, or a model of transformers as NAME_OR_PATH,layers=0+6+12,dtype=bfloat16.
        pool: Over stretches of equal length, over phones, or over the whole utterance.
        token: Length of such a stretch, in seconds.
        std: Keep the standard deviation of the frames beside their mean.
        alignments: For phones: a folder with a TextGrid, CTM or JSON file for each utterance or recording.
        dtype: How values are kept.
        seconds: How much sound is encoded at once; by default 32 for each core and 480 on a GPU.
        device: By default a GPU where there is one.
    """
    import pandas as pd  # noqa: PLC0415
    from accelerate import PartialState  # noqa: PLC0415

    from cleser.alignment import load_alignments  # noqa: PLC0415
    from cleser.corpora import load  # noqa: PLC0415
    from cleser.features.extraction import Pooling, extract_to_store  # noqa: PLC0415
    from cleser.progress import track  # noqa: PLC0415
    from cleser.speech import load_backbone  # noqa: PLC0415

    if (pool == "phone") != (alignments is not None):
        raise ValueError("--pool phone and --alignments FOLDER belong together, found one of them")
    state = PartialState(cpu=device == "cpu")
    manifest = pd.concat([load(spec) for spec in corpora], ignore_index=True)
    phones = None if alignments is None else load_alignments(manifest, alignments)
    if phones is not None and phones.problems:
        console.print(phones.summary(), highlight=False)
    model = load_backbone(backbone).to(device or state.device)
    on_gpu = str(device or state.device).startswith("cuda")
    began = time.perf_counter()
    mine = len(range(state.process_index, len(manifest), state.num_processes))
    with track(f"process {state.process_index}", mine) as advance:
        extraction = extract_to_store(
            manifest,
            model,
            out,
            pooling=Pooling(pool, token, std),
            alignments=phones,
            dtype=dtype,
            seconds=seconds or (480.0 if on_gpu else 32.0),
            share=(state.process_index, state.num_processes),
            advance=advance,
        )
    took = time.perf_counter() - began
    for problem in extraction.left_out:
        console.print(f"left out: {problem['path']}: {problem['reason']}", highlight=False)
    state.wait_for_everyone()
    if state.is_main_process:
        extraction.store.refresh()
        size, count = extraction.store.nbytes, len(extraction.store)
        console.print(
            f"{out}: {count} utterances, {size:,} bytes, {took:.1f} s, "
            f"{extraction.padding:.1%} padding",
            highlight=False,
            soft_wrap=True,
        )
