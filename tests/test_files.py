"""Files appear whole or not at all."""

import pytest
import torch
from safetensors.torch import save_file

from cleser.files import replacing, write_bytes, write_text


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
