"""The files of challenges, from a run on a corpus of MSP-Podcast's layout."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from cleser.cli import main
from cleser.corpora import load
from cleser.experiments.bench import cells_of, load_matrix
from tests.speech.tiny_models import save_tiny

CODES = "ASHN"
SPLITS = ("Train", "Train", "Development", "Test1", "Test2")


def write_msp(root, codes, takes):
    """Turns of each emotion for every speaker; each speaker is of one split, test3 has no labels."""
    (root / "Audios").mkdir(parents=True)
    (root / "Labels").mkdir()
    rng = np.random.default_rng(0)
    rows, partition = [], []
    for speaker, split in enumerate((*SPLITS, "Test3")):
        for k, code in enumerate(codes):
            for take in range(takes):
                name = f"MSP-PODCAST_{speaker:04d}_{takes * k + take:04d}.wav"
                sound = 0.02 * (k + 1) * rng.standard_normal(rng.integers(4000, 6000))
                soundfile.write(root / "Audios" / name, sound, 16000, subtype="PCM_16")
                partition.append(f"{split}; {name}")
                if split != "Test3":
                    numbers = f"{1 + 2 * k % 7},{7 - 2 * k % 7},{2 + k % 4}"
                    rows.append(f"{name},{code},{numbers},{speaker},Female,{split}")
    header = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
    (root / "Labels" / "labels_consensus.csv").write_text("\n".join([header, *rows]) + "\n")
    (root / "Partition.txt").write_text("\n".join(partition) + "\n")
    return root


@pytest.fixture(scope="module")
def msp(tmp_path_factory):
    """Two turns of each of four emotions for every speaker."""
    return f"msp-podcast:{write_msp(tmp_path_factory.mktemp('trees') / 'msp', CODES, takes=2)}"


@pytest.fixture(scope="module")
def run(msp, tmp_path_factory):
    """The challenge's corpus, official splits, emotions and attributes at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("runs") / "msp"
        args = [
            "run",
            "erm",
            "--source",
            msp,
            "--target",
            msp,
            "--split",
            "official",
            "--out",
            str(out),
        ]
        args += ["--task", "both", "--normalisation", "corpus", "--seeds", "1", "--epochs", "1"]
        assert main(args) == 0
        yield out


def test_each_format_is_read_back(run, msp, tmp_path):
    path = tmp_path / "made.csv"
    args = ["submit", str(run), "--out", str(path)]
    withheld = ["--corpus", msp, "--split", "test3"]
    expected = [f"MSP-PODCAST_0005_{i:04d}.wav" for i in range(8)]
    for form in ("msp-categorical", "biic"):
        assert main([*args, "--format", form, *withheld]) == 0
        found = pd.read_csv(path)
        assert list(found) == ["FileName", "EmoClass"]
        assert found["FileName"].tolist() == expected
        assert set(found["EmoClass"]) <= set(CODES)
    assert main([*args, "--format", "msp-attributes", *withheld]) == 0
    found = pd.read_csv(path)
    assert list(found) == ["FileName", "EmoAct", "EmoVal", "EmoDom"]
    assert found["FileName"].tolist() == expected
    assert found.drop(columns="FileName").stack().between(1, 7).all()


def test_without_a_corpus_it_is_what_the_run_has_tested(run, msp, tmp_path):
    path = tmp_path / "made.csv"
    assert main(["submit", str(run), "--out", str(path), "--format", "msp-attributes"]) == 0
    found = pd.read_csv(path)
    tested = load(msp).query("split in ('test1', 'test2')")
    assert sorted(found["FileName"]) == sorted(p.rpartition("/")[2] for p in tested["path"])
    predicted = pd.read_parquet(run / "predictions.parquet").set_index("utterance")
    name = found["FileName"].iloc[0].removesuffix(".wav")
    arousal = predicted.loc[f"msp-podcast/{name}", "predicted_arousal"]
    assert found["EmoAct"].iloc[0] == pytest.approx(4 + 3 * arousal, abs=1e-4)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--split", "test3"], "split is 'test3' without a corpus"),
        (["--corpus", "MSP", "--split", "test4"], "no utterance is of the split 'test4'"),
    ],
)
def test_what_cannot_be_handed_in(run, msp, flags, said, tmp_path, capsys):
    flags = [msp if flag == "MSP" else flag for flag in flags]
    args = ["submit", str(run), "--out", str(tmp_path / "made.csv"), "--format", "biic"]
    assert main([*args, *flags]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "made.csv").exists()


def test_the_baseline_of_msp_podcast_is_one_command(msp, tmp_path):
    matrix = load_matrix("msp-podcast")
    assert matrix.backbone == "microsoft/wavlm-large"
    (cell,) = cells_of(matrix, {"msp-podcast": msp}, tmp_path)
    assert cell.protocol.split == "official"
    assert len(cell.protocol.labels) == 8
    assert set(cell.protocol.source) == set(cell.protocol.target) == {msp}


def test_the_baseline_runs_from_training_to_the_file_that_is_handed_in(tmp_path, monkeypatch):
    """The commands that the matrix names, with a random WavLM in place of the large one; all eight emotions."""
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    corpus = f"msp-podcast:{write_msp(tmp_path / 'msp', 'ASHNUFDC', takes=1)}"
    tiny = str(save_tiny("wavlm", tmp_path / "wavlm"))
    runs, out = tmp_path / "runs", tmp_path / "test3.csv"
    args = ["bench", "transfer", "--matrix", "msp-podcast", "--corpora", corpus, "--seeds", "1"]
    assert main([*args, "--backbone", tiny, "--out", str(runs)]) == 0
    (results,) = runs.rglob("results.json")
    args = ["submit", str(results.parent), "--format", "msp-categorical", "--out", str(out)]
    assert main([*args, "--corpus", corpus, "--split", "test3"]) == 0
    assert len(pd.read_csv(out)) == 8
