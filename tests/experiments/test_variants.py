"""Every row's fair control differs from it by what the method adds, and by nothing else."""

from dataclasses import asdict, fields

import pytest

from cleser.corpora.protocol import Protocol
from cleser.experiments.variants import VARIANTS, reference_of
from cleser.recipes.erm import ERMConfig
from cleser.recipes.probe import ProbeConfig

CONTROLLED = [name for name, variant in VARIANTS.items() if variant.control]


@pytest.mark.parametrize("name", CONTROLLED)
def test_a_control_is_trained_and_matched_alike(name):
    row, control = VARIANTS[name], VARIANTS[VARIANTS[name].control]
    shared = [f.name for f in fields(ERMConfig)]
    if row.method == "probe":
        shared = [f.name for f in fields(ProbeConfig) if f.name != "recolour"]
    ours, theirs = asdict(row.config()), asdict(control.config())
    assert {n: ours[n] for n in shared} == {n: theirs[n] for n in shared}
    protocol = Protocol(["a:1"], ["b:2"])
    assert row.protocol(protocol) == control.protocol(protocol)
    assert not control.control


def test_self_training_has_nothing_of_sapa():
    config = VARIANTS["self-training"].config()
    assert (config.communities, config.conditioned) == (0, False)
    assert (config.speaker_weight, config.phoneme_weight) == (0.0, 0.0)
    assert config.target_weight > 0
    assert config.match_prior


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "oracle"])
def test_the_reference_sees_as_much_of_the_target(name):
    protocol = Protocol(["a:1"], ["b:2"])
    row, reference = (VARIANTS[n].protocol(protocol) for n in (name, reference_of(name)))
    assert (row.target_access, row.adapt) == (reference.target_access, reference.adapt)


def test_an_oracle_has_no_reference():
    """Where it tests what others do, as with official sets, the difference would be to what sees no target at all."""
    assert reference_of("oracle") == ""
