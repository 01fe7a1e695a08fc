r"""A finished run as an ONNX model: features or recordings in, probabilities and attributes out, in any runtime.

The model of features takes them as a store keeps them (:class:`cleser.features.pooled.Features`), standardises them by
the source's statistics, as ``cleser predict --alone`` does, and averages what the seeds' networks give:

=============  =========  ===========================================================================
input          shape      what
=============  =========  ===========================================================================
``summaries``  [B, L, C]  mean and standard deviation of each utterance's frames, by layer
``tokens``     [S, L, C]  the same of its phones, or stretches of .1 s, one utterance after another
``counts``     [B] int64  how many tokens each utterance has; they sum to S
=============  =========  ===========================================================================

``probabilities`` [B, K] of emotions, ``sigmoids`` [B, K] of several emotions at once (``--targets multi``) and
``attributes`` [B, A] come out, as far as the run has learned them. An utterance has the emotions whose sigmoid is at
least ``decided_at``, which stands in the model's metadata. Recipes that read no tokens have the first input alone. B
and S may be any number.

The model of recordings has the backbone, pooling and standardisation in the same graph. It takes

=============  ==========  ==========================================================================
input          shape       what
=============  ==========  ==========================================================================
``waveforms``  [B, N]      samples at the backbone's rate, mostly 16 kHz, from −1 to 1
``lengths``    [B] int64   how many samples of each are its own; what follows is padding
=============  ==========  ==========================================================================

and gives the same outputs, whatever a recording is padded with. One of fewer samples than ``shortest`` in the metadata,
of more than ``longest`` (which is there if the backbone has such a limit) or of more than N gets NaN. The backbone has
to be one model of transformers, and is computed in single precision, also where the run's is not
(``dtype=bfloat16``): probabilities then differ by the rounding of the run's. A run that was trained from audio brings
the backbone of each seed. Phones of an alignment are not known to it: tokens are stretches of .1 s, as they are in
``cleser predict`` without alignments. Nor are a speaker's other recordings, whose statistics a run's test may have
used.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cleser.evaluation.multi_label import DECIDED_AT
from cleser.experiments.export.onnx_audio import RecordingFeatures
from cleser.experiments.fitted import Fitted, offered
from cleser.experiments.neural import FittedRecipe, mean_attributes, mean_logits
from cleser.experiments.saved import SavedRun
from cleser.features.normalisation import CLAMP, inverse
from cleser.models.batch import Batch
from cleser.models.segments import owners, pool_segments
from cleser.speech.backbones import Backbone

OPSET: Final = 18
Input = Literal["features", "audio"]
_AGREES: Final = 1e-4  # probabilities that differ by more are no rounding


class Classifier(nn.Module):
    """What a run's networks make of features that nobody has standardised.

    Args:
        run: Opened from its folder.

    Raises:
        ValueError: Its recipe cannot be exported.
    """

    sizes: ClassVar[dict[str, tuple[str, ...]]] = {
        "summaries": ("utterances",),
        "tokens": ("tokens",),
        "counts": ("utterances",),
    }

    def __init__(self, run: SavedRun) -> None:
        super().__init__()
        self.seeds = nn.ModuleList(
            _module(fitted, run.settings["recipe"]) for fitted in run.networks
        )
        self.reads_tokens = run.tokens
        learned = {
            "probabilities": run.protocol.classes,
            "sigmoids": run.recognises_several,
            "attributes": run.protocol.regressed,
        }
        self.outputs = tuple(name for name, of in learned.items() if of)
        self.alone = run.protocol.normalisation == "utterance"
        for name, values in run.moments._asdict().items():
            known = inverse(values) if name.endswith("std") else values
            self.register_buffer(name, known.float())

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return ("summaries", "tokens", "counts") if self.reads_tokens else ("summaries",)

    def examples(self, utterances: int) -> tuple[Tensor, ...]:
        """Random inputs of B utterances as the source's features are distributed, with some more tokens than those."""
        tokens = 5 * utterances - 4
        mean, inverse_std = self.get_buffer("summary_mean"), self.get_buffer("summary_std")
        spread = torch.where(inverse_std > 0, 1 / inverse_std.clamp_min(1e-30), 0)
        summaries = mean + spread * torch.randn(utterances, *mean.shape)
        own = self.get_buffer("token_mean") + torch.randn(tokens, *mean.shape)
        edges = torch.arange(utterances + 1) * tokens // utterances
        return (summaries, own, edges.diff())[: len(self.inputs)]

    def forward(
        self, summaries: Tensor, tokens: Tensor | None = None, counts: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Probabilities [B, K], sigmoids [B, K] and attributes [B, A], those of ``outputs``."""
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


class RecordingClassifier(nn.Module):
    """What a run's networks make of recordings, through its backbone.

    Args:
        run: Opened from its folder.

    Raises:
        ValueError: Its backbone or its recipe cannot be exported.
    """

    sizes: ClassVar[dict[str, tuple[str, ...]]] = {
        "waveforms": ("utterances", "samples"),
        "lengths": ("utterances",),
    }
    inputs = tuple(sizes)

    def __init__(self, run: SavedRun) -> None:
        super().__init__()
        tuned = run.tuning.from_audio
        runs = [run._replace(networks=[one]) for one in run.networks] if tuned else [run]
        classifiers = [Classifier(part) for part in runs]
        self.outputs = classifiers[0].outputs
        self.classifiers = nn.ModuleList(classifiers)
        self.features = nn.ModuleList(
            RecordingFeatures(_backbone(part), tokens=part.tokens) for part in runs
        )
        backbone = _backbone(runs[0])
        self.shortest, self.longest = backbone.shortest, backbone.longest

    def examples(self, utterances: int) -> tuple[Tensor, ...]:
        """Noise of B lengths, from about a quarter of a second on, the longest first."""
        longest = 4000 + 1777 * utterances
        longest = longest if self.longest is None else min(self.longest, longest)
        lengths = torch.linspace(longest, max(self.shortest, longest // 2), utterances).long()
        inside = torch.arange(longest) < lengths[:, None]
        return 0.1 * torch.randn(utterances, longest) * inside, lengths

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Probabilities [B, K], sigmoids [B, K] and attributes [B, A] of waveforms [B, N], those of ``outputs``."""
        found = [
            classifier(*features(waveforms, lengths))
            for features, classifier in zip(self.features, self.classifiers, strict=True)
        ]
        # Behind the recordings stands what holds the padding of their tokens.
        means = (torch.stack(of).mean(0) for of in zip(*found, strict=True))
        heard = self._heard(lengths, waveforms.shape[1])[:, None]
        return tuple(torch.where(heard, mean[: waveforms.shape[0]], torch.nan) for mean in means)

    def _heard(self, lengths: Tensor, samples: int) -> Tensor:
        """Which recordings the backbone can hear, bool [B]."""
        possible = (lengths >= self.shortest) & (lengths <= samples)
        return possible if self.longest is None else possible & (lengths <= self.longest)

    @property
    def limits(self) -> dict[str, str]:
        """How many samples a recording must and may have, by name."""
        found = {"shortest": self.shortest, "longest": self.longest}
        return {name: str(samples) for name, samples in found.items() if samples is not None}


def _backbone(run: SavedRun) -> Backbone:
    """The run's, or the one that its first network was trained with."""
    first = run.networks[0]
    encoder = first.members[0].encoder if isinstance(first, FittedRecipe) else None
    return run.backbone if encoder is None else encoder.backbone


class _Networks(nn.Module):
    """The mean of several networks' outputs, emotions as probabilities."""

    def __init__(self, fitted: FittedRecipe) -> None:
        super().__init__()
        self.recipes = nn.ModuleList(member.recipe for member in fitted.members)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``probabilities`` and ``sigmoids`` [B, K] and, where they are learned, ``attributes`` [B, A]."""
        embedded = [recipe.embed(batch) for recipe in self.recipes]  # type: ignore[operator]
        logits = mean_logits([e.logits for e in embedded])
        found = {"probabilities": logits.softmax(-1), "sigmoids": logits.sigmoid()}
        if embedded[0].attributes is not None:
            found["attributes"] = mean_attributes([e.attributes for e in embedded])
        return found


class _Statistical(nn.Module):
    """A fitted classifier of utterance statistics, called as networks are.

    Args:
        shares: Turns flat statistics into probabilities.
        ridge: Turns them into attributes, if these are learned.
    """

    def __init__(
        self, shares: Callable[[Tensor], Tensor], ridge: Callable[[Tensor], Tensor] | None
    ) -> None:
        super().__init__()
        self.shares, self.ridge = shares, ridge

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``probabilities`` [B, K] and, where they are learned, ``attributes`` [B, A], as networks give them."""
        x = batch.summaries.flatten(1)
        found = {"probabilities": self.shares(x)}
        return found if self.ridge is None else {**found, "attributes": self.ridge(x)}


def _module(fitted: Fitted, recipe: str) -> nn.Module:
    if isinstance(fitted, FittedRecipe):
        return _Networks(fitted)
    offers = offered(fitted)
    if offers.shares is not None:
        return _Statistical(offers.shares, offers.ridge)
    raise ValueError(
        f"{recipe} cannot be exported as ONNX: expected a network, or an object with a method shares"
    )


def write_onnx(run: SavedRun, path: Path, *, takes: Input = "features") -> Path:
    """Write a run as ONNX, once onnxruntime has given the numbers that torch gives in single precision.

    Args:
        run: Opened from its folder.
        path: The file to write.
        takes: What the model takes.

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
    if takes == "features" and run.tuning.from_audio:
        raise ValueError(
            f"{run.settings['recipe']} was trained from audio, with a backbone of its own: there are no features to "
            "take; write the model that takes recordings (--onnx --from audio)"
        )
    model = (Classifier if takes == "features" else RecordingClassifier)(run).eval()
    with torch.no_grad(), _quiet(), sdpa_kernel(SDPBackend.MATH):
        program = torch.onnx.export(
            model,
            model.examples(3),
            input_names=model.inputs,
            output_names=model.outputs,
            dynamic_shapes=tuple(
                dict.fromkeys(range(len(model.sizes[name])), torch.export.Dim.AUTO)
                for name in model.inputs
            ),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    described = {
        "emotions": ",".join(run.protocol.classes),
        "attributes": ",".join(run.protocol.regressed),
        "backbone": run.backbone.name,
        "rate": str(run.backbone.rate),
    }
    if run.recognises_several:
        described["decided_at"] = str(DECIDED_AT)
    if isinstance(model, RecordingClassifier):
        described |= model.limits
    program.model.metadata_props.update(described)
    for graph in program.model.graphs():
        for (
            node
        ) in graph:  # where in whose files each operation was written, which is nobody's business
            node.metadata_props.clear()
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
    """Hide the exporter's warnings about what it does not need, as torchvision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def _compare(model: Classifier | RecordingClassifier, path: Path) -> None:
    """Raise where onnxruntime gives other numbers, for one utterance and for several."""
    for utterances in (1, 5):
        inputs = model.examples(utterances)
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
