"""Backbones' names taken apart, with folders whose names look like settings."""

import pytest

from cleser.cli.extract import with_layers
from cleser.experiments.export.folder import BACKBONE_FOLDER
from cleser.experiments.saved import _with_own_backbone
from cleser.experiments.selection.grid import _backbones
from cleser.speech.backbones.spec import BackboneSpec


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "my model,layers=1"
    path.mkdir()
    return str(path)


@pytest.mark.parametrize("beside", ["", "acoustic+"])
@pytest.mark.parametrize("settings", [(), ("layers=0+2", "dtype=bfloat16"), ("revision=",)])
def test_a_name_is_its_parts(folder, beside, settings):
    for source in ("acoustic", "owner/name", "nothing, here", folder):
        text = beside + ",".join([source, *settings])
        spec = BackboneSpec.parse(text)
        assert str(spec) == text
        if source != "nothing, here":
            assert spec == BackboneSpec(source, settings, bool(beside))


def test_layers_are_chosen_of_a_folder_with_commas(folder):
    assert with_layers(folder, ["0:2"]) == f"{folder},layers=0+1"
    with pytest.raises(ValueError, match="layers are not named yet"):
        with_layers(f"{folder},layers=0", ["middle"])
    asked = ["acoustic+{backbone},layers=middle", "{backbone}"]
    assert _backbones(asked, folder) == [f"acoustic+{folder},layers=middle", folder]
    assert _backbones(asked, f"{folder},layers=0") == [f"{folder},layers=0"]


def test_a_model_s_own_backbone_lies_in_a_folder_with_commas(folder, tmp_path):
    (tmp_path / "my model,layers=1" / BACKBONE_FOLDER).mkdir()
    for beside in ("", "acoustic+"):
        settings = {"backbone": f"{beside}{BACKBONE_FOLDER},layers=0+2"}
        found = _with_own_backbone(settings, tmp_path / "my model,layers=1")
        assert found == {"backbone": f"{beside}{folder}/{BACKBONE_FOLDER},layers=0+2"}
        assert BackboneSpec.parse(found["backbone"]).folder is not None
