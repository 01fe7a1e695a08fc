"""From the rows of a manifest to a dataset: features are found in the store, and standardised as the protocol says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pandas as pd
from torch import Tensor

from cleser.alignment import Alignment
from cleser.alignment.folder import pack_alignments
from cleser.corpora.protocol import Protocol
from cleser.features.joined import JoinedFeatures
from cleser.features.moments import Moments
from cleser.features.pooled import Record
from cleser.features.stored import store_features
from cleser.features.view import FeatureView
from cleser.progress import stderr, track
from cleser.speech.audio import SHORTEST
from cleser.speech.backbones import Backbone
from cleser.training.dataset import Dataset, balance
from cleser.training.heard import RecordingSource
from cleser.training.processes import processes
from cleser.training.sources import Source, StoredSource
from cleser.training.standardisation import standards_of
from cleser.training.vocabulary import Vocabulary


class NothingUsableError(ValueError):
    """None of some recordings can be used.

    Attributes:
        left_out: The reason for each recording: ``{"path": …, "reason": …}``.
    """

    def __init__(self, said: str, left_out: list[dict[str, str]]) -> None:
        super().__init__(said)
        self.left_out = left_out


def phones_of(manifest: pd.DataFrame, folder: str | None = None) -> Sequence[Alignment | None]:
    """When each utterance's phones sound, as far as that is known.

    Args:
        manifest: The utterances. Where the corpus itself knows its phones, as the synthetic one does, a column
            ``phones`` holds them.
        folder: Alignment files of all corpora, see :func:`cleser.alignment.load_alignments`; None for what
            the manifest says.
    """
    if not knows_phones(manifest, folder):
        return [None] * len(manifest)
    found = pack_alignments(manifest, folder)
    if found.said:
        stderr.print(f"alignments: {found.said}", style="dim")
    return found


def knows_phones(manifest: pd.DataFrame, folder: str | None = None) -> bool:
    """Whether somebody may know when phones sound: there are alignment files, or the corpus itself says it.

    Args:
        manifest: The utterances.
        folder: Alignment files of all corpora, as for :func:`phones_of`.
    """
    return folder is not None or "phones" in manifest


def load_dataset(
    manifest: pd.DataFrame,
    protocol: Protocol,
    vocabulary: Vocabulary,
    backbone: Backbone,
    *,
    title: str,
    alignments: Sequence[Alignment | None] | None = None,
    reference: Moments | None = None,
    distrusted: Collection[str] = (),
    record: Record | None = None,
    tokens: bool = True,
    from_audio: bool = False,
) -> tuple[Dataset, Moments]:
    """Extract and standardise the features of some utterances.

    Args:
        manifest: The utterances.
        protocol: Protocol that says how to standardise.
        vocabulary: Turns labels into integers.
        backbone: Turns recordings into frames.
        title: Text beside the progress bar.
        alignments: When each utterance's phones sound, where that is known.
        reference: Statistics of the source, for utterances that the protocol does not let be standardised
            by their own corpus; their own by default.
        distrusted: Speakers whose statistics would be those of an emotion, see
            :class:`cleser.features.normalisation.Shrinkage`.
        record: What is kept of an utterance.
        tokens: Whether batches hold tokens.
        from_audio: Whether batches are encoded anew from the recordings, by a backbone that learns, and then hold
            tokens in any case. The features found here say how to standardise, and which recordings can be used.

    Returns:
        The dataset, and the statistics of its features before standardisation (a reference for others).

    Raises:
        NothingUsableError: None of the recordings can be used.
    """
    stored = stored_features(manifest, backbone, alignments, title=title, record=record)
    rows = manifest.iloc[stored.rows].reset_index(drop=True)
    standards, own = standards_of(stored, rows, protocol, reference, distrusted)
    labels = vocabulary.encode(rows)
    phonemes = {name: i for i, name in enumerate(vocabulary.phonemes)}
    kept = StoredSource(stored, standards)
    source: Source = kept
    if from_audio:
        phones = [alignments[i] if alignments is not None else None for i in stored.rows]
        source = RecordingSource.of(rows, phones, backbone.rate, kept)
    dataset = Dataset(
        rows, source, labels, phonemes, balance(rows), stored.left_out, tokens=tokens or from_audio
    )
    return dataset, own


def record_for(protocol: Protocol, *, tokens: bool, phones: bool) -> Record:
    """What the store has to keep of utterances.

    Args:
        protocol: Protocol that says whether what is said is taken out, for which tokens are needed too.
        tokens: Whether batches hold tokens.
        phones: Whether anybody says when phones sound.
    """
    return Record("phone" if tokens or (phones and protocol.removes_content) else "none")


def stored_features(
    manifest: pd.DataFrame,
    backbone: Backbone,
    alignments: Sequence[Alignment | None] | None,
    *,
    title: str,
    record: Record | None = None,
) -> FeatureView:
    """The features of some utterances in the cache's store, extracted where they are not there yet.

    Args:
        manifest: The utterances.
        backbone: Turns recordings into frames; several that are joined have a store each.
        alignments: When each utterance's phones sound, one for each row, None where nobody knows.
        title: Text beside the progress bar.
        record: What is kept of an utterance; by default its summary and its tokens.

    Raises:
        NothingUsableError: None of the recordings can be used.
        ValueError: Tokens are wanted of several backbones.
    """
    views, record = backbone.views, record or Record()
    if record.tokens != "none":
        check_one_view(backbone)

    def announce(said: str) -> None:
        stderr.print(f"{title}: {said}", style="dim", highlight=False)

    with track(title, len(views) * len(manifest)) as advance:
        found = [
            store_features(
                manifest, view, alignments=alignments, record=record, advance=advance,
                announce=announce, device=processes().device, shortest=SHORTEST,
            )
            for view in views
        ]  # fmt: skip
    stored: FeatureView = found[0] if len(views) == 1 else JoinedFeatures.of(found)
    if not len(stored):
        reasons = "; ".join(f"{p['path']}: {p['reason']}" for p in stored.left_out[:3])
        raise NothingUsableError(
            f"{title}: none of {len(manifest)} recordings can be used ({reasons})", stored.left_out
        )
    return stored


def check_one_view(backbone: Backbone) -> None:
    """Refuse several joined backbones, where tokens or frames are wanted and not only whole utterances.

    Raises:
        ValueError: There are several.
    """
    if len(backbone.views) > 1:
        raise ValueError(
            f"{' and '.join(view.name for view in backbone.views)} together describe whole utterances, and phones or "
            "frames are wanted: take one backbone, or leave out what wants them, which are --alignments, "
            "--units vowel, training from audio (--tune.mode), and the view of tokens (sapa: --no-token-view "
            "--phoneme-weight 0)"
        )


class SummaryBlocks:
    """Utterance statistics [n, L, C] as they were extracted, a block of utterances at a time."""

    def __init__(self, stored: FeatureView) -> None:
        self._stored = stored

    def __iter__(self) -> Iterator[Tensor]:
        for raw, _ in self._stored.blocks(tokens=False):
            yield raw.summaries


def summaries_of(
    manifest: pd.DataFrame,
    backbone: Backbone,
    phones: Sequence[Alignment | None],
    *,
    title: str,
    record: Record | None = None,
) -> tuple[SummaryBlocks, pd.DataFrame]:
    """Utterance statistics as they were extracted, and the rows of the manifest that they describe.

    Args:
        manifest: The utterances.
        backbone: Turns recordings into frames.
        phones: When each utterance's phones sound, one for each row, None where nobody knows.
        title: Text beside the progress bar.
        record: What the store keeps of an utterance; by default its summary and its tokens.

    Raises:
        NothingUsableError: None of the recordings can be used.
        ValueError: Tokens are wanted of several backbones.
    """
    stored = stored_features(manifest, backbone, phones, title=title, record=record)
    return SummaryBlocks(stored), manifest.iloc[stored.rows].reset_index(drop=True)
