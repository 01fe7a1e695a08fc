"""What several emotions at once are learned from, and who refuses to learn them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cleser.models import ModelConfig
from cleser.models.batch import Batch
from cleser.recipes.adaptation import Coral, CoralConfig
from cleser.recipes.attributes import build_erm
from cleser.recipes.erm import ERM, ERMConfig
from cleser.recipes.several_emotions import has_emotions, multi_label_losses, vote_shares
from cleser.training.recipe import Task
from cleser.training.vocabulary import Vocabulary

EMOTIONS = ("anger", "fear", "joy")
VOCABULARY = Vocabulary(EMOTIONS, ("anna",), ("en",), ("mine",))
TASK = Task(layers=1, channels=4, vocabulary=VOCABULARY, mix="weighted")
CONFIG = ERMConfig(ModelConfig(dim=8), targets="multi")


def test_loss_by_a_loop():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    has = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 1], [0, 0, 0]]).bool()
    expected = [
        sum(math.log1p(math.exp(-v if y else v)) for v, y in zip(a, b, strict=True)) / 3
        for a, b in zip(z.tolist(), has.tolist(), strict=True)
    ]
    expected[-1] = 0  # nothing is known of it
    assert multi_label_losses(z, has).tolist() == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.integers(0, 7), min_size=2, max_size=9))
def test_every_utterance_with_votes_has_an_emotion_at_the_default_threshold(votes):
    """Counts are compared as whole numbers: v / n >= 1 / K where K v >= n."""
    has = has_emotions(
        vote_shares(torch.tensor([votes]).float(), torch.tensor([-1])), 1 / len(votes)
    )
    expected = [len(votes) * v >= sum(votes) > 0 for v in votes]
    assert has.tolist() == [expected]
    assert any(expected) == (sum(votes) > 0)


def batch(votes, emotion, weight):
    n = len(weight)
    labels = {"emotion": torch.tensor(emotion)}
    labels |= {} if votes is None else {"votes": torch.tensor(votes).float()}
    return Batch(
        tokens=torch.zeros(0, 1, 4),
        offsets=torch.zeros(n + 1, dtype=torch.long),
        summaries=torch.zeros(n, 1, 4),
        labels=labels,
        phonemes=torch.zeros(0, dtype=torch.long),
        weight=torch.tensor(weight),
    )


def test_a_step_weighs_utterances_and_takes_their_emotion_where_nobody_voted():
    recipe = ERM(replace(CONFIG, vote_threshold=0.4), TASK)
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    found = recipe.supervised(
        z, batch([[3, 2, 0], [0, 0, 0], [0, 0, 0]], [0, 2, -1], [2.0, 0.5, 1])
    )
    has = np.array([[1, 1, 0], [0, 0, 1]])
    signed = np.where(has, -1, 1) * z[:2].numpy().astype(np.float64)
    losses = np.log1p(np.exp(signed)).mean(1)
    assert found.item() == pytest.approx((2 * losses[0] + 0.5 * losses[1]) / 3, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"match_prior": True}, "'multi', but match_prior takes each utterance to have one"),
        ({"test_time": "tent"}, "test_time 'tent' takes each utterance to have one"),
        ({"vote_threshold": 0.0}, "vote_threshold is 0.0, expected a share of votes above 0"),
        ({"vote_threshold": 1.5}, "vote_threshold is 1.5"),
        ({"targets": "soft", "vote_threshold": 0.2}, "targets is 'soft', which does not use it"),
    ],
)
def test_settings_that_exclude_one_another(change, said):
    with pytest.raises(ValueError, match=said):
        ERM(replace(CONFIG, **change), TASK)


def test_recipes_and_tasks_without_several_emotions():
    with pytest.raises(ValueError, match="but adaptation to unlabelled utterances takes"):
        Coral(CoralConfig(CONFIG.model, targets="multi"), TASK)
    alone = replace(VOCABULARY, emotions=(), attributes=("arousal",))
    with pytest.raises(ValueError, match="'multi' is about emotions, and task='avd' has none"):
        build_erm(CONFIG, TASK._replace(vocabulary=alone))
    with pytest.raises(ValueError, match="targets is 'multi', but no corpus has votes"):
        ERM(CONFIG, TASK).supervised(torch.zeros(1, 3), batch(None, [0], [1.0]))
