r"""A finished run as an ONNX model: features in, probabilities and attributes out, in any runtime.

The model takes features as a store keeps them (:class:`cleser.features.pooled.Features`), standardises them by the
source's statistics, as ``cleser predict --alone`` does, and averages what the seeds' networks give:

=============  =========  ===========================================================================
input          shape      what
=============  =========  ===========================================================================
``summaries``  [B, L, C]  mean and standard deviation of each utterance's frames, by layer
``tokens``     [S, L, C]  the same of its phones, or stretches of .1 s, one utterance after another
``counts``     [B] int64  how many tokens each utterance has; they sum to S
=============  =========  ===========================================================================

``probabilities`` [B, K] of emotions and ``attributes`` [B, A] come out, as far as the run has learned them. Recipes
that read no tokens have the first input alone. B and S may be any number.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from cleser.experiments.experiment import Fitted
from cleser.experiments.neural import FittedRecipe
from cleser.experiments.saved import SavedRun
from cleser.features.normalisation import CLAMP, inverse
from cleser.models.batch import Batch
from cleser.models.segments import owners, pool_segments

OPSET: Final = 18
_AGREES: Final = 1e-4  # probabilities that differ by more are no rounding


class Classifier(nn.Module):
    """What a run's networks make of features that nobody has standardised.

    Args:
        run: Opened from its folder.

    Raises:
        ValueError: It was trained from audio, or its recipe cannot be exported.
    """

    def __init__(self, run: SavedRun) -> None:
        super().__init__()
        if run.tuning.from_audio:
            raise ValueError(
                f"{run.settings['recipe']} was trained from audio, with a backbone of its own: as ONNX, runs on "
                "kept features can be exported"
            )
        self.seeds = nn.ModuleList(
            _module(fitted, run.settings["recipe"]) for fitted in run.networks
        )
        self.reads_tokens = run.tokens
        learned = {"probabilities": run.protocol.classes, "attributes": run.protocol.regressed}
        self.outputs = tuple(name for name, of in learned.items() if of)
        self.alone = run.protocol.normalisation == "utterance"
        for name, values in run.moments._asdict().items():
            known = inverse(values) if name.endswith("std") else values
            self.register_buffer(name, known.float())

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return ("summaries", "tokens", "counts") if self.reads_tokens else ("summaries",)

    def examples(self, utterances: int, tokens: int) -> tuple[Tensor, ...]:
        """Random inputs as the source's features are distributed.

        Args:
            utterances: B.
            tokens: S, at least one for each utterance; the first ones have one more where it does not come out even.
        """
        mean, inverse_std = self.get_buffer("summary_mean"), self.get_buffer("summary_std")
        spread = torch.where(inverse_std > 0, 1 / inverse_std.clamp_min(1e-30), 0)
        summaries = mean + spread * torch.randn(utterances, *mean.shape)
        own = self.get_buffer("token_mean") + torch.randn(tokens, *mean.shape)
        edges = torch.arange(utterances + 1) * tokens // utterances
        return (summaries, own, edges.diff())[: len(self.inputs)]

    def forward(
        self, summaries: Tensor, tokens: Tensor | None = None, counts: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Probabilities [B, K] and attributes [B, A], those of ``outputs``."""
        if tokens is None or counts is None:
            tokens = summaries.new_zeros(0, *summaries.shape[1:])
            counts = torch.zeros_like(summaries[:, 0, 0], dtype=torch.long)
        offsets = nn.functional.pad(counts.cumsum(0), (1, 0))
        batch = self._standardised(summaries, tokens, offsets)
        found = [seed(batch) for seed in self.seeds]
        return tuple(torch.stack([each[name] for each in found]).mean(0) for name in self.outputs)

    def _standardised(self, summaries: Tensor, tokens: Tensor, offsets: Tensor) -> Batch:
        of = dict(self.named_buffers(recurse=False))
        summaries = (summaries - of["summary_mean"]) * of["summary_std"]
        if self.alone and self.reads_tokens:
            flat = tokens.double().flatten(1)
            mean, std = pool_segments(flat, offsets).chunk(2, 1)
            owner = owners(offsets, flat.shape[0])
            tokens = ((flat - mean[owner]) * inverse(std)[owner]).float().view_as(tokens)
        else:
            tokens = (tokens - of["token_mean"]) * of["token_std"]
        none = torch.zeros_like(summaries[:, 0, 0])
        return Batch(
            tokens=tokens.clamp(-CLAMP, CLAMP),
            offsets=offsets,
            summaries=summaries.clamp(-CLAMP, CLAMP),
            labels={},
            phonemes=torch.full_like(tokens[:, 0, 0], -1, dtype=torch.long),
            weight=none + 1,
        )


class _Networks(nn.Module):
    """The mean of several networks' outputs, emotions as probabilities."""

    def __init__(self, fitted: FittedRecipe) -> None:
        super().__init__()
        self.recipes = nn.ModuleList(member.recipe for member in fitted.members)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``probabilities`` [B, K] and, where they are learned, ``attributes`` [B, A]."""
        embedded = [recipe.embed(batch) for recipe in self.recipes]  # type: ignore[operator]
        found = {"probabilities": torch.stack([e.logits for e in embedded]).mean(0).softmax(-1)}
        if embedded[0].attributes is not None:
            numbers = torch.stack([e.attributes for e in embedded]).mean(0)
            found["attributes"] = numbers.clamp(-1, 1)
        return found


class _Statistical(nn.Module):
    """What is no network, of utterance statistics."""

    def __init__(self, fitted: Any) -> None:
        super().__init__()
        self.fitted = fitted

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """As of networks."""
        x = batch.summaries.flatten(1)
        found = {"probabilities": self.fitted.shares(x)}
        ridge = getattr(self.fitted, "ridge", None)
        return found if ridge is None else {**found, "attributes": ridge(x)}


def _module(fitted: Fitted, recipe: str) -> nn.Module:
    if isinstance(fitted, FittedRecipe):
        return _Networks(fitted)
    if hasattr(fitted, "shares"):
        return _Statistical(fitted)
    raise ValueError(
        f"{recipe} cannot be exported as ONNX: expected a network, or an object with a method shares"
    )


def write_onnx(run: SavedRun, path: Path) -> Path:
    """Write a run as ONNX, once onnxruntime has given the numbers that the run gives.

    Args:
        run: Opened from its folder.
        path: The file to write.

    Returns:
        ``path``.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is missing (``pip install cleser[onnx]``).
        ValueError: The run cannot be exported, or the exported model gives other numbers.
    """
    try:
        import onnxruntime  # noqa: F401, PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise ImportError(f"{error}: install them with pip install 'cleser[onnx]'") from error
    model = Classifier(run).eval()
    sizes = {"summaries": "utterances", "tokens": "tokens", "counts": "utterances"}
    dims = {name: torch.export.Dim(name) for name in set(sizes.values())}
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            model,
            model.examples(3, 7),
            input_names=model.inputs,
            output_names=model.outputs,
            dynamic_shapes=tuple({0: dims[sizes[name]]} for name in model.inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    described = {
        "emotions": ",".join(run.protocol.classes),
        "attributes": ",".join(run.protocol.regressed),
        "backbone": run.backbone.name,
    }
    program.model.metadata_props.update(described)
    with _quiet():
        program.save(path, external_data=False)
    try:
        _compare(model, path)
    except ValueError:
        path.unlink()
        raise
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings of what it does not need, as torchvision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def _compare(model: Classifier, path: Path) -> None:
    """Raise where onnxruntime gives other numbers, for one utterance and for several."""
    for utterances, tokens in ((1, 1), (5, 23)):
        inputs = model.examples(utterances, tokens)
        with torch.no_grad():
            expected = model(*inputs)
        found = outputs_of(path, dict(zip(model.inputs, inputs, strict=True)))
        for name, values in zip(model.outputs, expected, strict=True):
            apart = float((found[name] - values).abs().max())
            if not apart <= _AGREES:
                raise ValueError(
                    f"{path}: onnxruntime's {name} differ by {apart:.1e}, expected {_AGREES:.0e} at most"
                )


def outputs_of(path: Path, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What onnxruntime makes of some inputs, on the CPU: outputs by name."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {name: x.numpy() for name, x in inputs.items()})
    return dict(zip(names, map(torch.from_numpy, found), strict=True))
