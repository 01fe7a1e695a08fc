import pandas as pd
import pytest
from rich.console import Console

from cleser.corpora import Listing, Problem, describe, load, probe, problems
from cleser.corpora.convert import write_manifest
from cleser.corpora.manifest import assemble


@pytest.fixture
def broken(write):
    """Four good recordings and each kind of bad one."""
    root = write("wav/03a01Fa.wav", "wav/03a02Wa.wav", "wav/08a01Na.wav", "wav/08a02Nb.flac")
    write("wav/08a04Nb.wav", root=root)
    good = (root / "wav/08a04Nb.wav").read_bytes()
    (root / "wav/08a04Nb.wav").write_bytes(good[:44])  # a header alone
    (root / "wav/08a05Nb.wav").write_bytes(b"not a recording")
    (root / "wav/08a07Nb.wav").touch()
    return f"emodb:{root}"


def test_probe_reads_headers_and_leaves_out_the_damaged(broken):
    manifest = load(broken)
    probed = probe(manifest)
    assert len(manifest) == 6
    assert len(probed) == 4
    assert probed["duration"].tolist() == pytest.approx([0.1] * 4)
    assert probed[["samplerate", "channels", "frames"]].drop_duplicates().values.tolist() == [
        [16_000, 1, 1_600]
    ]
    reasons = {p.path[-11:]: p.reason for p in problems(probed)}
    assert reasons["08a07Nb.wav"] == "is empty (0 bytes)"
    assert reasons["08a04Nb.wav"].startswith("is cut off")
    assert reasons["08a05Nb.wav"].startswith("cannot be read")
    assert len(problems(manifest)) == 1  # the manifest itself is as it was


def test_probe_refuses_segments_beyond_the_end(write):
    path = str(write("a.wav") / "a.wav")
    rows = pd.DataFrame(
        {
            "utterance": list("abcd"),
            "path": path,
            "language": "de",
            "start": [0.0, 0.06, 0.0, 5.0],
            "end": [0.05, float("nan"), 9.0, float("nan")],
        }
    )
    probed = probe(assemble("own", Listing(rows, [])))
    assert probed["utterance"].tolist() == ["own/a", "own/b"]
    assert probed["duration"].tolist() == pytest.approx([0.05, 0.04])
    reason = "ends before its utterance does (0.10 s)"
    assert problems(probed) == [Problem(path, reason), Problem(path, reason)]


def test_describe_counts_what_is_usable(broken):
    found = describe(load(broken))
    assert found.classes["utterances"].to_dict() == {"neutral": 2, "anger": 1, "happiness": 1}
    assert found.classes["hours"].sum() == pytest.approx(0.4 / 3600)
    assert found.speakers.loc["emodb/03"].tolist() == ["male", "de", 2]
    assert found.audio.values.tolist() == [[16_000, 1, 4]]
    assert found.facts["Speakers"] == "2 (1 male, 1 female)"
    assert found.facts["Texts"] == "2 different in 4 utterances"
    assert len(found.problems) == 3


def test_describe_prints_everything(broken):
    console = Console(record=True, width=100)
    console.print(describe(load(broken)))
    text = console.export_text()
    for expected in ("emodb", "happiness", "25.0%", "16,000", "3 problems", "is empty", "Hours"):
        assert expected in text


def test_describe_without_headers_tells_no_hours(broken):
    found = describe(load(broken), probe=False)
    assert "hours" not in found.classes
    assert "Hours" not in found.facts
    assert found.audio.empty
    assert len(found.problems) == 1


def test_describe_a_corpus_of_two_languages_without_labels_or_speakers(write):
    root = write("a.wav", "b.wav", "c.wav")
    rows = {"path": ["a.wav", "b.wav", "c.wav"], "language": ["de", "en", "en"]}
    frame = pd.DataFrame({**rows, "emotion": ["anger", None, None], "split": ["train", None, None]})
    frame.to_csv(root / "own.csv", index=False)
    found = describe(load(f"manifest:{root}/own.csv"))
    assert found.languages.loc["(no label)"].to_dict() == {"de": 0, "en": 2}
    assert found.splits["utterances"].to_dict() == {"(none)": 2, "train": 1}
    assert found.facts["Without a speaker"] == "3 utterances"
    console = Console(record=True, width=100)
    console.print(found)
    text = console.export_text()
    for expected in ("Classes by language", "(no label)", "Official splits", "No problems"):
        assert expected in text


def test_describe_a_corpus_of_which_nothing_is_left(write):
    root = write("a.wav")
    (root / "a.wav").write_bytes(b"not a recording")
    pd.DataFrame({"path": ["a.wav"], "language": ["de"], "emotion": ["anger"]}).to_csv(
        root / "own.csv", index=False
    )
    found = describe(load(f"manifest:{root}/own.csv"))
    assert found.facts["Utterances"] == "0"
    assert found.facts["Language"] == "none"
    console = Console(record=True, width=100)
    console.print(found)
    text = console.export_text()
    assert "nan" not in text
    assert "1 problem (left out)" in text


def test_reasons_that_differ_in_their_numbers_are_one(write):
    names = [f"{number}.wav" for number in range(5)]
    root = write(*names)
    ends = [9.5, 1.25, 20, 30, 0.05]
    rows = pd.DataFrame({"path": names, "language": "de", "start": 0.0, "end": ends})
    rows.to_csv(root / "own.csv", index=False)
    console = Console(record=True, width=200)
    console.print(describe(load(f"manifest:{root}/own.csv")))
    text = console.export_text()
    assert "4 problems (left out)\n4 × ends before its utterance does (0.10 s)\n" in text
    for number in (1, 2):
        (root / f"{number}.wav").write_bytes((root / f"{number}.wav").read_bytes()[: -200 * number])
    console.print(describe(load(f"manifest:{root}/own.csv")))
    text = console.export_text()
    assert "1 × is cut off" not in text and text.count(", or another number\n") == 1


def test_second_rows_are_not_called_left_out(write):
    root = write("a.wav")
    rows = pd.DataFrame({"path": "a.wav", "language": "de", "emotion": ["anger", "sadness"]})
    rows.to_csv(root / "own.csv", index=False)
    console = Console(record=True, width=100)
    console.print(describe(load(f"manifest:{root}/own.csv"), probe=False))
    text = console.export_text()
    assert "left out" not in text
    assert "1 further rows or copies of recordings that are used\n1 × has a second row, of" in text


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("duration", [100, 0.1, None])
def test_lengths_are_those_of_recordings_whatever_a_table_says(write, ending, duration):
    """NeMo's and Common Voice's tables have a column of that name, the latter in milliseconds."""
    root = write("a.wav", "b.wav", "c.wav")
    (root / "c.wav").write_bytes(b"not a recording")
    frame = pd.DataFrame(
        {"path": ["a.wav", "b.wav", "c.wav"], "language": "de", "emotion": "anger"}
    )
    frame = frame.assign(duration=duration, samplerate=8000, channels=2, frames=1)
    table = root / f"own.{ending}"
    frame.to_csv(table, index=False) if ending == "csv" else frame.to_parquet(table)
    found = describe(load(f"manifest:{table}"))
    assert found.facts["Seconds per utterance"].startswith("0.10 / 0.10 / 0.10")
    assert found.classes["hours"].sum() == pytest.approx(0.2 / 3600)
    assert found.audio.values.tolist() == [[16_000, 1, 2]]
    assert [problem.path for problem in found.problems] == [str(root / "c.wav")]
    unread = describe(load(f"manifest:{table}"), probe=False)
    assert "Hours" not in unread.facts and "hours" not in unread.classes and unread.audio.empty


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_was_probed_is_read_once_and_again_when_it_was_saved(write, ending):
    root = write("a.wav", "b.wav")
    frame = pd.DataFrame({"path": ["a.wav", "b.wav"], "language": "de", "emotion": "anger"})
    frame.to_csv(root / "own.csv", index=False)
    probed = probe(load(f"manifest:{root}/own.csv"))
    write_manifest(probed, root / f"saved.{ending}")
    (root / "b.wav").write_bytes(b"not a recording")
    found = describe(probed[probed["utterance"] == "own/b"])
    assert found.problems == [] and found.audio.values.tolist() == [[16_000, 1, 1]]
    assert describe(probed, probe=False).facts["Hours"] == "0.00"
    found = describe(load(f"manifest:{root}/saved.{ending}"))
    assert [problem.path for problem in found.problems] == [str(root / "b.wav")]
    assert found.facts["Seconds per utterance"].startswith("0.10 / 0.10 / 0.10")
