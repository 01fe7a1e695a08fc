"""What ``cleser doctor`` finds, and that it notices what is wrong."""

from importlib import metadata

import pytest
from packaging.requirements import Requirement

from cleser.cli import installation as doctor
from cleser.cli import main


def test_this_machine_is_well():
    """Tests run here, so nothing that work needs may be broken."""
    findings = doctor.examine()
    assert {f.group for f in findings} == {"packages", "extras", "devices", "checks"}
    assert not [f for f in findings if f.state == "broken"]
    named = {f.name: f for f in findings}
    assert named["numpy"].detail == metadata.version("numpy")
    assert metadata.version("torchaudio") in named["torch and torchaudio"].detail


def test_every_extra_is_described():
    stated = set(metadata.metadata("cleser").get_all("Provides-Extra") or [])
    assert set(doctor.PURPOSES) == stated - {"docs", "dev"}


def test_wrong_and_missing_packages_are_told_apart():
    assert doctor.installed(Requirement("numpy>=1")).state == "ok"
    old = doctor.installed(Requirement("numpy<1"))
    assert old.state == "broken"
    assert "expected <1" in old.detail
    none = doctor.installed(Requirement("no-such-package-here>=2"))
    assert none.detail == "not installed, expected >=2"


def test_a_pair_that_does_not_work_is_named(monkeypatch, capsys):
    import torchaudio

    def broken(*_):
        raise RuntimeError("undefined symbol")

    monkeypatch.setattr(torchaudio.functional, "forced_align", broken)
    with pytest.raises(
        RuntimeError, match=r"torch .*, torchaudio .* do not work together: undefined"
    ):
        doctor.torch_pair()
    assert main(["doctor"]) == 2
    assert "✗" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "file" / "cache"))
    broken = [f for f in doctor.examine() if f.state == "broken"]
    assert [f.name for f in broken] == ["feature cache"]
    assert "file/cache: the cache, where features and synthetic recordings are" in broken[0].detail
