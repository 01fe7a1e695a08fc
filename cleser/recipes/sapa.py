r"""SAPA: speaker-style aware phoneme anchoring.

S. G. Upadhyay, C. Busso, C.-C. Lee, *Speaker Style-Aware Phoneme Anchoring for Improved Cross-Lingual Speech Emotion
Recognition*, arXiv 2509.20373, 2025.

Speakers of any language who express an emotion alike form a community. The communities of an emotion are found by
Leiden in a graph of neighbouring speakers, and refined by a graph neural network. Two triplet losses then anchor target
items to source items: utterances by emotion and community, phones by phoneme, emotion and community. The emotions of
the target are the network's own confident predictions; its labels are not used.

.. math:: \mathcal{L} = \mathcal{L}_{CE}(\text{source}) + \alpha \mathcal{L}_{\text{speaker}}
          + \beta \mathcal{L}_{\text{phoneme}} + \gamma \mathcal{L}_{CE}(\text{confident target})

Deviations
----------

The paper has no public code and leaves much open. The choices made here are, each a field of `SAPAConfig`:

* *The network is given the communities* (`conditioned`): a linear map of the speaker's communities acts on the
  utterance (`cleser.models.CommunityMap`). Triplets alone cannot make the same sound mean different emotions in
  different styles. If held-out source speakers do not show that this helps (a t-test over speakers, p < .05), the
  network does without it; with few such speakers they seldom do.
* *Cross-entropy on confident target utterances* (`target_weight`, our γ) beside the triplets.
* *Styles are compared on summary statistics*, standardised per speaker, minus the means of speaker and language; on 512
  random projections of them, where they have more channels. The paper's speaker encoder is not known.
* *Pseudo-labels* begin after a share `warm_up` of the epochs and are found anew every `refresh` epochs: the most
  confident of each class, after the predictions' prior has been matched (`match_prior`) to that of the protocol, which
  is uniform by default. At first the share `confidence` of them is trusted; it rises evenly, to `final_confidence` in
  the last epoch.
* *Phoneme anchors come from a bank* of running prototypes (`bank`), not from the batch alone.
* *Speakers* of a corpus that names none are pseudo-speakers.

``target_access="labels"`` makes the recipe an oracle that learns from labelled target speakers.

On the command line::

    cleser run sapa --source emodb:DIR --target ravdess:DIR --out runs/sapa
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pandas as pd
import torch
from scipy import special
from torch import Tensor
from torch.nn.functional import cross_entropy

from cleser.anchors import AnchorBank
from cleser.features.projection import described_by
from cleser.losses import DualSpaceTriplet, RelationalTripletLoss
from cleser.models.batch import Batch
from cleser.models.emotion import Embedded, ModelConfig
from cleser.progress import stderr
from cleser.ranks import sum_over_ranks, world
from cleser.recipes.erm import ERM, ERMConfig
from cleser.recipes.pseudo_labels import as_shares, confident_labels, prior_shift
from cleser.recipes.styles import KnownCommunities, speakers_of, without_communities
from cleser.relations import differ, same
from cleser.settings import check_ranges
from cleser.training.dataset import Dataset
from cleser.training.loop import TrainingConfig
from cleser.training.recipe import FoundLabels, Task
from cleser.training.recognition import embedded, recognise


@dataclass(frozen=True)
class SAPAConfig(ERMConfig):
    """Settings of SAPA.

    Attributes:
        speaker_weight: α, the weight of the triplets among utterances.
        phoneme_weight: β, the weight of the triplets among phones; they need alignments (see cleser align).
        target_weight: γ, the weight of the cross-entropy on confident target utterances.
        margin: Margin of all triplets.
        warm_up: Share of the epochs before the first pseudo-labels.
        confidence: Share of each class' predictions that are trusted when the warm-up ends.
        final_confidence: The same share in the last epoch; in between it rises evenly.
        communities: Largest number of communities of an emotion; 0 leaves communities out.
        conditioned: Give the network the communities of each speaker, if that helps with held-out source speakers.
        refine: Refine communities by a graph neural network.
        resolution: Resolution of the search for communities; larger values give smaller communities.
        bank: Momentum of the running prototypes of phonemes; 0 compares phones only within the batch.
        refresh: Number of epochs from one search for pseudo-labels and communities to the next; 0 means every epoch on
            stored features, and every fifth epoch from audio, because each search then encodes the whole target.

    Raises:
        ValueError: A number is outside its range; or phones are anchored and the network has no token view, which alone
            they could change.

    >>> SAPAConfig().uses_tokens, SAPAConfig(communities=0, phoneme_weight=0.0).speaker_weight
    (True, 0.1)
    """

    adapts: ClassVar[bool] = True

    model: ModelConfig = field(default_factory=lambda: ModelConfig(token_view=True))
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=30, keep="last"))
    match_prior: bool = True
    speaker_weight: float = 0.1
    phoneme_weight: float = 0.1
    target_weight: float = 1.0
    margin: float = 0.2
    warm_up: float = 1 / 3
    confidence: float = 0.5
    final_confidence: float = 1.0
    communities: int = 4
    conditioned: bool = True
    refine: bool = True
    resolution: float = 1.0
    bank: float = 0.9
    refresh: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = ("speaker_weight", "phoneme_weight", "target_weight")
        check_ranges(
            self,
            least={
                **dict.fromkeys(weights, 0),
                "margin": 0,
                "warm_up": 0,
                "communities": 0,
                "bank": 0,
                "refresh": 0,
            },
            above={"confidence": 0, "final_confidence": 0, "resolution": 0},
            most={"warm_up": 1, "confidence": 1, "final_confidence": 1},
            below={"bank": 1},
        )
        if self.phoneme_weight > 0 and not self.model.token_view:
            raise ValueError(
                f"phoneme_weight is {self.phoneme_weight}, and without the token view phones have no part in what is "
                "recognised: give --token-view, or --phoneme-weight 0"
            )

    @property
    def uses_tokens(self) -> bool:
        """Whether batches need tokens beside the summaries, since phones are anchored."""
        return super().uses_tokens or self.phoneme_weight > 0

    @property
    def first_adapting(self) -> int:
        """The epoch, counted from 0, at which the warm-up is over."""
        return round(self.warm_up * self.training.epochs)

    def trusted_share(self, epoch: int) -> float:
        """Share of each class' predictions that are trusted in an epoch after the warm-up."""
        steps = max(self.training.epochs - 1 - self.first_adapting, 1)
        risen = min((epoch - self.first_adapting) / steps, 1.0)
        return self.confidence + risen * (self.final_confidence - self.confidence)


class SAPA(ERM):
    """SAPA: communities of speakers, pseudo-labels of the target, and anchoring of its utterances and phones.

    >>> from cleser.training.vocabulary import Vocabulary
    >>> from cleser.training.recipe import Task
    >>> vocabulary = Vocabulary(("anger", "sadness"), ("anna", "ben"), ("en", "zh"), ("mine",), ("a", "h"))
    >>> task = Task(layers=2, channels=8, vocabulary=vocabulary, mix="weighted")
    >>> recipe = SAPA(SAPAConfig(phoneme_weight=0.2), task)
    >>> recipe.anchoring.phoneme_weight, recipe.sees_target
    (0.2, True)
    """

    uses_communities: Tensor

    def __init__(self, config: SAPAConfig, task: Task) -> None:
        given = config.communities if config.conditioned else 0
        super().__init__(config, task, communities=given)
        self.config = config
        self.sees_target = True
        emotions, phonemes = len(task.vocabulary.emotions), len(task.vocabulary.phonemes)
        self.target_language = len(task.vocabulary.languages)  # the first that is no source's
        style = ("emotion", "community") if config.communities else ("emotion",)
        alike, sound = same(*style) & differ("language"), same("phoneme")
        self.anchoring = DualSpaceTriplet(
            RelationalTripletLoss(alike, differ("emotion", "language"), margin=config.margin),
            RelationalTripletLoss(sound & alike, sound & differ("emotion"), margin=config.margin),
            speaker_weight=config.speaker_weight,
            phoneme_weight=config.phoneme_weight if phonemes else 0.0,
        )
        self.register_buffer("uses_communities", torch.tensor(bool(given)))
        self.share = config.confidence  # of each class' predictions, trusted in this epoch
        self.known_communities = KnownCommunities(
            emotions,
            max(config.communities, 1),
            described_by(task.layers * task.channels),
            refine=config.refine,
            resolution=config.resolution,
        )
        sizes = {"phoneme": phonemes, "language": self.target_language + 1, "emotion": emotions}
        if config.communities:
            sizes["community"] = config.communities
        kept = config.bank > 0 and self.anchoring.phoneme_weight > 0
        self.bank = AnchorBank(config.model.dim, sizes, momentum=config.bank) if kept else None

    def _load_from_state_dict(self, tensors: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Older versions called two parts by other names."""
        for name in [name for name in tensors if name.startswith(prefix)]:
            tensors[prefix + _present_name(name.removeprefix(prefix))] = tensors.pop(name)
        super()._load_from_state_dict(tensors, prefix, *args)

    def embed(self, batch: Batch) -> Embedded:
        """Embed and classify a batch, by its communities where that has been found to help."""
        known = "communities" in batch.labels
        return super().embed(
            without_communities(batch) if known and not self.uses_communities else batch
        )

    def begin_epoch(
        self, epoch: int, *, source: Dataset, dev: Dataset, target: Dataset | None
    ) -> None:
        """Refresh pseudo-labels and communities; until the warm-up is over, the source's alone."""
        assert target is not None
        first = self.config.first_adapting
        adapts = epoch >= first
        decided = max(first, 1)  # before the first epoch nobody's community is known
        if epoch >= decided and self.model.styles is not None:
            if epoch == decided:
                self.uses_communities.fill_(self.communities_help(dev))
            self.model.styles.dropout = 0.0  # decided: it may now rely on them
        if self.found.source and (epoch - first) % self.refresh_every(target):
            return
        nobody = torch.full((len(target), len(self.shift)), -1)
        shares, trusted = nobody.float(), nobody[:, 0]
        if adapts:
            self._announce(epoch, target)
            shares = self.understand(target)[1]
            self.share = self.config.trusted_share(epoch)
            trusted = self.confident(shares)
        known = as_shares(source.labels["emotion"], len(self.shift))
        ours, theirs = torch.full_like(known, -1).long(), nobody
        if self.config.communities:
            ours = self.communities(source, known, *((target, shares) if adapts else ()))
            theirs = self.known_communities.look_up(target, shares) if adapts else nobody
        self.found = FoundLabels(
            self.labels_of(source, source.labels["emotion"], ours),
            self.labels_of(target, trusted, theirs),
        )

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """Learn from the source, and anchor the target's confident items to it."""
        assert target is not None
        ours, theirs = self.embed(source), self.embed(target)
        terms = {"source": self.supervised(ours.logits, source)}
        confident = target.labels["emotion"] >= 0
        # Of all processes, which have to agree on what they do, and whose means are averaged.
        total = sum_over_ranks(confident.sum())
        if not total:
            return {**terms, "loss": terms["source"]}
        even = replace(target, weight=len(target) * world() / total * confident)
        terms["target"] = self.supervised(theirs.logits, even)
        terms |= self.anchoring_loss(source, target, ours, theirs)
        weights = {
            "source": 1.0,
            "target": self.config.target_weight,
            "speaker": self.anchoring.speaker_weight,
            "phoneme": self.anchoring.phoneme_weight,
        }
        total = torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
        return {**terms, "loss": total}

    def confident(self, shares: Tensor) -> Tensor:
        """Pseudo-labels [N] of the target by its emotions' probabilities [N, K]; −1 where none is trusted."""
        return confident_labels(shares, self.share)

    def communities(
        self,
        source: Dataset,
        known: Tensor,
        target: Dataset | None = None,
        shares: Tensor | None = None,
    ) -> Tensor:
        """The community of every source speaker in every emotion, by utterance [N, K]; −1 where there is none.

        Args:
            source: The labelled utterances.
            known: Their emotions as probabilities [N, K].
            target: The target's utterances, once there are beliefs about them.
            shares: The target's beliefs [M, K].
        """
        if target is None or shares is None:
            return self.known_communities.search([source], [known])[0]
        return self.known_communities.search([source, target], [known, shares])[0]

    def anchoring_loss(
        self, source: Batch, target: Batch, ours: Embedded, theirs: Embedded
    ) -> dict[str, Tensor]:
        """The two anchoring losses by name: target items are anchors, all items answer.

        Terms named ``"speaker"`` and ``"phoneme"`` are weighted by the config, others count as they are.

        Args:
            source: The step's source utterances, with labels.
            target: Its target utterances; their ``"emotion"`` is trusted or −1.
            ours: What the network makes of the source.
            theirs: What it makes of the target.
        """
        utterances, phones = (
            {n: torch.cat([a[n], b[n]]) for n in (*_NAMES, *more)}
            for a, b, more in (
                (source.labels, target.labels, ()),
                (source.token_labels(), target.token_labels(), ("phoneme",)),
            )
        )
        tokens = torch.cat([ours.tokens, theirs.tokens])
        # The bank answers once it holds something; until then, or without one, the batch itself does.
        refs, of = self.bank.prototypes() if self.bank is not None else (tokens[:0], {})
        if not len(refs):
            refs, of = tokens, phones
        terms = self.anchoring.terms(
            torch.cat([ours.utterances, theirs.utterances]),
            utterances,
            theirs.tokens,
            {n: values[len(ours.tokens) :] for n, values in phones.items()},
            utterance_anchors=_second(ours.utterances, theirs.utterances),
            ref_phones=refs,
            ref_phone_labels=of,
        )
        if self.bank is not None:
            self.bank.update(tokens.detach(), phones)
        return terms

    def prepare(self, dataset: Dataset) -> Dataset:
        """The utterances with their speakers' communities, where the network knows what to make of them."""
        return self.understand(dataset)[0] if self._knows_communities else dataset

    def understand(self, dataset: Dataset) -> tuple[Dataset, Tensor]:
        """The utterances with their speakers' communities, and their emotions as probabilities [N, K].

        Two rounds: emotions without communities, communities from these emotions, and again. Communities act on what
        the rest of the network has made of an utterance, which is found once.
        """
        dataset = without_communities(dataset)
        views = embedded(self, dataset, ["views"])[0]
        shares = self.beliefs(self._logits(views, None))
        for _ in range(2 if self._knows_communities else 0):
            communities = self.known_communities.look_up(dataset, shares)
            dataset = replace(dataset, labels={**dataset.labels, "communities": communities})
            shares = self.beliefs(self._logits(views, communities))
        return dataset, shares

    @property
    def _knows_communities(self) -> bool:
        return bool(self.uses_communities and self.known_communities.found.any())

    @torch.no_grad()
    def _logits(self, views: Tensor, communities: Tensor | None) -> Tensor:
        """Logits [N, K] on the CPU, a bounded number of utterances at a time."""
        parts = []
        for at in torch.arange(len(views)).split(_AT_ONCE):
            own = None if communities is None else communities[at].to(self.shift.device)
            _, logits = self.model.classify(views[at].to(self.shift.device), own)
            parts.append((logits + self.shift).cpu())
        return torch.cat(parts)

    def communities_help(self, dev: Dataset) -> bool:
        """Whether held-out speakers are better understood by their communities: a t-test over speakers, p < .05.

        Utterances of a speaker succeed or fail together. Counted one by one, two speakers who happen to gain would
        look like proof.
        """
        without, with_them = (
            cross_entropy(recognise(self, d)[0], dev.labels["emotion"], reduction="none")
            for d in (without_communities(dev), self.prepare(dev))
        )
        gains = pd.Series(((without - with_them) * dev.weight).numpy(), index=dev.manifest.index)
        by_speaker = gains.groupby(speakers_of(dev)).mean()
        by_chance = special.stdtrit(len(by_speaker) - 1, 1 - _EVIDENCE) * by_speaker.sem()
        return bool(by_speaker.mean() > by_chance)  # a single speaker shows nothing: NaN

    def beliefs(self, logits: Tensor) -> Tensor:
        """Emotions as probabilities [N, K] by their logits [N, K], the prior matched."""
        shift = prior_shift(logits, self.prior) if self.config.match_prior else 0.0
        return (logits + shift).softmax(-1)

    def refresh_every(self, target: Dataset) -> int:
        """Epochs from one search for pseudo-labels and communities to the next: the setting ``refresh``.

        Where that is 0, 1 on stored features and 5 from audio, because each search then encodes the whole target.
        """
        return self.config.refresh or (_FROM_AUDIO if target.source.excerpts is not None else 1)

    def _announce(self, epoch: int, target: Dataset) -> None:
        """Say that all recordings are to be encoded."""
        if target.source.excerpts is not None:
            stderr.print(
                f"epoch {epoch}: the backbone hears the target's {len(target):,} recordings for pseudo-labels; again "
                f"in {self.refresh_every(target)} epochs (refresh)",
                style="dim",
                highlight=False,
            )

    def labels_of(
        self, dataset: Dataset, emotions: Tensor, communities: Tensor
    ) -> dict[str, Tensor]:
        """The labels that batches get: emotion [N], the speaker's communities [N, K], that of the emotion, language."""
        own = communities.gather(1, emotions.clamp_min(0)[:, None])[:, 0]
        languages = dataset.labels["language"]
        # A language that no source speaks; where nobody knows the language, it is neither the same nor another.
        named = torch.tensor(dataset.manifest["language"].notna().to_numpy(dtype=bool))
        foreign = (languages < 0) & named
        return {
            "emotion": emotions,
            "communities": communities,
            "community": own.masked_fill(emotions < 0, -1),
            "language": languages.masked_fill(foreign, self.target_language),
        }


_NAMES = ("emotion", "community", "language")
_EVIDENCE = 0.05  # the largest p at which held-out speakers show that communities help
_FROM_AUDIO = 5  # epochs from one search to the next where recordings have to be encoded for it
_AT_ONCE = 4096  # utterances, on which all communities' maps are tried together


def _present_name(name: str) -> str:
    """The name of a part of the state, which older versions may have called otherwise.

    >>> _present_name("told"), _present_name("book.found"), _present_name("shift")
    ('uses_communities', 'known_communities.found', 'shift')
    """
    part, dot, rest = name.partition(".")
    return {"told": "uses_communities", "book": "known_communities"}.get(part, part) + dot + rest


def _second(first: Tensor, second: Tensor) -> Tensor:
    """Which rows of two tensors in a row are the second's."""
    return torch.arange(len(first) + len(second), device=first.device) >= len(first)
