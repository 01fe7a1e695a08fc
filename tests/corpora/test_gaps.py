"""What is not known of recordings that are used: it is said, and none of them is counted among the lost."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from cleser.cli import main
from cleser.corpora import Gap, describe, load, problems
from cleser.corpora.attributes import attributes_of
from cleser.corpora.left_out import lost, reasons
from cleser.experiments.prediction.recogniser import _with_problems

BEYOND = "is beyond its scale and counts as missing: 9, expected 1 to"


def iemocap(write, turns, labelled):
    root = write(*(f"Session1/sentences/wav/Ses01F_impro01/{turn}.wav" for turn in turns))
    label, said = "[6.2 - 8.2]\t{}\tneu\t[2.5, 2.5, 9.0]", "{} [6-8]: Ja."
    for kind, line in (("EmoEvaluation", label), ("transcriptions", said)):
        (root / "Session1/dialog" / kind).mkdir(parents=True)
        text = "\n".join(line.format(turn) for turn in labelled)
        (root / "Session1/dialog" / kind / "Ses01F_impro01.txt").write_text(text)
    return f"iemocap:{root}"


def msp_podcast(write, turns, labelled):
    root = write(*(f"Audios/{turn}.wav" for turn in turns))
    lines = [f"{turn}.wav,N,2,4,9" for turn in labelled]
    text = "\n".join(["FileName,EmoClass,EmoAct,EmoVal,EmoDom", *lines])
    (root / "labels_consensus.csv").write_text(text)
    return f"msp-podcast:{root}"


def biic_podcast(write, turns, labelled):
    return msp_podcast(write, turns, labelled).replace("msp", "biic", 1)


def msp_improv(write, turns, labelled):
    root = write(*(f"session1/{turn}.wav" for turn in turns))
    lines = [f"UTD-{turn.removeprefix('MSP-')}.avi; H; A:2.0; V:4.0; D:9 ; N:3.0;" for turn in labelled]  # fmt: skip
    (root / "Evaluation.txt").write_text("\n".join(lines))
    return f"msp-improv:{root}"


@pytest.mark.parametrize(
    ("corpus", "turn"),
    [
        (iemocap, "Ses01F_impro01_F00{}"),
        (msp_podcast, "MSP-PODCAST_0001_000{}"),
        (biic_podcast, "BIIC-PODCAST_0001_000{}"),
        (msp_improv, "MSP-IMPROV-S01A-F01-P-FM0{}"),
    ],
)
def test_a_value_beyond_its_scale_loses_no_recording(write, corpus, turn):
    turns = [turn.format(number) for number in range(1, 4)]
    manifest = load(corpus(write, turns[:2], turns))  # of the third there is no recording
    assert manifest["emotion"].notna().all() and len(manifest) == 2
    assert np.isnan(attributes_of(manifest)).sum(0).tolist() == [0, 0, 2]
    found = manifest.attrs["problems"]
    assert [problem["reason"] for problem in lost(found)] == ["has no recording"]
    known_less = [problem for problem in problems(manifest) if isinstance(problem, Gap)]
    assert [p.path.rpartition(": ")[2] for p in known_less] == [f"{t}, dominance" for t in turns[:2]]  # fmt: skip
    first, second = reasons(found)
    assert first.startswith("1 recording left out: has no recording")
    assert second.startswith(f"2 gaps (the recordings are used): {BEYOND}")
    assert second.endswith(f"{turns[0]}, dominance")


def test_texts_and_genders_that_are_missing_lose_no_recording(write, tmp_path):
    at = write("0012/Angry/0012_000351.wav", root=tmp_path / "esd")
    esd = load(f"esd:{at}")
    (at / "0012/0012.txt").write_text("0012_000351\tHello.\tAngry\nodd\n")
    odd = load(f"esd:{at}")
    root = write("audio/1.wav", root=tmp_path / "emozionalmente")
    (root / "metadata").mkdir()
    table = "file_name,actor,sentence,emotion_expressed\n1.wav,a1,Vorrei,joy\n"
    (root / "metadata/samples.csv").write_text(table)
    said = {
        "0012.txt": (esd, "is missing: the texts are unknown"),
        "/0012.txt": (odd, "has a line that is no id, text, emotion: 'odd'"),
        "users.csv": (load(f"emozionalmente:{root}"), "is missing: the genders are unknown"),
    }
    for name, (manifest, why) in said.items():
        (line,) = reasons(manifest.attrs["problems"])
        assert line.startswith(f"1 gap (the recordings are used): {why}, as ") and name in line
        assert len(manifest) == 1 and lost(manifest.attrs["problems"]) == []


def test_iemocap_without_transcriptions_says_so(write):
    spec = iemocap(write, ["Ses01F_impro01_F001"], ["Ses01F_impro01_F001"])
    texts = Path(spec.partition(":")[2]) / "Session1/dialog/transcriptions"
    assert load(spec)["text"].tolist() == ["Ja."]
    (texts / "Ses01F_impro01.txt").unlink()
    manifest = load(spec)
    assert Gap(str(texts), "holds no .txt: the texts are unknown") in problems(manifest)
    assert lost(manifest.attrs["problems"]) == []


def test_describe_convert_and_predict_keep_gaps_apart(write, tmp_path, capsys):
    turns = [f"MSP-PODCAST_0001_000{number}" for number in range(1, 3)]
    spec = msp_podcast(write, turns[:1], turns)
    console = Console(record=True, width=200)
    console.print(describe(load(spec)))
    text = console.export_text()
    assert "1 problem (left out)" in text and "1 gap (the recordings are used)" in text
    assert main(["data", "convert", spec, str(tmp_path / "out.parquet")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 utterances, 1 left out, 1 gap (the recordings are used)" in said
    again = load(f"manifest:{tmp_path / 'out.parquet'}")
    assert len(again) == 1
    listed = _with_problems(pd.DataFrame(columns=["path", "reason"]), load(spec))
    assert listed["reason"].tolist() == ["has no recording"]


def test_many_gaps_are_counted_and_not_all_told():
    found = [{"path": f"{i}", "reason": f"lacks {chr(97 + i)}", "kind": "gap"} for i in range(10)]
    assert len(reasons([*found, *found])) == 9
    assert reasons(found)[-1] == "2 gaps (the recordings are used), for 2 further reasons"


def test_nothing_usable_counts_no_gaps(write):
    spec = msp_podcast(write, ["MSP-PODCAST_0001_0009"], ["MSP-PODCAST_0001_0001"])
    with pytest.raises(ValueError, match="nothing usable among 2 recordings"):
        load(spec)
