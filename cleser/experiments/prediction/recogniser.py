"""Emotions of recordings, by the networks of a finished run, under the terms of its test as far as they can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.alignment import Alignment
from cleser.alignment.packed import PackedAlignments
from cleser.corpora.left_out import lost
from cleser.corpora.manifest import with_problems
from cleser.corpora.protocol import Protocol
from cleser.corpora.recording import RecordingError, read_header
from cleser.corpora.registry import load_all
from cleser.evaluation.multi_label import DECIDED_AT
from cleser.experiments.declared import declared
from cleser.experiments.export import hub
from cleser.experiments.fitted import Fitted, Regression, multi_label
from cleser.experiments.one_sided import choose_normalisation
from cleser.experiments.prediction.hearings import Hearing, official_hearings
from cleser.experiments.prediction.recordings import as_utterances, files_in, read_speakers, reasons
from cleser.experiments.prediction.windows import LONGEST
from cleser.experiments.saved import SavedRun, no_folder, open_run
from cleser.speech.audio import SHORTEST
from cleser.training.dataset import Dataset
from cleser.training.from_manifest import NothingUsableError, phones_of

# Seconds of sound whose features are in memory at once, if they can be by themselves.
_PORTION: Final = 240.0
_FILES: Final = 128  # recordings of a portion at most
# Recordings whose statistics are those of what they say: too few to standardise them by.
_FEW: Final = 2
_LABELLED: Final = "only utterances labelled with what it learns, and this looks at no label"


class Terms(NamedTuple):
    """How recordings are recognised.

    Attributes:
        protocol: Says how their features are standardised.
        together: Whether they may tell something about one another; else the label of a recording is the same
            whatever comes with it.
        said: The same for a reader, and what it costs.
    """

    protocol: Protocol
    together: bool
    said: str


class Recogniser:
    """Labels recordings with emotions and probabilities, the mean over the run's seeds.

    Args:
        run: A finished run, see :func:`load_model`.

    Attributes:
        labels: The emotions, in the order of the networks' outputs; none where attributes alone were learned.
        attributes: Arousal, valence and dominance, or those of them that were learned.
    """

    def __init__(self, run: SavedRun) -> None:
        self.run = run
        self.labels = run.protocol.classes
        self.attributes = run.protocol.regressed
        self._outputs_named = (
            *(f"p_{name}" for name in self.labels),
            *(f"sigmoid_{name}" for name in self.labels if run.recognises_several),
            *self.attributes,
        )

    def predict(
        self,
        paths: Sequence[str | Path] = (),
        *,
        corpora: Sequence[str] = (),
        split: str | None = None,
        speakers: str | Path | pd.DataFrame | None = None,
        language: str | None = None,
        alignments: str | Path | None = None,
        together: bool = False,
        alone: bool = False,
        window: float = 10.0,
        hop: float = 10.0,
        title: str = "recordings",
    ) -> pd.DataFrame:
        r"""Recognise recordings.

        A network has learned from features that the run's protocol standardised, mostly by the other recordings of a
        speaker. Where the speakers of the recordings are known, they are standardised likewise, and a corpus gets the
        probabilities that the run's own test gives it; where that counted other utterances than this can,
        ``attrs["terms"]`` says which. A run on official splits hears each official part of a corpus as if that one were
        tested. By default recordings whose speakers nobody names are measured by the source's statistics instead, and
        lose by it.

        Recordings of more than 30 s are cut into windows, each recognised by itself, see
        :func:`cleser.experiments.prediction.windows.cut`; utterances of corpora are not.

        Args:
            paths: Audio files, and folders of such.
            corpora: Specs of corpora to recognise instead, as ``"ravdess:DIR"``; no label of theirs is looked at.
            split: The official split of the corpora to recognise alone, as ``"test3"``. A run on official splits is
                then given the training part, too, as in its test.
            speakers: Who speaks in each recording: a CSV file, or a table, with the columns ``path, speaker`` and, if
                wanted, ``language``; see :func:`cleser.experiments.prediction.recordings.read_speakers`.
            language: Language of the recordings, for recipes that compare languages.
            alignments: Folder that says when phones sound, for a run that was trained with one; see
                :func:`cleser.alignment.load_alignments`.
            together: Standardise the recordings by their own statistics, as one corpus.
            alone: Standardise them by the source's statistics, whatever is known of them: the label of a recording
                then does not depend on the others.
            window: Length of a window, in seconds.
            hop: Time from the beginning of one window to that of the next, in seconds.
            title: What the progress bar says.

        Returns:
            A row for each recording or window, in order: ``path``, ``start`` and ``end`` in seconds, ``emotion``, a
            probability ``p_<emotion>`` of each, ``arousal``, ``valence`` and ``dominance`` from −1 to 1 where the run
            has learned them, and ``reason``. Where the run recognises several emotions at once, ``emotions`` are those
            of at least .5, joined by ``;`` (there may be none), and ``sigmoid_<emotion>`` are their probabilities.
            A recording that cannot be read, is silent, holds but a constant offset or lasts less than .2 s has no
            emotion, and there the reason. So do, below all others, those that have a name that is not UTF-8, folders
            that cannot be looked into, and sound and films in folders that are not read. Of corpora the
            ``utterance`` stands in front.
            ``attrs["terms"]`` says how the recordings were standardised, and what that costs.

        Raises:
            ValueError: There is no recording, arguments exclude one another, the speakers' table does not name a
                recording, a language is none, or the folder of alignments holds none of them.
        """
        _check(paths, corpora, speakers, language, together, alone, window, hop)
        # Parts of corpora are then heard as those of the run's test were.
        apart = self.run.protocol.split == "official" and bool(corpora) and not (together or alone)
        if corpora:
            rows = _utterances(corpora, split, self.run.protocol if apart else None)
        else:
            files, problems = files_in(paths)
            rows = as_utterances(
                files,
                read_speakers(speakers) if isinstance(speakers, str | Path) else speakers,
                language,
                length=min(window, self._limit),
                hop=min(hop, self._limit),
                longest=min(max(window, LONGEST), self._limit),
            )
            rows = with_problems(rows, problems)
        rows["reason"] = pd.Series(reasons(rows), index=rows.index, dtype="str")
        sound = rows["reason"].isna()
        if together and sound.sum() < 2:
            raise ValueError(
                f"found {sound.sum()} usable recordings of {len(rows)}, expected two or more to standardise together"
            )
        # A run counts a corpus' silent utterances in the statistics of their speakers; so does this.
        usable = rows if corpora else rows[sound].reset_index(drop=True)
        phones = phones_of(usable, None if alignments is None else str(alignments))
        known = bool(corpora) or speakers is not None
        parts = official_hearings(usable, self.run.protocol, split) if apart else []
        terms = self._terms(
            usable, phones, parts, split=split, known=known, together=together, alone=alone
        )
        few = pd.Series(False, usable.index)
        if not corpora and known and not alone and terms.protocol.transductive:
            few = _of_few(usable, terms.protocol)
        rounds = [(part, terms) for part in parts] or [
            (Hearing(at, at), how)
            for those, how in ((~few, terms), (few, self._by_source("")))
            for at in _portions(usable, np.flatnonzero(those), whole=how.together)
        ]
        shares = torch.full((len(usable), len(self._outputs_named)), torch.nan)
        for hearing, how in rounds:
            shares[hearing.recognised], found = self._shares(usable, hearing, how, phones, title)
            rows["reason"] = rows["reason"].fillna(rows["utterance"].map(found).astype("str"))
        unsound = usable["utterance"].isin(rows["utterance"][~sound])
        shares[torch.from_numpy(unsound.to_numpy(bool, copy=True))] = torch.nan
        table = self._table(rows, usable, shares)
        if corpora and split is not None:
            table = table[rows["split"] == split].reset_index(drop=True)
        table = _with_problems(table, rows)
        table.attrs["terms"] = _said_of(terms, usable, few)
        return table if corpora else table.drop(columns="utterance")

    @property
    def _limit(self) -> float:
        """Seconds that the backbone can hear at once."""
        longest = self.run.backbone.longest
        return float("inf") if longest is None else longest / self.run.backbone.rate

    def _shares(
        self,
        rows: pd.DataFrame,
        hearing: Hearing,
        terms: Terms,
        phones: Sequence[Alignment | None],
        title: str,
    ) -> tuple[Tensor, dict[str, str]]:
        """What `_outputs` gives of what is recognised, NaN where there is nothing, and why not, by utterance."""
        recognised = rows.iloc[hearing.recognised].reset_index(drop=True)
        shares = torch.full((len(recognised), len(self._outputs_named)), torch.nan)
        usable = np.zeros(len(recognised), dtype=bool)
        try:
            dataset = self.run.dataset(
                rows.iloc[hearing.heard].reset_index(drop=True),
                terms.protocol,
                [phones[i] for i in hearing.heard],
                title=title,
                together=terms.together,
            )
        except NothingUsableError as error:  # the recordings of other portions may be
            left_out = error.left_out
        else:
            left_out, dataset = dataset.left_out, dataset.subset(recognised)
            usable = recognised["utterance"].isin(set(dataset.manifest["utterance"])).to_numpy()
            if usable.any():
                found = [self._outputs(n, dataset, terms.together) for n in self.run.networks]
                shares[torch.tensor(usable)] = torch.stack(found).mean(0)
        said = {problem["path"]: problem["reason"] for problem in left_out}
        others = recognised[~usable]
        why = others["path"].map(said).fillna("cannot be used")
        return shares, dict(zip(others["utterance"], why, strict=True))

    def _outputs(self, network: Fitted, dataset: Dataset, together: bool) -> Tensor:
        """Probabilities, of one emotion and of several at once, and attributes, [N, K + A] or [N, 2 K + A]."""
        found = [network.predict(dataset, together=together)[0]] if self.labels else []
        if (several := multi_label(network)) is not None:
            found.append(several.sigmoids(dataset, together=together))
        if self.attributes:
            found.append(cast(Regression, network).attributes(dataset, together=together))
        return torch.cat(found, 1)

    def _table(self, rows: pd.DataFrame, usable: pd.DataFrame, shares: Tensor) -> pd.DataFrame:
        known = ~shares.isnan().any(-1)
        found = pd.DataFrame(shares.numpy(), columns=[*self._outputs_named]).astype("float64")
        sigmoids = found.filter(regex="^sigmoid_")
        if self.labels:
            best = shares[:, : len(self.labels)].argmax(-1).tolist()
            emotions = [self.labels[i] if k else None for i, k in zip(best, known, strict=True)]
            found.insert(0, "emotion", pd.Series(emotions, dtype="str"))
        if len(sigmoids.columns):
            several = [
                ";".join(name for name, there in zip(self.labels, row, strict=True) if there)
                for row in (sigmoids >= DECIDED_AT).to_numpy()
            ]
            found.insert(1, "emotions", pd.Series(several, dtype="str").where(known.numpy()))
        found = found.set_index(usable["utterance"]).reindex(rows["utterance"]).reset_index()
        shown = rows[["utterance", "path", "start", "until"]].rename(columns={"until": "end"})
        return shown.join(found.drop(columns="utterance")).assign(reason=rows["reason"])

    def _terms(
        self,
        rows: pd.DataFrame,
        phones: Sequence[Alignment | None],
        parts: list[Hearing],
        *,
        split: str | None,
        known: bool,
        together: bool,
        alone: bool,
    ) -> Terms:
        """What the flags and what is known of the recordings come to."""
        trained, without = self.run.protocol, self._without(phones)
        if not trained.transductive and not (together and trained.normalisation != "utterance"):
            return self._needing_no_others(without, together=(known or together) and not alone)
        if together:
            return self._as_one_corpus(len(rows), without)
        if known and not alone:
            return self._as_in_the_test(rows, phones, parts, split, without)
        if trained.removes_content and self.run.vocabulary.phonemes:
            without = "; what is said is left in them, which the run took out"
        why = "as asked" if alone else "since no speakers were given (--speakers, --together)"
        return self._by_source(f", {why}{_cost(trained)}{without}")

    def _without(self, phones: Sequence[Alignment | None]) -> str:
        """What is missing of the alignments that the run was trained with, for the end of a sentence."""
        if self.run.vocabulary.phonemes and not any(phones):
            return "; without alignments, which the run was trained with"
        if isinstance(phones, PackedAlignments) and phones.said:
            return f"; {phones.said}"
        return ""

    def _needing_no_others(self, without: str, *, together: bool) -> Terms:
        """Terms of a run that standardised no utterance by others of its target."""
        trained = self.run.protocol
        own = trained.normalisation == "utterance"
        how = "by its own statistics" if own else "by the source's statistics"
        said = f"each recording is standardised {how}, as in the run's test{without}"
        said += self._adapting_to_others() if together else ""
        return Terms(trained if own else trained.normalised("corpus"), together, said)

    def _as_one_corpus(self, count: int, without: str) -> Terms:
        """Terms that standardise the recordings by the statistics of all of them."""
        terms = replace(self.run.protocol, normalisation="corpus", target_access="audio")
        said = (
            f"the {count} recordings are standardised together, as one corpus: their labels depend on one "
            f"another{without}"
        )
        return Terms(terms, True, said)

    def _as_in_the_test(
        self,
        rows: pd.DataFrame,
        phones: Sequence[Alignment | None],
        parts: list[Hearing],
        split: str | None,
        without: str,
    ) -> Terms:
        """Terms of the run's own test, of which ``"auto"`` is decided for these recordings."""
        run, trained = self.run, self.run.protocol
        record, heard = run.record(trained, phones), rows
        if parts:  # of which the run's own come first
            heard = rows.iloc[parts[0].heard].reset_index(drop=True)
            phones = [phones[i] for i in parts[0].heard]
        settled, note = choose_normalisation(
            trained, run.one_sided, heard, run.backbone, phones, record
        )
        divided = bool(parts) and bool(rows["split"].notna().any())
        how = self._as_tested(settled, note)
        if divided:
            how += ", each official part by itself and the training part"
        said = (
            f"recordings are standardised {how}: {_counts(rows)}; their labels depend on one "
            f"another{without}{self._unlike_the_test(divided, split)}"
        )
        return Terms(settled, True, said)

    def _unlike_the_test(self, divided: bool, split: str | None) -> str:
        """What counts among these recordings and did not in the run's test, for the end of a sentence."""
        trained, said = self.run.protocol, ""
        if trained.by_folds:
            said += "; the run's test counted the training and test parts of its fold, and this all that is given"
        elif trained.split == "official" and not divided:
            said += "; the run's test counted the official training part and what it tested, and this all that is given"
        elif trained.split != "official" and split is not None:
            said += f"; of the corpora this counts {split} alone"
        if trained.pool == "labels":
            said += f"; the run's test counted {_LABELLED}"
        elif trained.split != "speakers":
            said += f"; of what it tested, the run counted {_LABELLED}"
        return said + self._adapting_to_others()

    def _adapting_to_others(self) -> str:
        """What a run that adapts to what it recognises did not adapt to, for the end of a sentence."""
        if not declared(self.run.config).adapts_to_test:
            return ""
        return f"; the run adapted to {_LABELLED}"

    def _by_source(self, why: str) -> Terms:
        """Terms that standardise by the source's statistics: no label depends on the other recordings."""
        said = f"recordings are standardised by the source's statistics{why}"
        bare = replace(self.run.protocol, normalisation="corpus", target_access="nothing")
        return Terms(bare, False, said)

    def _as_tested(self, settled: Protocol, note: str) -> str:
        """How recordings are standardised, and whether the run's own test was: "auto" decides for each set anew."""
        by, tested = settled.normalisation, self.run.settled
        if by == tested:
            return f"as in the run's test (by {by})"
        why = note.partition("; ")[2] or note
        if not tested:
            return f"by {by}, as decided for these recordings ({why})"
        return (
            f"by {by}, unlike the run's test (by {tested}), as decided for these recordings ({why})"
        )


def _of_few(rows: pd.DataFrame, protocol: Protocol) -> pd.Series[bool]:
    """Recordings whose statistics would rest on two or fewer, and take away what is to be recognised.

    Speakers' statistics that are shrunk lean on all recordings together, and these count then.
    """
    by = protocol.normalisation
    if by == "utterance":
        return pd.Series(False, rows.index)
    groups = rows["speaker"].fillna(rows["corpus"]) if by == "speaker" else rows["corpus"]
    return groups.map(groups.value_counts()) <= _FEW


def _said_of(terms: Terms, rows: pd.DataFrame, few: pd.Series[bool]) -> str:
    """How recordings were standardised, also those of which there are too few."""
    if not few.any():
        single = int((rows["speaker"].value_counts() == 1).sum())
        if terms.protocol.normalisation != "speaker" or not single:
            return terms.said
        # As in the test: it is its speaker's mean, and no more than that mean remains to be recognised.
        return f"{terms.said}; {single} speakers have a single one, whose label says nothing"
    why = f"by the source's statistics, since {_FEW} or fewer say too little about a speaker"
    if few.all():
        return f"recordings are standardised {why}; with more of each speaker they would be as in the run's test"
    return f"{terms.said}; {few.sum()} of the recordings are standardised {why}"


def load_model(folder: str | Path) -> Recogniser:
    """Open a finished run, or what ``cleser export`` made of it.

    Args:
        folder: The run's folder or the exported one; or, where there is no such folder, the name of one on the hub, as
            ``"someone/emotions"`` or ``"someone/emotions@REVISION"``.

    Raises:
        ValueError: The folder holds no finished run, or the hub and its cache have no such model.
    """
    path = Path(folder)
    if not path.exists() and hub.is_name(str(folder)):
        try:
            path = hub.fetch(str(folder))
        except ValueError as error:
            raise ValueError(f"{no_folder(path)}\n{error}") from error
    return Recogniser(open_run(path))


def _check(
    paths: Sequence[str | Path],
    corpora: Sequence[str],
    speakers: object,
    language: str | None,
    together: bool,
    alone: bool,
    window: float,
    hop: float,
) -> None:
    for name, value in (("paths", paths), ("corpora", corpora)):
        if isinstance(value, str | Path):
            raise ValueError(f"{name} is {str(value)!r}, expected a list, as [{str(value)!r}]")
    if not paths and not corpora:
        raise ValueError("there are no recordings, expected at least one file, folder or corpus")
    if corpora and (paths or speakers is not None or language is not None):
        raise ValueError(
            "corpora say themselves who speaks which language, expected no files, speakers or language beside them"
        )
    if together and alone:
        raise ValueError("found both together and alone, expected one of them or none")
    if not (window >= SHORTEST and 0 < hop <= window):
        raise ValueError(
            f"window is {window} s and hop {hop} s, expected a window of {SHORTEST} s or more, and a hop of more than "
            "0 s and at most the window"
        )


def _utterances(
    corpora: Sequence[str], split: str | None, divided_as: Protocol | None
) -> pd.DataFrame:
    """The manifests of some corpora without their labels, and where each utterance ends in seconds.

    Args:
        corpora: Their specs.
        split: The official split that is wanted; None for all.
        divided_as: The protocol by which a split is heard together with others, which are then there, too.
    """
    rows = load_all(corpora, labels=False)
    if split is not None:
        wanted = rows["split"] == split
        if not wanted.any():
            found = sorted(rows["split"].dropna().unique())
            raise ValueError(
                f"{', '.join(corpora)}: no utterance is of the split {split!r}, found {found}"
            )
        if divided_as is not None:
            (hearing,) = official_hearings(rows, divided_as, split)
            wanted[hearing.heard] = True
        rows = rows[wanted].reset_index(drop=True)
    rows["emotion"] = pd.Series([None] * len(rows), dtype="str")
    return rows.assign(until=[_end(p, e) for p, e in zip(rows["path"], rows["end"], strict=True)])


def _with_problems(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The table, and below it what corpora and folders list but cannot give: nothing that is listed goes unmentioned.

    But what loses no recording: those of copies, second rows and gaps stand in the table.
    """
    unusable = lost(rows.attrs.get("problems", []))
    listed = pd.DataFrame(unusable, columns=["path", "reason"], dtype="str")
    return table if listed.empty else pd.concat([table, listed], ignore_index=True)


def _end(path: str, end: float) -> float:
    if not math.isnan(end):
        return end
    try:  # NaN stands for the recording's end
        header = read_header(path)
        return header.frames / header.samplerate
    except RecordingError:
        return float("nan")


def _portions(rows: pd.DataFrame, at: np.ndarray, *, whole: bool) -> Iterator[list[int]]:
    """These positions of recordings, all of them or else a bounded amount of sound at a time."""
    if whole and len(at):
        yield at.tolist()
        return
    portion: list[int] = []
    total = 0.0
    seconds = (rows["until"] - rows["start"]).tolist()
    for i in at.tolist():
        if portion and (total + seconds[i] > _PORTION or len(portion) == _FILES):
            yield portion
            portion, total = [], 0.0
        portion.append(i)
        total += seconds[i]
    if portion:
        yield portion


def _counts(rows: pd.DataFrame) -> str:
    """How many recordings there are of how many speakers."""
    each = rows["speaker"].value_counts()
    if each.empty:
        return f"{len(rows)} recordings of unknown speakers"
    least, most = each.min(), each.max()
    some = f"{most}" if least == most else f"{least} to {most}"
    return f"{len(each)} speakers with {some} recordings each"


def _cost(trained: Protocol) -> str:
    """What is lost without the target's own statistics."""
    if trained.normalisation in ("speaker", "shrunk", "auto"):
        return (
            "; that cost supervised training 11 to 12 points of UAR between emodb and ravdess "
            "(benchmarks/recogniser.py)"
        )
    return "; with speakers known it would be more accurate"
