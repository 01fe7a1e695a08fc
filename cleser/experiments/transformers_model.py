"""Exported runs as models of ``transformers``: after this import, ``pipeline("audio-classification")`` opens them.

No code is downloaded with a model: its classes are defined here, and ``trust_remote_code`` stays False::

    import cleser.experiments.transformers_model
    from transformers import pipeline

    classify = pipeline("audio-classification", model="model")  # what cleser export made, or OWNER/NAME
    classify({"raw": waveform, "sampling_rate": 16000})

A run that recognises several emotions at once (``--targets multi``) gives the probability of each, and ``decided_at``
in the model's ``config`` is that from which a recording has the emotion; other runs give probabilities that sum to one.

Recordings are recognised as by ``cleser predict --alone``: each by itself, standardised by the source's statistics. But
they are not cut into windows, and silence gets a label too. If a store keeps a backbone's features in half precision,
probabilities differ by its rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from cleser.evaluation.multi_label import DECIDED_AT
from cleser.experiments.export import hub
from cleser.experiments.fitted import Fitted, offered
from cleser.experiments.neural import FittedRecipe, mean_logits
from cleser.experiments.saved import SavedRun, open_run
from cleser.features.moments import Moments
from cleser.training.audio import AudioEncoder, WaveformBatch

# It stands beside the package export and not in it, since scripts of those who use exported runs hold the line above.
# Wherever it moved to, that line would have to keep working.


class CleserConfig(PretrainedConfig):
    """The settings of an exported run, ``config.json``."""

    model_type = "cleser"


class CleserForAudioClassification(PreTrainedModel):
    """A run's networks behind its backbone.

    Args:
        config: Names the emotions.
        run: Opened from its folder.

    Raises:
        ValueError: The run has learned no emotions, or describes recordings by several backbones.
    """

    config_class = CleserConfig
    main_input_name = "input_values"

    def __init__(self, config: CleserConfig, run: SavedRun) -> None:
        super().__init__(config)
        labels = run.protocol.classes
        if not labels:
            raise ValueError("the run has learned no emotions, expected --task emotion or both")
        if len(run.backbone.views) > 1:
            raise ValueError(
                f"the run describes recordings by {' and '.join(v.name for v in run.backbone.views)}, expected a "
                "run on one backbone to be opened by transformers: open this one by cleser.load_model, or recognise "
                "files by cleser predict"
            )
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: number for number, name in enumerate(labels)}
        if run.recognises_several:
            config.problem_type = "multi_label_classification"
            config.decided_at = DECIDED_AT
        self.run = run
        alone = run.protocol.normalisation == "utterance"
        self.encoder = AudioEncoder(run.backbone, run.vocabulary.phonemes, by_utterance=alone)
        self.networks = nn.ModuleList(
            member
            for fitted in run.networks
            if isinstance(fitted, FittedRecipe)
            for member in fitted.members
        )
        for name, values in run.moments._asdict().items():
            self.register_buffer(name, values.float(), persistent=False)
        nn.Module.eval(self)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name: str | Path,
        *args: Any,
        config: CleserConfig | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> CleserForAudioClassification:
        """Open an exported run, from its folder or from the hub; options of other models are of no use here."""
        return cls(config or CleserConfig(), open_run(_folder(name, revision)))

    @property
    def device(self) -> torch.device:
        """Where it computes; a run without a network has no weights that would say it."""
        return self.get_buffer("token_mean").device

    @property
    def dtype(self) -> torch.dtype:
        """Of the waveforms that are expected."""
        return torch.float32

    @torch.no_grad()
    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """Recognise waveforms [B, N], of which the mask says what is no padding.

        Returns:
            ``logits`` [B, K], the logarithms of the probabilities; of several emotions at once their log odds.
        """
        found = [
            self._probabilities(fitted, input_values, attention_mask)
            for fitted in self.run.networks
        ]
        mean = torch.stack(found).mean(0)
        return SequenceClassifierOutput(
            logits=mean.logit() if self.run.recognises_several else mean.log()
        )

    def _probabilities(self, fitted: Fitted, waveforms: Tensor, mask: Tensor | None) -> Tensor:
        sounds = self._sounds(waveforms, mask)
        if isinstance(fitted, FittedRecipe):
            logits = [
                member.recipe.embed((member.encoder or self.encoder)(sounds)).logits
                for member in fitted.members
            ]
            mean = mean_logits(logits)
            return mean.sigmoid() if self.run.recognises_several else mean.softmax(-1)
        shares = offered(fitted).shares
        # What is no network needs it to be exported, see Offered.
        assert shares is not None
        return shares(self.encoder(sounds).summaries.flatten(1).cpu()).to(waveforms.device)

    def _sounds(self, waveforms: Tensor, mask: Tensor | None) -> WaveformBatch:
        count, longest = waveforms.shape
        lengths = torch.full((count,), longest) if mask is None else mask.sum(1).long()
        moments = [self.get_buffer(name).expand(count, -1, -1) for name in Moments._fields]
        return WaveformBatch(
            waveforms=waveforms.float(),
            lengths=lengths.to(waveforms.device),
            alignments=[None] * count,
            content=[{}] * count,
            moments=Moments(*moments),
            labels={},
            weight=torch.ones(count, device=waveforms.device),
        )


def _folder(name: str | Path, revision: str | None) -> Path:
    path = Path(name)
    if path.exists() or not hub.is_name(str(name)):
        return path
    return hub.fetch(f"{name}@{revision}" if revision else str(name))


AutoConfig.register("cleser", CleserConfig, exist_ok=True)
AutoModelForAudioClassification.register(CleserConfig, CleserForAudioClassification, exist_ok=True)
