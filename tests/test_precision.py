"""Products of float32 are what is asked for, and the process gets its own settings back."""

from types import SimpleNamespace

import pytest
import torch

from cleser import precision
from cleser.precision import float32_products


def switches(monkeypatch: pytest.MonkeyPatch, named: bool) -> tuple[str, list[SimpleNamespace]]:
    """The switches of products and convolutions that torch has since 2.9, or had before, and their name."""
    name = "fp32_precision" if named else "allow_tf32"
    products, convolutions = (
        SimpleNamespace(**{name: value}) for value in (("none", "tf32") if named else (False, True))
    )
    cudnn = SimpleNamespace(conv=convolutions) if named else convolutions
    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=products), cudnn=cudnn)
    monkeypatch.setattr(precision, "torch", SimpleNamespace(backends=backends))
    return name, [products, convolutions]


@pytest.mark.parametrize("named", [True, False])
def test_every_torch_is_told_in_its_own_words(named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name, found = switches(monkeypatch, named)
    before = [getattr(switch, name) for switch in found]
    with float32_products():
        assert [getattr(s, name) for s in found] == 2 * ["ieee" if named else False]
        with pytest.raises(KeyError), float32_products(rounded=True):
            assert [getattr(s, name) for s in found] == 2 * ["tf32" if named else True]
            raise KeyError
        assert [getattr(s, name) for s in found] == 2 * ["ieee" if named else False]
    assert [getattr(s, name) for s in found] == before


@pytest.mark.parametrize("wanted", ["highest", "high"])
def test_the_process_keeps_what_it_asked_for(wanted: str) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(wanted)
        convolutions = torch.backends.cudnn.allow_tf32
        with float32_products():
            pass
        assert torch.get_float32_matmul_precision() == wanted
        assert torch.backends.cudnn.allow_tf32 == convolutions
    finally:
        torch.set_float32_matmul_precision(before)
