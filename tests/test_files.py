"""Files appear whole or not at all."""

import os
import re
import resource

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from cleser.cli import main
from cleser.corpora import load
from cleser.features import store_features
from cleser.files import check_writable, in_cache, replacing, write_bytes, write_text
from cleser.speech import (
    AcousticBackbone,
    AcousticSpeakerEncoder,
    embed_speakers,
)


def test_a_block_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old\n")

    def fail(part):
        part.write_text("ha")
        raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"), replacing(path) as part:
        fail(part)
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_text() == "old\n"


@pytest.mark.parametrize("durable", [False, True])
def test_the_new_content_takes_the_name_and_its_usual_rights(tmp_path, durable):
    path, usual = tmp_path / "new" / "a.bin", tmp_path / "usual"
    write_bytes(path, b"old and longer", durable=durable)
    write_bytes(path, b"new\r\n", durable=durable)
    assert path.read_bytes() == b"new\r\n"
    usual.touch()
    with replacing(tmp_path / "weights") as part:
        save_file({"a": torch.zeros(1)}, part)  # which its writer keeps to itself
    assert (tmp_path / "weights").stat().st_mode == usual.stat().st_mode
    assert path.stat().st_mode == usual.stat().st_mode
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


@pytest.mark.parametrize(
    "write",
    [
        lambda part: part.write_bytes(bytes(5000)),
        lambda part: save_file({"a": torch.zeros(2000)}, part),
        lambda part: pd.DataFrame({"a": torch.rand(2000).numpy()}).to_parquet(part),
    ],
    ids=["bytes", "tensors", "table"],
)
def test_a_full_disk_is_said_of_the_file_that_did_not_fit(tmp_path, write):
    path = tmp_path / "checkpoint"
    write_text(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError, match="checkpoint") as refused:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # as if the disk ended here
            with replacing(path) as part:
                write(part)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.filename == str(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "a,b\n")
        assert pipe.is_fifo()
        assert os.read(reader, 9) == b"a,b\n"
    finally:
        os.close(reader)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_a_device_can_be_written_though_no_file_can_be_made_beside_it(monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    check_writable(os.devnull, "--csv")
    with pytest.raises(ValueError, match=r"^--csv \S+ cannot be written .*Permission denied"):
        check_writable(f"{os.devnull}.csv", "--csv")


def test_a_cache_that_cannot_be_written_says_what_it_is_and_what_to_set(
    tmp_path, monkeypatch, capsys
):
    rows = load("synthetic:en?speakers=1&sentences=1")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "file" / "cache"))
    said = r"file/cache: the cache, where {} are kept, cannot be written \(.*\); name another folder in CLESER_CACHE"
    with pytest.raises(OSError, match=said.format("features")):
        store_features(rows, AcousticBackbone())
    with pytest.raises(OSError, match=said.format("speakers' vectors")):
        embed_speakers(rows, AcousticSpeakerEncoder())
    assert main(["data", "describe", "synthetic:en?speakers=1&sentences=1"]) == 2
    line = " ".join(capsys.readouterr().err.split())
    assert re.search(said.format("synthetic recordings"), line.replace("/ ", "/"))


def test_what_fails_elsewhere_is_not_laid_on_the_cache(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, in_cache("features", tmp_path / "cache"):
        (tmp_path / "recording.wav").read_bytes()
    assert caught.value.filename == str(tmp_path / "recording.wav")
