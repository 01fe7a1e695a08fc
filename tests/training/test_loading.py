"""Recordings decoded ahead, by threads and by other processes: the same, in order, and with the same errors."""

import pandas as pd
import pytest
import torch

from cleser.alignment import Alignment
from cleser.speech.audio import AudioError
from cleser.training.dataset import Dataset, balance
from cleser.training.loading import StepLoader, default_workers
from cleser.training.reading import Excerpts
from cleser.training.vocabulary import Vocabulary
from tests.corpora.trees import write_corpus


class Waveforms:
    """A source whose features are the samples themselves."""

    at_once = 4
    shape = (1, 1)

    def __init__(self, excerpts):
        self.excerpts = excerpts

    def __len__(self):
        return len(self.excerpts)

    def load(self, at, *, tokens=True, read=()):
        from cleser.features.moments import Moments
        from cleser.training.audio import WaveformBatch

        waves = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(r.wave) for r in read], True)
        lengths = torch.tensor([len(r.wave) for r in read])
        phones = [r.alignment for r in read]
        return WaveformBatch(
            waves, lengths, phones, [{}] * len(read), Moments(*[torch.zeros(1)] * 4)
        )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("loading")
    write_corpus(root / "a", "a", speakers=3)
    rows = pd.read_csv(root / "a" / "manifest.csv")
    paths = [str(root / "a" / p) for p in rows["path"]]
    rows = pd.DataFrame({
        "utterance": paths, "path": paths, "corpus": "a", "language": "en", "speaker": "s",
        "emotion": rows["emotion"].to_numpy(),
    })  # fmt: skip
    phones = Alignment([0.0, 0.1], [0.1, 0.3], "pa")
    count = len(rows)
    excerpts = Excerpts(paths, [0.0] * count, [float("nan")] * count, [phones] * count, 16000)
    names = Vocabulary(tuple(sorted(rows["emotion"].unique())), ("s",), ("en",), ("a",))
    return Dataset(rows, Waveforms(excerpts), names.encode(rows), {}, balance(rows), [])


def taken(loader, dataset, steps, seeds=(0, 0)):
    return list(loader((dataset, None), steps, seeds))


def test_workers_change_nothing(dataset):
    """Two epochs of steps; and what the process itself draws."""
    steps = [(at, None) for at in torch.arange(len(dataset)).flip(0).split(5)]
    torch.manual_seed(0)
    drawn, found = [], []
    for workers in (0, 2):
        torch.manual_seed(0)
        loader = StepLoader((dataset, None), crop=0.2, workers=workers)
        epochs = [taken(loader, dataset, steps, (0, epoch)) for epoch in (0, 1)]
        found.append([side for epoch in epochs for side, _ in epoch])
        loader.close()
        drawn.append(torch.rand(()))
    assert drawn[0] == drawn[1]
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.waveforms, other.waveforms)
        assert torch.equal(one.labels["emotion"], other.labels["emotion"])
        for a, b in zip(one.alignments, other.alignments, strict=True):
            assert (a.starts == b.starts).all() and a.phones == b.phones
    first, second = found[0][: len(steps)], found[0][len(steps) :]
    assert not torch.equal(first[0].waveforms, second[0].waveforms)  # another epoch, another crop


def test_processes_share_every_step(dataset):
    """Their weights are scaled so that the mean of the means is the batch's."""
    at = torch.arange(5)
    shares = [
        taken(StepLoader((dataset, None), crop=9.0, rank=rank, ranks=2), dataset, [(at, None)])[0][
            0
        ]
        for rank in (0, 1)
    ]
    assert [len(s) for s in shares] == [3, 2]
    assert [s.lengths.tolist() for s in shares] == [
        dataset.load(at[rank::2]).lengths.tolist() for rank in (0, 1)
    ]
    mean = sum(s.weight.mean() for s in shares) / 2
    torch.testing.assert_close(mean, dataset.weight[at].mean())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recording_that_has_gone_is_named(dataset, workers, tmp_path):
    gone = str(tmp_path / "gone.wav")
    paths = [*dataset.source.excerpts.paths[:-1], gone]
    fields = vars(dataset.source.excerpts)
    broken = Dataset(
        dataset.manifest, Waveforms(Excerpts(**{**fields, "paths": paths})), dataset.labels, {},
        dataset.weight, [],
    )  # fmt: skip
    loader = StepLoader((broken, None), crop=1.0, workers=workers)
    with pytest.raises(AudioError, match=r"^\S*gone.wav: cannot be read"):
        taken(loader, broken, [(torch.arange(len(broken)), None)])
    loader.close()


def test_workers_by_default_leave_a_core_to_each_training_process(monkeypatch):
    monkeypatch.setattr("cleser.training.loading.on_cpu", lambda: False)
    assert default_workers(10**6) == 0
    assert 0 <= default_workers(2) <= default_workers(1) <= 4
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(3), raising=False)
    assert default_workers() == 2
    monkeypatch.setattr("cleser.training.loading.on_cpu", lambda: True)
    assert default_workers() == 0  # a step takes far longer than to decode its recordings
