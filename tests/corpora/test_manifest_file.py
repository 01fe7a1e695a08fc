"""Manifests as people have them: every layout, encoding and name of a column, or a line that says what is missing."""

import importlib
import json
import unicodedata

import pandas as pd
import pytest

from cleser.cli import main
from cleser.corpora import Protocol, describe, load, problems
from cleser.corpora.folds import make_folds
from cleser.corpora.manifest import Gap, unused_columns
from cleser.corpora.terms import CODES, to_emotions

ROWS = {
    "path": ["a.wav", "sub/b.wav"],
    "language": "de",
    "emotion": ["Angry", "neu"],
    "speaker": "01",
}


@pytest.fixture
def folder(write):
    return write("a.wav", "sub/b.wav")


def kept(manifest):
    return manifest[["utterance", "language", "emotion"]].to_numpy().tolist()


EXPECTED = [["own/a", "de", "anger"], ["own/b", "de", "neutral"]]


@pytest.mark.parametrize(
    ("ending", "separator"),
    [("csv", ","), ("CSV", ";"), ("tsv", "\t"), ("txt", ","), ("csv", "\t")],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_tables_of_text(folder, ending, separator, encoding):
    frame = pd.DataFrame(ROWS).assign(text=["für “dich”", None])
    content = frame.to_csv(index=False, sep=separator).encode(encoding)
    (folder / f"own.{ending}").write_bytes(content)
    manifest = load(f"manifest:{folder}/own.{ending}")
    assert kept(manifest) == EXPECTED
    assert manifest["text"].iloc[0] == "für “dich”"
    assert manifest["speaker"].tolist() == ["own/01"] * 2


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_other_tables(folder, ending):
    frame = pd.DataFrame(ROWS)
    if ending == "parquet":
        frame.to_parquet(folder / "own.parquet")
    else:
        frame.to_json(folder / f"own.{ending}", orient="records", lines=ending == "jsonl")
    assert kept(load(f"manifest:{folder}/own.{ending}")) == EXPECTED


@pytest.mark.parametrize(
    "name", ["file", "file_name", "filename", "wav", "audio_path", "audio_filepath", "name"]
)
def test_names_of_the_path(folder, name):
    pd.DataFrame(ROWS).rename(columns={"path": name}).to_csv(folder / "own.csv", index=False)
    assert kept(load(f"manifest:{folder}/own.csv")) == EXPECTED


def test_paths_from_windows_from_home_and_none(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    frame = pd.DataFrame({"path": ["sub\\b.wav", "~/a.wav", None, "", "nan"], "language": "de"})
    frame.to_csv(folder / "own.csv", index=False)
    manifest = load(f"manifest:{folder}/own.csv")
    assert manifest["path"].tolist() == [str(folder / "sub/b.wav"), str(folder / "a.wav")]
    assert [(p.path.rpartition(": ")[2], p.reason) for p in problems(manifest)] == [
        (f"row {row}", "has no path") for row in (2, 3, 4)
    ]


def test_paths_that_no_file_can_have(folder):
    names = ["a.wav", "~nobody-of-this-name/a.wav", "x\\" + "9" * 400, "9" * 400]
    pd.DataFrame({"path": names, "language": "de"}).to_csv(folder / "own.csv", index=False)
    manifest = load(f"manifest:{folder}/own.csv")
    assert len(manifest) == 1
    assert [p.reason for p in problems(manifest)] == ["is missing"] * 3


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_audformats_segments(folder, kind):
    index = pd.MultiIndex.from_arrays(
        [
            ["a.wav", "a.wav", "sub/b.wav"],
            pd.to_timedelta([0, 0.04, 0], unit="s"),
            pd.to_timedelta([0.04, 0.1, None], unit="s"),
        ],
        names=["file", "start", "end"],
    )
    table = pd.DataFrame({"emotion": ["hap", "sad", "F"], "speaker": "1"}, index=index)
    if kind == "parquet":
        table.to_parquet(folder / "own.parquet")
    else:
        table.to_csv(folder / "own.csv")
    spec = f"manifest:{folder}/own.{kind}?language=German&corpus=emodb"
    manifest = load(spec)
    assert manifest["utterance"].tolist() == [
        "emodb/a_0.000-0.040",
        "emodb/a_0.040-0.100",
        "emodb/b",
    ]
    assert manifest["start"].tolist() == [0, 0.04, 0]
    assert manifest["end"].fillna(-1).tolist() == [0.04, 0.1, -1]
    assert manifest["language"].unique().tolist() == ["de"]
    # EMO-DB's F is Freude.
    assert manifest["emotion"].tolist() == ["happiness", "sadness", "happiness"]


def test_a_list_of_emobox(write):
    root = write("down/x/fear/f1 (2).wav", "down/x/anger/a1 (2).wav")
    rows = [
        {"key": f"aesdd-{n}", "dataset": "aesdd", "wav": f"down/x/{w}", "emo": e, "length": 0.1}
        for n, w, e in (("f1-2", "fear/f1 (2).wav", "f"), ("a1-2", "anger/a1 (2).wav", "a"))
    ]
    (root / "aesdd").mkdir()
    (root / "aesdd/label_map.json").write_text(json.dumps({"f": "Fear", "a": "Angry"}))
    (root / "aesdd/list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (root / "aesdd/down").symlink_to(root / "down")
    manifest = load(f"manifest:{root}/aesdd/list.jsonl")
    assert kept(manifest) == [
        ["aesdd/aesdd-f1-2", "el", "fear"],
        ["aesdd/aesdd-a1-2", "el", "anger"],
    ]
    by_key = {row["key"]: {k: v for k, v in row.items() if k != "key"} for row in rows}
    (root / "aesdd/list.json").write_text(json.dumps(by_key))
    assert kept(load(f"manifest:{root}/aesdd/list.json")) == kept(manifest)


def test_the_list_of_emovo_has_the_codes_of_its_names(write):
    """EmoBox has no map of labels for it."""
    lines = [
        {"key": f"emovo-{code}", "dataset": "emovo", "wav": f"{code}.wav", "emo": code}
        for code in ("gio", "sor")
    ]
    root = write("gio.wav", "sor.wav")
    (root / "emovo.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert load(f"manifest:{root / 'emovo.jsonl'}")["emotion"].tolist() == ["happiness", "surprise"]


def test_files_that_are_named_alike(write):
    root = write("Sad/1234.wav", "Calm/1234.wav")
    frame = pd.DataFrame({"file": ["Sad/1234.wav", "Calm/1234.wav"], "language": "tr"})
    pd.concat([frame, frame.head(1)]).to_csv(root / "own.csv", index=False)
    manifest = load(f"manifest:{root}/own.csv")
    assert manifest["utterance"].tolist() == ["own/Sad/1234", "own/Calm/1234"]
    assert [p.reason for p in problems(manifest)] == ["has a second row"]
    said = [frame.assign(emotion=["sad", "calm"]), frame.head(1).assign(emotion="anger")]
    pd.concat(said).to_csv(root / "own.csv", index=False)
    manifest = load(f"manifest:{root}/own.csv")
    assert manifest["emotion"].tolist() == ["sadness", "calm"]
    assert [p.reason for p in problems(manifest)] == [
        "has a second row, of emotion anger, where the first one says sad"
    ]


def test_a_second_row_with_the_first_label_is_said(write):
    root = write("a.wav")
    rows = pd.DataFrame({"path": "a.wav", "language": "de", "emotion": [None, "anger"]})
    rows.to_csv(root / "own.csv", index=False)
    manifest = load(f"manifest:{root}/own.csv")
    assert manifest["emotion"].isna().tolist() == [True]
    assert [p.reason for p in problems(manifest)] == [
        "has a second row, of emotion anger, where the first one says none"
    ]


def test_genders_that_are_not_understood_are_said(write):
    names = [f"{letter}.wav" for letter in "abcdefg"]
    root = write(*names)
    said = ["f", "Male", "weiblich", "weiblich", "männlich", "NA", None]
    rows = pd.DataFrame({"path": names, "language": "de", "sex": said})
    rows.to_csv(root / "own.csv", index=False)
    manifest = load(f"manifest:{root}/own.csv")
    assert manifest["gender"].dropna().tolist() == ["female", "male"]
    (gap,) = problems(manifest)
    assert isinstance(gap, Gap) and gap.path == str(root / "own.csv")
    assert gap.reason.startswith("gender is 'weiblich', 'männlich' in 3 rows, expected female or")


def test_a_folder_that_is_no_database_says_what_to_give(write):
    root = write("angry/1.wav", "happy/2.wav")
    with pytest.raises(
        ValueError, match=r"is a folder without db\.yaml, .*write a table with a row"
    ):
        load(f"manifest:{root}")
    (root / "metadata.csv").write_text("file_name,language\nangry/1.wav,de\n")
    with pytest.raises(ValueError, match=r"give its table, as manifest:.*metadata\.csv"):
        load(f"manifest:{root}")


def test_emotions_are_renamed_where_a_corpus_is_described_or_converted(write, capsys):
    root = write("1.wav", "2.wav")
    frame = pd.DataFrame({"path": ["1.wav", "2.wav"], "language": "it"})
    frame.assign(emotion=["neutrale", "sad"]).to_csv(root / "own.csv", index=False)
    spec = f"manifest:{root}/own.csv"
    assert main(["data", "describe", spec, "--no-probe"]) == 2
    assert "--map neutrale=CLASS" in " ".join(capsys.readouterr().err.split())
    named = ["--map", "neutrale=neutral"]
    assert main(["data", "describe", spec, "--no-probe", *named]) == 0
    assert "neutral" in capsys.readouterr().out
    assert main(["data", "convert", spec, str(root / "out.csv"), *named]) == 0
    assert pd.read_csv(root / "out.csv")["emotion"].tolist() == ["neutral", "sadness"]


def test_words_of_others(folder):
    frame = pd.DataFrame(
        {
            "file": ["a.wav", "sub/b.wav"],
            "lang": ["English", "zh-Hans-CN"],
            "sex": ["M", "child"],
            "Split_Set": ["Development", "Test1"],
            "speaker_id": ["7", "unknown"],
            "emotion": ["pleasant surprise", "NaN"],
        }
    )
    frame.to_csv(folder / "own.csv", index=False)
    rows = load(f"manifest:{folder}/own.csv")
    names = ["language", "gender", "split", "speaker", "emotion"]
    assert rows[names].iloc[0].tolist() == ["en", "male", "dev", "own/7", "surprise"]
    assert rows[names].iloc[1].fillna("").tolist() == ["zh", "", "test1", "", ""]
    frame.assign(Split_Set=["0", "1"]).to_csv(folder / "own.csv", index=False)
    assert load(f"manifest:{folder}/own.csv")["fold"].tolist() == ["0", "1"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"path": ["a.wav"]}, r"expected also \['language'\].*manifest:own\.csv\?language=en"),
        (
            {"path": ["a.wav"], "language": "de", "emotion": "whisper"},
            r"is 'whisper', .*--map whisper=CLASS",
        ),
        (
            {"path": ["a.wav"], "language": "de", "end": "soon"},
            "found 'soon', expected end in seconds",
        ),
        (
            {"path": ["a.wav"], "language": "de", "emotion": "A"},
            "letters .'A'., which mean something else in each corpus",
        ),
    ],
)
def test_what_is_missing_is_said_in_a_line(folder, rows, said):
    pd.DataFrame(rows).to_csv(folder / "own.csv", index=False)
    with pytest.raises(ValueError, match=said):
        load(f"manifest:{folder}/own.csv")
    with pytest.raises(ValueError, match=r"found \['color'\] behind the question mark"):
        load(f"manifest:{folder}/own.csv?color=blue")


def test_what_has_to_be_converted_first_is_told_how(folder):
    (folder / "a.m4a").write_bytes(b"....ftypM4A and so on")
    (folder / "c.wav").write_bytes(b"no sound")
    frame = pd.DataFrame({"path": ["a.m4a", "sub/b.wav", "c.wav"], "language": "de"})
    frame.to_csv(folder / "own.csv", index=False)
    reasons = [p.reason for p in describe(load(f"manifest:{folder}/own.csv")).problems]
    assert reasons[0].endswith(": convert it with ffmpeg -i NAME.m4a -ac 1 -ar 16000 NAME.wav")
    assert "ffmpeg" not in reasons[1]
    (folder / "own.xlsx").touch()
    with pytest.raises(
        ValueError, match=r"found \.xlsx, expected one of .*: save the sheet as CSV"
    ):
        load(f"manifest:{folder}/own.xlsx")


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet", "csv"])
def test_a_gap_does_not_rename_the_speakers_who_are_numbers(folder, ending):
    frame = pd.DataFrame({"path": ["a.wav", "sub/b.wav"], "language": "de", "speaker": [1, None]})
    if ending in ("parquet", "csv"):
        frame["speaker"] = frame["speaker"].astype("float64" if ending == "parquet" else "Int64")
        getattr(frame, f"to_{ending}")(folder / f"own.{ending}", index=False)
    else:
        frame["speaker"] = frame["speaker"].astype("object").where(frame["speaker"].notna(), None)
        rows = [{**row, "speaker": row["speaker"] and 1} for row in frame.to_dict("records")]
        lines = [json.dumps(row) for row in rows]
        text = "\n".join(lines) if ending == "jsonl" else f"[{','.join(lines)}]"
        (folder / f"own.{ending}").write_text(text)
    speakers = load(f"manifest:{folder}/own.{ending}")["speaker"]
    assert speakers[0] == "own/1"
    assert pd.isna(speakers[1])


def test_who_is_called_x_is_somebody(folder):
    frame = pd.DataFrame({**ROWS, "speaker": ["X", "unknown"]})
    frame.to_csv(folder / "own.csv", index=False)
    speakers = load(f"manifest:{folder}/own.csv")["speaker"]
    assert speakers[0] == "own/X"
    assert pd.isna(speakers[1])


@pytest.mark.parametrize("first", ["start", "offset"])
def test_a_stretch_ends_after_its_duration(folder, first):
    frame = pd.DataFrame({"path": "a.wav", "language": "de", first: [0, 0.05], "duration": 0.05})
    frame.to_csv(folder / "own.csv", index=False)
    found = load(f"manifest:{folder}/own.csv")
    assert found[["start", "end"]].to_numpy().tolist() == [[0, 0.05], [0.05, 0.1]]
    frame.assign(end=[0.02, 0.09]).to_csv(folder / "own.csv", index=False)  # which says it
    assert load(f"manifest:{folder}/own.csv")["end"].tolist() == [0.02, 0.09]


@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_stray_quote_takes_no_other_rows(folder, separator):
    rows = [("path", "text", "emotion", "language"), ("a.wav", '"Hello', "anger", "de"),
            ("sub/b.wav", 'said "no"', "sad", "de")]  # fmt: skip
    (folder / "own.tsv").write_text("\n".join(separator.join(row) for row in rows))
    found = load(f"manifest:{folder}/own.tsv")
    assert found["emotion"].tolist() == ["anger", "sadness"]
    assert found["text"].tolist() == ['"Hello', 'said "no"']


def test_quotes_that_close_enclose_cells(folder):
    quoted = pd.DataFrame({**ROWS, "text": ['two\nlines, "quoted"', "b"]})
    for separator in ("\t", ",", ";"):
        quoted.to_csv(folder / "own.csv", sep=separator, index=False)
        found = load(f"manifest:{folder}/own.csv")
        assert found["text"].tolist() == quoted["text"].tolist()
    # Each line has as many commas as the first, which is chance.
    text = 'path,text\na.wav,"a\nb, c"\nsub/b.wav,"e"\n'
    (folder / "own.csv").write_text(text)
    assert load(f"manifest:{folder}/own.csv?language=de")["text"].tolist() == ["a\nb, c", "e"]
    (folder / "own.csv").write_text('path\n"a.wav"\n"sub/b.wav"\n')
    assert len(load(f"manifest:{folder}/own.csv?language=de")) == 2


def test_a_quote_that_never_closes_in_a_long_table_is_text(folder):
    rows = ["path,text,language", 'a.wav,"oh,de', *(f"no-{n}.wav,hm hm,de" for n in range(9000))]
    (folder / "own.csv").write_text("\n".join(rows))
    assert load(f"manifest:{folder}/own.csv")["text"].tolist() == ['"oh']


def test_lines_of_old_programs_and_rows_with_numbers(folder):
    (folder / "own.csv").write_bytes(b"path,emotion,language\ra.wav,anger,de\rsub/b.wav,neu,de\r")
    assert kept(load(f"manifest:{folder}/own.csv")) == EXPECTED
    frame = pd.DataFrame(ROWS)
    for first in (0, 1):
        frame.index += first
        frame.to_csv(folder / "own.csv", index_label=False)
        assert kept(load(f"manifest:{folder}/own.csv")) == EXPECTED
    (folder / "own.csv").write_text("path,language\na.wav,de,\nsub/b.wav,de,more\n")
    with pytest.raises(ValueError, match=r"line 3 has 3 cells.*\['path', 'language'\]"):
        load(f"manifest:{folder}/own.csv")


def test_a_first_row_with_more_cells_than_columns_is_named(folder):
    text = "path,text,emotion,language\na.wav,Hello, you,anger,de\n"
    (folder / "own.csv").write_text(text)
    with pytest.raises(ValueError, match=r"own\.csv: line 2 has 5 cells.*4 .*in quotes"):
        load(f"manifest:{folder}/own.csv")
    (folder / "own.csv").write_text("path,emotion,language\na.wav,anger,de,\nsub/b.wav,neu,de,\n")
    assert kept(load(f"manifest:{folder}/own.csv")) == EXPECTED  # a comma at the end of each line


@pytest.mark.parametrize("content", ["[1, 2]", "{", '"a"', '[{"path": 1}]', "[" * 99_999])
def test_json_of_something_else(folder, content):
    (folder / "own.json").write_text(content)
    with pytest.raises(ValueError, match=r"own\.json"):
        load(f"manifest:{folder}/own.json")


def test_emotions_are_renamed_before_they_are_checked(folder):
    frame = pd.DataFrame(ROWS).assign(emotion=["whisper", "Angry"])
    frame.to_csv(folder / "own.csv", index=False)
    spec = f"manifest:{folder}/own.csv"
    rename = {"whisper": "calm", "calm": "neutral", "anger": "negative"}
    assert load(spec, rename)["emotion"].tolist() == ["calm", "negative"]
    protocol = Protocol([spec], [spec], labels=("calm", "negative"), map=rename)
    assert protocol.load().source["emotion"].tolist() == ["calm", "negative"]


@pytest.mark.parametrize("corpus", CODES)
def test_letters_mean_what_their_corpus_says(corpus):
    letters = pd.Series(list(CODES[corpus]))
    expected = [name or None for name in CODES[corpus].values()]
    found = to_emotions(letters, corpus=corpus)
    assert [None if pd.isna(name) else name for name in found] == expected
    with pytest.raises(ValueError, match=f"in .*{corpus}.*; say whose they are"):
        to_emotions(letters)


@pytest.mark.parametrize("corpus", CODES)
def test_letters_in_tables_mean_what_the_reader_of_the_corpus_takes_them_for(corpus):
    file = "consensus" if corpus == "msp-podcast" else f"readers.{corpus.replace('-', '_')}"
    module = importlib.import_module(f"cleser.corpora.{file}")
    own = {code.upper(): name for code, name in module.EMOTIONS.items() if len(code) == 1}
    assert {code: name for code, name in CODES[corpus].items() if name} == own


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        # No corpus has them all; they became no label, without a word.
        (
            "RGTN",
            r"\['G', 'N', 'R', 'T'\].* has them all; say .*--map G=CLASS N=CLASS R=CLASS T=CL",
        ),
        (["R", "anger"], r"letters \['R'\].*--map R=CLASS"),
        # EMO-DB and ShEMO have them all, and mean different emotions.
        (
            "AFN",
            "A=anger F=fear N=neutral in msp-podcast, shemo, savee; A=fear F=happiness N=neutral in emodb;",
        ),
        ("ETN", r"E=disgust N=neutral T=sadness in emodb; .*manifest:FILE\?corpus=NAME"),
    ],
)
def test_letters_of_nobody_known_are_refused(folder, labels, said):
    frame = pd.DataFrame({"path": "a.wav", "language": "es", "emotion": list(labels)})
    frame.assign(start=frame.index / 100, end=0.1).to_csv(folder / "own.csv", index=False)
    spec = f"manifest:{folder}/own.csv"
    with pytest.raises(ValueError, match=said):
        load(spec)
    with pytest.raises(ValueError, match=said):
        load(f"{spec}?corpus=aesop")
    named = {label: "anger" for label in labels if len(label) == 1}
    assert load(spec, named)["emotion"].tolist() == ["anger"] * len(frame)
    assert load(spec, named).attrs["renamed"] == list(named)


@pytest.mark.parametrize("name", ["emodb", "EMO-DB", "emo_db"])
def test_letters_are_of_the_corpus_that_a_row_names(folder, name):
    frame = pd.DataFrame({"path": ["a.wav", "sub/b.wav"], "language": "de", "emotion": ["F", "F"]})
    frame.assign(corpus=[name, "shemo"]).to_csv(folder / "own.csv", index=False)
    assert load(f"manifest:{folder}/own.csv")["emotion"].tolist() == ["happiness", "fear"]
    frame.assign(corpus=[name, "own"]).to_csv(folder / "own.csv", index=False)
    with pytest.raises(ValueError, match=r"letters \['F'\]"):
        load(f"manifest:{folder}/own.csv")
    frame.assign(corpus=name, emotion=["F", "Q"]).to_csv(folder / "own.csv", index=False)
    with pytest.raises(ValueError, match=rf"letters \['Q'\], expected some of {name}'s, W, L"):
        load(f"manifest:{folder}/own.csv")


def test_x_is_no_emotion_whose_letters_are_known_or_not(folder):
    frame = pd.DataFrame({**ROWS, "emotion": ["X", "neu"]})
    frame.to_csv(folder / "own.csv", index=False)
    assert load(f"manifest:{folder}/own.csv")["emotion"].fillna("").tolist() == ["", "neutral"]


@pytest.mark.parametrize(
    "header",
    ["Path,Speaker,EMOTION,Lang", "File,SPK,Label,Language",
     "Filename,Speaker ID,Emotion Label,language code", "FILE-NAME,SpeakerID,Emotion-Class,Lang"],
)  # fmt: skip
def test_columns_are_known_however_they_are_spelt(folder, header):
    (folder / "own.csv").write_text(f"{header}\na.wav,01,Angry,de\nsub/b.wav,02,neu,de\n")
    manifest = load(f"manifest:{folder}/own.csv")
    assert kept(manifest) == EXPECTED
    assert manifest["speaker"].tolist() == ["own/01", "own/02"]


def test_attributes_are_known_in_capitals_too(folder):
    (folder / "own.csv").write_text("Path,language,Arousal,SCALE\na.wav,de,7,1..7\n")
    assert load(f"manifest:{folder}/own.csv")["arousal"].tolist() == [1.0]


@pytest.mark.parametrize("blank", ["NA", "NaN", "-", "n/a"])
@pytest.mark.parametrize("name", ["valence", "Valence", "votes.sad"])
def test_words_for_nothing_are_missing_among_numbers_too(folder, blank, name):
    pd.DataFrame({**ROWS, "Arousal": 0.5, name: [1, blank]}).to_csv(folder / "own.csv", index=False)
    found = load(f"manifest:{folder}/own.csv")
    column = "votes.sadness" if name == "votes.sad" else "valence"
    assert found[column].fillna(-9).tolist() == [1, -9]
    assert found["arousal"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("spec", ["manifest:corp/own.csv?language=en", "emodb:corp/emodb"])
def test_a_relative_path_that_is_not_there_says_what_it_is_relative_to(spec, folder, monkeypatch):
    """As a run's config.yaml holds it, and the command is given elsewhere."""
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=r"corp.* in the folder where the run was started\), exp"):
        load(spec)
    name, path = spec.split(":")
    with pytest.raises(ValueError, match=r"own.csv: no such file, exp|does not exist, exp"):
        load(f"{name}:{folder}/{path}")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("emotion", "hapiness", "emotion is 'hapiness'"),
        ("valence", "9", "valence is 9"),
        ("votes.fear", "-1", "votes.fear is '-1'"),
    ],
)
def test_a_row_is_numbered_as_in_the_table_where_others_are_left_out(folder, column, value, said):
    frame = pd.DataFrame({**ROWS, "scale": "1..7", column: [None, value]})
    frame.loc[0, "path"] = "absent.wav"
    frame.to_csv(folder / "own.csv", index=False)
    with pytest.raises(ValueError, match=rf"row 1 \(own/.*; the first is row 0\): {said}"):
        load(f"manifest:{folder}/own.csv")
    frame.drop(columns=column).to_csv(folder / "own.csv", index=False)
    assert load(f"manifest:{folder}/own.csv").index.tolist() == [0]


@pytest.mark.parametrize("blank", ["NA", " Na "])
def test_a_language_that_r_calls_na_is_not_that_of_nauru(folder, blank):
    frame = pd.DataFrame({**ROWS, "language": ["de", blank]})
    frame.to_csv(folder / "own.csv", index=False)
    with pytest.raises(ValueError, match=r"row 1 .*language is missing, .*\?language=en"):
        load(f"manifest:{folder}/own.csv")
    assert set(load(f"manifest:{folder}/own.csv?language=na")["language"]) == {"na"}


def test_a_time_that_cannot_be_is_named_as_it_stands(folder):
    pd.DataFrame({**ROWS, "start": [0, -1]}).to_csv(folder / "own.csv", index=False)
    with pytest.raises(ValueError, match="start is -1, expected a time in seconds"):
        load(f"manifest:{folder}/own.csv")


def test_stretches_that_differ_by_less_than_a_millisecond_are_two(folder):
    times = {"start": [1, 1.0004, 3, 3], "end": [2, 2, 4, 4]}
    pd.DataFrame({"path": "a.wav", "language": "de", **times}).to_csv(
        folder / "own.csv", index=False
    )
    found = load(f"manifest:{folder}/own.csv")
    names = ["own/a_1.000000-2.000000", "own/a_1.000400-2.000000", "own/a_3.000-4.000"]
    assert found["utterance"].tolist() == names
    assert [problem.reason for problem in problems(found)] == ["has a second row"]


@pytest.mark.parametrize(
    ("values", "query", "taken"),
    [(["positive", "negative"], "", False), ([4.2, 1.0], "", False), ([0.2, ""], "", True),
     ([4.2, ""], "?scale=1..5", True), (["positive", "4"], "?scale=1..5", False)],
)  # fmt: skip
def test_attributes_in_capitals_are_taken_where_they_may_be_such(folder, values, query, taken):
    frame = pd.DataFrame({**ROWS, "Valence": values})
    frame.to_csv(folder / "own.csv", index=False)
    found = load(f"manifest:{folder}/own.csv{query}")
    assert kept(found) == EXPECTED
    assert ("valence" in found) == taken
    assert ("Valence" in found) == (not taken)
    frame.drop(columns="speaker").to_csv(folder / "own.csv", index=False)
    unused = unused_columns(load(f"manifest:{folder}/own.csv{query}"))
    assert unused == ({} if taken else {"speaker": ["Valence"]})


def test_columns_that_nobody_knows_are_told_where_emotions_or_speakers_are_missing(folder):
    frame = pd.DataFrame({**ROWS, "talker": "02", "take": 1})
    spec = f"manifest:{folder}/own.csv"
    frame.to_csv(folder / "own.csv", index=False)
    assert "Columns not used" not in describe(load(spec), probe=True).facts
    unknown = frame.drop(columns="speaker").rename(columns={"emotion": "Gefühl"})
    unknown.to_csv(folder / "own.csv", index=False)
    said = describe(load(spec), probe=True).facts["Columns not used"]
    assert said == "Gefühl, talker, take (emotion and speaker not found)"
    frame.drop(columns="speaker").to_csv(folder / "own.csv", index=False)
    cast = Protocol([spec], [spec], labels=("anger", "neutral")).load()
    assert f"{spec}: no speaker was found, and the columns talker, take are not used" in cast.notes


COMPOSED, DECOMPOSED = "\u00e9t\u00e9", "e\u0301te\u0301"


@pytest.mark.parametrize(
    ("listed", "there"),
    [
        (f"{COMPOSED}.wav", f"{DECOMPOSED}.wav"),
        (f"{DECOMPOSED}.wav", f"{COMPOSED}.wav"),
        (f"{COMPOSED}/{COMPOSED}/1.wav", f"{DECOMPOSED}/{COMPOSED}/1.wav"),
        ("Anna/1.wav", "anna/1.WAV"),
    ],
)
def test_files_are_found_in_another_form_or_in_capitals(write, listed, there):
    root = write(there, "b.wav")
    frame = pd.DataFrame({"path": [listed, "b.wav"], "language": "fr"})
    frame.to_csv(root / "own.csv", index=False)
    found = load(f"manifest:{root}/own.csv")
    assert found["path"].tolist() == [str(root / there), str(root / "b.wav")]
    assert problems(found) == []
    stem = there.rpartition("/")[2].rpartition(".")[0]
    assert found["utterance"][0] == f"own/{unicodedata.normalize('NFC', stem)}"


def test_a_file_that_two_names_may_mean_is_missing(write):
    root = write("a.WAV", "A.wav", "b.WAV")
    frame = pd.DataFrame({"path": ["a.wav", "b.wav", "b.WAV"], "language": "fr"})
    frame.to_csv(root / "own.csv", index=False)
    found = load(f"manifest:{root}/own.csv")
    assert found["path"].tolist() == [str(root / "b.WAV")]
    assert [p.reason for p in problems(found)] == ["is missing"] * 2


def test_a_file_that_two_rows_may_mean_is_of_neither(write):
    root = write("a.wav", f"{DECOMPOSED}.wav")
    listed = ["A.wav", "a.WAV", f"{COMPOSED}.wav", f"./{COMPOSED}.wav"]
    frame = pd.DataFrame({"path": listed, "language": "fr", "start": range(4)})
    frame.to_csv(root / "own.csv", index=False)
    found = load(f"manifest:{root}/own.csv")
    assert found["path"].tolist() == [str(root / f"{DECOMPOSED}.wav")] * 2
    assert [p.reason for p in problems(found)] == ["is missing"] * 2


def test_two_files_whose_names_differ_in_their_form_alone_are_two(write):
    names = [f"{DECOMPOSED}.wav", f"{COMPOSED}.wav", "b.wav"]
    root = write(*names)
    pd.DataFrame({"path": names, "language": "fr"}).to_csv(root / "own.csv", index=False)
    found = load(f"manifest:{root}/own.csv")
    assert found["path"].tolist() == [str(root / name) for name in names]
    assert found["utterance"].tolist() == [f"own/{COMPOSED}", f"own/{COMPOSED}_2", "own/b"]


@pytest.mark.parametrize("there", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("named", [COMPOSED, DECOMPOSED, COMPOSED.upper()])
def test_labels_and_people_are_the_same_in_another_form(folder, there, named):
    frame = pd.DataFrame({**ROWS, "emotion": there, "speaker": [COMPOSED, DECOMPOSED]})
    frame.to_csv(folder / "own.csv", index=False)
    found = load(f"manifest:{folder}/own.csv", {named: "anger"})
    assert found["emotion"].tolist() == ["anger"] * 2
    assert found["speaker"].nunique() == 1
    assert found.attrs["renamed"] == [named]


def test_lists_of_folds_are_read_in_another_form(write):
    root = write(f"{DECOMPOSED}1.wav", f"{COMPOSED}2.wav")
    frame = pd.DataFrame({"path": [f"{COMPOSED}1.wav", f"{COMPOSED}2.wav"], "language": "fr"})
    frame.to_csv(root / "own.csv", index=False)
    split = frame.assign(path=[f"{COMPOSED}1.wav", f"{DECOMPOSED}2.wav"], split=["train", "test"])
    split.to_csv(root / "split.csv", index=False)
    (fold,) = make_folds(load(f"manifest:{root}/own.csv"), str(root / "split.csv"))
    assert list(fold.roles) == ["train", "test"]


def test_times_may_have_a_decimal_comma(folder):
    frame = pd.DataFrame({"path": "a.wav", "language": "de", "start": ["0,01", "00:00:00,05"]})
    frame["end"] = ["0,05", "0.1"]
    frame.to_csv(folder / "own.csv", index=False, sep=";")
    found = load(f"manifest:{folder}/own.csv")
    assert found[["start", "end"]].to_numpy().tolist() == [[0.01, 0.05], [0.05, 0.1]]
    frame.assign(end=["1.234,5", "2"]).to_csv(folder / "own.csv", index=False, sep=";")
    with pytest.raises(ValueError, match=r"found '1\.234,5', expected end in seconds"):
        load(f"manifest:{folder}/own.csv")


def test_who_is_named_is_no_path_and_what_is_said_no_id(folder):
    """MELD's Utterance is a text; a column Name beside the path stays what it is."""
    rows = "Name,path,language,Utterance\nAnna,a.wav,de,Guten Tag\nBen,sub/b.wav,de,Hallo\n"
    (folder / "own.csv").write_text(rows)
    manifest = load(f"manifest:{folder}/own.csv")
    assert manifest["utterance"].tolist() == ["own/a", "own/b"]
    assert manifest["text"].tolist() == ["Guten Tag", "Hallo"]
