"""Deliberate faults: each is put into a copy of the code, and the tests named beside it must fail.

A test that passes with the fault in place does not test what it says. Run ``make faults`` after a change of losses,
graphs, anchors, models, statistics, corpora, descriptors or recipes, and add what your own tests should catch:

    python -m tests.faults                  # all
    python -m tests.faults --quick          # one of each part of the library
    python -m tests.faults --only coral     # those whose name holds a word

Each source text must stand in its file exactly once. Where it no longer does, the list is out of date: say where the
thing now happens.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_COPIED = ("cleser", "tests", "pyproject.toml")
# Of pytest: all passed, and some failed; other exit statuses mean that tests could not run.
_PASSED, _FAILED = 0, 1
# What takes long need not notice: a fault should be seen at once.
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not native")


class Fault(NamedTuple):
    """A mistake that somebody might make.

    Attributes:
        name: What is wrong with the code then.
        file: Within the package.
        source: Text that stands there once.
        fault: What is put in its place.
        tests: Files of tests, or tests as pytest names them, of which at least one must fail.
    """

    name: str
    file: str
    source: str
    fault: str
    tests: str


_STEPS = "tests/recipes/test_steps.py"
_DESCRIPTORS = "tests/speech/test_descriptors.py"
_INTERVALS = "tests/evaluation/test_intervals.py"
_FOLDS = "tests/corpora/test_folds.py"
_FOLD_PROTOCOLS = "tests/corpora/test_protocol_folds.py"
_SAMPLERS = "tests/anchors/test_samplers.py"
_ALIGN_CORPUS = "tests/alignment/test_align_corpus.py"
_NEIGHBOURS = "tests/graphs/test_neighbours.py"
_COMMUNITIES = "tests/graphs/test_communities.py"
_STYLES = "tests/graphs/test_styles.py"
_SUPCON = "tests/losses/test_supcon.py"
_ALIGNMENT_LOSSES = "tests/losses/test_alignment.py"
_SELECTION = "tests/experiments/test_selection.py"
_BENCH = "tests/experiments/test_bench.py"
_PAGES = "tests/evaluation/test_pages.py"
_JOINED = "tests/features/test_joined.py"
_COPIES = "tests/corpora/test_copies.py"

FAULTS = (
    # Recipes
    Fault(
        "coral without its distance",
        "recipes/adaptation.py",
        "supervised + self.weight * aligned",
        "supervised",
        f"{_STEPS}::test_coral_adds_the_distance_of_covariances",
    ),
    Fault(
        "a sentence's mean is taken off whole",
        "features/sentences.py",
        "share = (size - 1) / (size - 1 + strength) / size",
        "share = 1 / size",
        "tests/features/test_sentences.py::test_what_is_taken_off_by_a_loop",
    ),
    Fault(
        "sentences are found wherever one looks",
        "features/sentences.py",
        "if silhouette <= apart:",
        "if silhouette <= -1:",
        "tests/features/test_sentences.py::test_where_nothing_is_repeated_nothing_is_found",
    ),
    Fault(
        "sentences that show one emotion each are not noticed",
        "experiments/sentence_check.py",
        "found > self.single / 2",
        "found > 2 * self.single",
        "tests/experiments/test_sentence_check.py::test_a_target_is_rid_of_sentences_unless_each_shows_one_emotion",
    ),
    Fault(
        "runs that knew other texts of the target stand in one column",
        "experiments/sentence_check.py",
        "hash_of_sentences(heard, said)[:8]",
        "hash_of_sentences(heard, said)[:0]",
        "tests/experiments/test_sentence_check.py::test_what_was_taken_off_a_target_is_told_with_a_digest_of_its_texts",
    ),
    Fault(
        "speakers are scored by a classifier that has seen them",
        "experiments/sentence_check.py",
        "parts[1 - part]",
        "parts[part]",
        "tests/experiments/test_sentence_check.py::test_the_source_gives_its_class_means_and_how_far_emotions_spread",
    ),
    Fault(
        "the probe's pseudo-labels count one each",
        "recipes/probe.py",
        "share / share.sum() * weight.sum()",
        "torch.ones_like(share)",
        "tests/recipes/test_probe.py::test_a_round_learns_from_confident_target_utterances_which_count_as_the_source",
    ),
    Fault(
        "the probe's penalty counts axes in place of channels",
        "recipes/probe.py",
        "config.penalty * space.channels",
        "config.penalty * x.shape[1]",
        "tests/recipes/test_probe.py::test_a_plain_probe_is_a_weighted_logistic_regression",
    ),
    Fault(
        "weights of the axes are those of the utterances",
        "recipes/logistic.py",
        "torch.linalg.solve_triangular(self._root, weights, upper=False, left=False)",
        "weights",
        "tests/recipes/test_probe.py::test_a_plain_probe_is_a_weighted_logistic_regression",
    ),
    Fault(
        "the backbone is that of any language that is learned from",
        "experiments/bench/cells.py",
        "for spec in cell.sources for name",
        "for spec in (*cell.sources, *cell.protocol.auxiliary) for name",
        "tests/experiments/test_bench.py::test_the_backbone_is_that_of_the_sources_language",
    ),
    Fault(
        "a test is written over a trained run",
        "experiments/prediction/evaluate.py",
        "(MODEL, CHECKPOINTS, FOLDS)",
        "()",
        "tests/experiments/test_repeating_the_test.py::test_a_test_replaces_no_other_run",
    ),
    Fault(
        "degraded recordings of other corpora are the run's own",
        "evaluation/results.py",
        'found["on"] == list(self.settings["protocol"]["target"])',
        "True",
        "tests/experiments/test_robustness.py::test_other_corpora_are_audited_and_have_a_folder_of_their_own",
    ),
    Fault(
        "a cell of a bench that failed keeps its old figures",
        "experiments/bench/running.py",
        "for cell in cells if cell.folder not in failed]",
        'for cell in cells if (cell.folder / "results.json").exists()]',
        f"{_BENCH}::test_a_cell_that_failed_has_no_figures_of_an_earlier_run",
    ),
    Fault(
        "damage in a run of a bench is an empty cell",
        "experiments/bench/table.py",
        "with suppress(NotComparableError):",
        "with suppress(ValueError):",
        f"{_BENCH}::test_a_damaged_file_is_said_and_no_empty_cell",
    ),
    Fault(
        "a trial that fails is a note of the run",
        "cli/run.py",
        "except NoTransferError as error:",
        "except ValueError as error:",
        f"{_SELECTION}::test_a_trial_that_fails_is_no_reason_to_choose_nothing",
    ),
    Fault(
        "settings that flags give are chosen all the same",
        "cli/run_request.py",
        'return {*self.given} - {"backbone"}',
        "return set()",
        f"{_SELECTION}::test_two_sources_choose_unasked_unless_the_user_has_chosen",
    ),
    Fault(
        "a run chosen among other settings is taken for this one",
        "experiments/selection/table.py",
        "    if listed is not None and _tried(table, names)",
        "    if False and _tried(table, names)",
        f"{_SELECTION}::test_a_finished_run_is_not_chosen_again_and_keeps_its_table",
    ),
    Fault(
        "shares given for the target are assumed of corpora left out",
        "experiments/selection/trials.py",
        "prior = Protocol.prior",
        "pass",
        f"{_SELECTION}::test_shares_given_for_the_target_are_not_assumed_of_other_corpora",
    ),
    Fault(
        "self-training is tried on a target that may not be heard",
        "experiments/selection/grid.py",
        'if protocol.classes and protocol.target_access != "nothing":',
        "if protocol.classes:",
        f"{_SELECTION}::test_a_grid_leaves_out_what_the_protocol_has_no_room_for",
    ),
    Fault(
        "a finished row of chosen settings is that of any matrix in a bench",
        "experiments/bench/running.py",
        "if chosen_already(experiment, choices):",
        'if (cell.folder / "results.json").exists():',
        f"{_BENCH}::test_a_finished_row_of_chosen_settings_is_that_of_the_matrix",
    ),
    Fault(
        "a killed worker ends the bench",
        "experiments/bench/running.py",
        "except BrokenProcessPool:",
        "except ZeroDivisionError:",
        f"{_BENCH}::test_a_killed_worker_ends_no_bench",
    ),
    Fault(
        "the selection takes the worst settings",
        "experiments/selection/trials.py",
        "scores[scores.mean(1).argmax()] - scores",
        "scores[scores.mean(1).argmin()] - scores",
        "cleser/experiments/selection/trials.py",
    ),
    Fault(
        "the worst settings come first in the table of the selection",
        "experiments/selection/trials.py",
        "sort_values(ascending=False",
        "sort_values(ascending=True",
        f"{_SELECTION}::test_the_choice_is_that_of_runs_made_by_hand",
    ),
    Fault(
        "the selection tests what it learned from",
        "experiments/selection/trials.py",
        "for name, spec in names.items() if name != left_out",
        "for name, spec in names.items()",
        f"{_SELECTION}::test_the_choice_is_that_of_runs_made_by_hand",
    ),
    Fault(
        "views of an utterance stand in another order",
        "features/joined.py",
        "for view in self.views]\n        width",
        "for view in self.views[::-1]]\n        width",
        _JOINED,
    ),
    Fault(
        "a view keeps an utterance that another lacks",
        "features/joined.py",
        "if row in common",
        "if row is not None",
        _JOINED,
    ),
    Fault(
        "layers count as their channels",
        "recipes/logistic.py",
        "share = channels.sqrt() / channels.sqrt().sum()",
        "share = channels / channels.sum()",
        f"{_JOINED}::test_a_layer_counts_as_the_root_of_its_channels",
    ),
    Fault(
        "as much is trusted in every round",
        "recipes/probe.py",
        "torch.linspace(self.confidence, self.final_confidence, self.rounds)",
        "torch.full((self.rounds,), self.confidence)",
        "tests/recipes/test_probe.py::test_more_is_trusted_from_round_to_round",
    ),
    Fault(
        "dann with its sign turned",
        "recipes/adaptation.py",
        "supervised + self.weight * confused",
        "supervised - self.weight * confused",
        f"{_STEPS}::test_dann_confuses_the_network_and_not_its_adversary",
    ),
    Fault(
        "dann's adversary weighs ten",
        "recipes/adaptation.py",
        "self.weight * confused",
        "10 * confused",
        f"{_STEPS}::test_dann_confuses_the_network_and_not_its_adversary",
    ),
    Fault(
        "dann takes all for the source",
        "recipes/adaptation.py",
        ">= len(source)",
        ">= len(both)",
        f"{_STEPS}::test_dann_confuses_the_network_and_not_its_adversary",
    ),
    Fault(
        "labels are not smoothed",
        "recipes/erm.py",
        "label_smoothing=self.settings.label_smoothing",
        "label_smoothing=0.0",
        f"{_STEPS}::test_the_baseline_is_supervision_alone",
    ),
    Fault(
        "weights of a batch are ignored",
        "recipes/erm.py",
        "(loss * batch.weight).mean()",
        "loss.mean()",
        f"{_STEPS}::test_a_batch_says_how_much_each_utterance_counts",
    ),
    Fault(
        "the prior is not matched",
        "recipes/erm.py",
        "logits=embedded.logits + self.shift",
        "logits=embedded.logits",
        f"{_STEPS}::test_a_matched_prior_predicts_every_class_alike",
    ),
    Fault(
        "corpora and emotions are not balanced",
        "training/dataset.py",
        "(1 / size).where(known, 0.0)",
        "(size / size).where(known, 0.0)",
        "tests/training/test_dataset.py",
    ),
    Fault(
        "layers are not anchored",
        "recipes/layer_anchoring.py",
        "supervised + self.config.weight * distance",
        "supervised",
        f"{_STEPS}::test_layer_anchoring_aligns_the_chosen_layers_normalised",
    ),
    Fault(
        "layers are compared on all utterances, however many",
        "recipes/layer_anchoring.py",
        "dataset.sample(self.config.studied)",
        "dataset",
        "tests/recipes/test_recipes.py::test_of_many_utterances_some_of_each_side_are_studied",
    ),
    Fault(
        "anchor layers are not normalised",
        "recipes/layer_anchoring.py",
        "return layer_norm(states, states.shape[-1:])",
        "return states",
        f"{_STEPS}::test_layer_anchoring_aligns_the_chosen_layers_normalised",
    ),
    Fault(
        "all tokens count as vowels",
        "recipes/layer_anchoring.py",
        "embedded.token_layers[:, self._vowels(batch)]",
        "embedded.token_layers",
        f"{_STEPS}::test_layer_anchoring_aligns_the_chosen_layers_normalised",
    ),
    Fault(
        "every utterance is an anchor in sapa",
        "recipes/sapa.py",
        "utterance_anchors=_second(ours.utterances, theirs.utterances)",
        "utterance_anchors=None",
        f"{_STEPS}::test_sapa_anchors_confident_target_items_to_the_source",
    ),
    Fault(
        "telling the communities always helps in sapa",
        "recipes/sapa.py",
        "return bool(by_speaker.mean() > by_chance)",
        "return True",
        f"{_STEPS}::test_sapa_is_told_communities_only_if_that_helps_held_out_speakers",
    ),
    Fault(
        "telling the communities never helps in sapa",
        "recipes/sapa.py",
        "return bool(by_speaker.mean() > by_chance)",
        "return False",
        f"{_STEPS}::test_sapa_is_told_communities_only_if_that_helps_held_out_speakers",
    ),
    Fault(
        "utterances, not speakers, are the evidence that communities help in sapa",
        "recipes/sapa.py",
        "by_speaker = gains.groupby(speakers_of(dev)).mean()",
        "by_speaker = gains",
        f"{_STEPS}::test_sapas_evidence_that_communities_help_is_speakers_not_utterances",
    ),
    Fault(
        "prepare does nothing in sapa",
        "recipes/sapa.py",
        "return self.understand(dataset)[0] if self._knows_communities else dataset",
        "return dataset",
        f"{_STEPS}::test_sapa_prepares_in_two_rounds",
    ),
    Fault(
        "prepare has one round in sapa",
        "recipes/sapa.py",
        "for _ in range(2 if",
        "for _ in range(1 if",
        f"{_STEPS}::test_sapa_prepares_in_two_rounds",
    ),
    Fault(
        "the unsure dilute the confident in sapa",
        "recipes/sapa.py",
        "weight=len(target) * world() / total * confident",
        "weight=1.0 * confident",
        f"{_STEPS}::test_sapa_anchors_confident_target_items_to_the_source",
    ),
    Fault(
        "triplets of utterances weigh one in sapa",
        "recipes/sapa.py",
        '"speaker": self.anchoring.speaker_weight',
        '"speaker": 1.0',
        f"{_STEPS}::test_sapa_anchors_confident_target_items_to_the_source",
    ),
    Fault(
        "pseudo-labels ignore the prior in sapa",
        "recipes/sapa.py",
        "return (logits + shift).softmax(-1)",
        "return logits.softmax(-1)",
        f"{_STEPS}::test_sapas_pseudo_labels_are_the_most_confident_of_matched_predictions",
    ),
    Fault(
        "the least confident are trusted",
        "recipes/pseudo_labels.py",
        "descending=True",
        "descending=False",
        "tests/recipes/test_pseudo_labels.py",
    ),
    Fault(
        "positives of other languages weigh one in zero-shot",
        "recipes/zero_shot.py",
        "cross_lingual_weight: float = 2.5",
        "cross_lingual_weight: float = 1.0",
        f"{_STEPS}::test_zero_shot_is_equation_12",
    ),
    Fault(
        "zero-shot balances batches that are balanced",
        "recipes/zero_shot.py",
        'return (source.labels["emotion"] >= 0).float()',
        "return source.weight",
        "tests/recipes/test_recipes.py::test_what_a_batch_has_balanced_is_not_balanced_again",
    ),
    Fault(
        "the speaker adversary weighs ten in zero-shot",
        "recipes/zero_shot.py",
        'weights["speaker"] = self.config.adversary_weight',
        'weights["speaker"] = 10.0',
        f"{_STEPS}::test_zero_shot_is_equation_12",
    ),
    # Losses
    Fault(
        "gradients are not reversed",
        "losses/gradient_reversal.py",
        "return x.detach() - scale * _zero(x)",
        "return x.detach() + scale * _zero(x)",
        "tests/losses/test_adversaries.py::test_identity_forward_and_minus_scale_backward",
    ),
    Fault(
        "unknown labels count in an adversary's mean",
        "losses/adversary.py",
        "(labels >= 0).sum()",
        "(labels >= -1).sum()",
        "tests/losses/test_adversaries.py",
    ),
    Fault(
        "anchor layers are averaged",
        "losses/layer_anchor.py",
        "return self.terms(source_layers, target_layers).sum()",
        "return self.terms(source_layers, target_layers).mean()",
        "tests/losses/test_alignment.py::test_layer_anchors_sum_the_chosen_layers",
    ),
    Fault(
        "coral is divided by 4D",
        "losses/coral.py",
        "/ (4 * a.shape[-1] ** 2)",
        "/ (4 * a.shape[-1])",
        "tests/losses/test_alignment.py::test_coral_is_the_distance_of_numpy_s_covariances",
    ),
    Fault(
        "positives of the same language are the ones that count more",
        "losses/supcon.py",
        'BOOST = same("emotion") & differ("language")',
        'BOOST = same("emotion", "language")',
        "tests/losses/test_supcon.py::test_value_and_gradient_equal_loops",
    ),
    Fault(
        "phones repel those of other phonemes",
        "losses/dual_space.py",
        'same("phoneme") & differ("emotion")',
        'differ("phoneme", "emotion")',
        "tests/losses/test_dual_space.py",
    ),
    Fault(
        "triplets have no margin",
        "losses/mining.py",
        "torch.where(self.valid, gap + margin, 0)",
        "torch.where(self.valid, gap, 0)",
        "tests/losses/test_triplet.py::test_value_and_gradient_equal_loops",
    ),
    Fault(
        "the unknown differs from all",
        "relations.py",
        "mask, known = (left != right) & (right >= 0), left >= 0",
        "mask, known = left != right, left >= -1",
        "tests/test_relations.py",
    ),
    Fault(
        "an item is in its own denominator",
        "losses/supcon.py",
        "block.without_self(away)",
        "block.similarity",
        _SUPCON,
    ),
    Fault(
        "the temperature is squared",
        "losses/supcon.py",
        "x / temperature**0.5",
        "x / temperature",
        _SUPCON,
    ),
    Fault(
        "a batch of one class counts",
        "losses/supcon.py",
        "has = (whole > 0) & (number < block.others)",
        "has = whole > 0",
        _SUPCON,
    ),
    Fault(
        "weights of positives are not normalised",
        "losses/supcon.py",
        "        w *= torch.where(has, 1 / torch.where(has, whole, 1), 0)",
        "        w *= torch.where(has, 1 / torch.where(has, number, 1), 0)",
        _SUPCON,
    ),
    Fault(
        "mmd counts what is between once",
        "losses/mmd.py",
        "- 2 * kernel[..., :n, n:]",
        "- kernel[..., :n, n:]",
        _ALIGNMENT_LOSSES,
    ),
    Fault(
        "mmd's unbiased estimate is biased",
        "losses/mmd.py",
        "    return (kernel.sum((-2, -1)) - n) / (n * (n - 1))",
        "    return kernel.sum((-2, -1)) / (n * n)",
        _ALIGNMENT_LOSSES,
    ),
    Fault(
        "mmd has one kernel",
        "losses/mmd.py",
        "for b in bandwidths]).mean(0)",
        "for b in bandwidths[:1]]).mean(0)",
        _ALIGNMENT_LOSSES,
    ),
    Fault(
        "few items in many dimensions have no signs",
        "losses/coral.py",
        "        signs[n:] = -1",
        "        signs[n:] = 1",
        _ALIGNMENT_LOSSES,
    ),
    Fault(
        "streams of covariances are joined without their means",
        "losses/coral.py",
        "        self.products += products + torch.outer(gap, gap) * (self.count * count / total)",
        "        self.products += products",
        _ALIGNMENT_LOSSES,
    ),
    Fault(
        "streaming forgets its mean",
        "losses/coral.py",
        "        self.mean += gap * (count / total)",
        "        self.mean += gap",
        _ALIGNMENT_LOSSES,
    ),
    # Graphs
    Fault(
        "assortativity is not scaled",
        "graphs/styles/mixing.py",
        "(inside - share) / (1 - share)",
        "(inside - share)",
        "tests/graphs/test_mixing.py",
    ),
    Fault(
        "a p-value may be zero",
        "graphs/styles/mixing.py",
        "((n + 1) / (len(drawn) + 1) for n in (low, high))",
        "(n / len(drawn) for n in (low, high))",
        "tests/graphs/test_mixing.py",
    ),
    Fault(
        "what emotions tell of each other is not shrunk",
        "graphs/communities/agreement.py",
        "return (mean * ratio + 1) / (mean + 1)",
        "return ratio",
        "tests/graphs/test_agreement.py",
    ),
    Fault(
        "offsets are means one after another",
        "graphs/styles/offsets.py",
        "_ROUNDS, _TOLERANCE = 1000, 1e-9",
        "_ROUNDS, _TOLERANCE = 1, 1e-9",
        "tests/graphs/test_offsets.py",
    ),
    Fault(
        "nodes are trusted whatever their utterances",
        "graphs/styles/nodes.py",
        "return np.asarray(mass / (mass + 1 / between))",
        "return np.ones(len(key))",
        "tests/graphs/test_styles.py",
    ),
    Fault(
        "found neighbours are counted, right or wrong",
        "graphs/neighbours/recall.py",
        "_stored(found).multiply(_stored(true)).sum()",
        "_stored(found).sum()",
        "tests/graphs/test_recall.py",
    ),
    Fault(
        "neighbours are inner products",
        "graphs/neighbours/cosine_knn.py",
        "(part / lengths).mul_",
        "part.mul_",
        _NEIGHBOURS,
    ),
    Fault(
        "mutual neighbours are all neighbours",
        "graphs/neighbours/cosine_knn.py",
        "    return _mutual(graph) if mutual else graph",
        "    return graph",
        _NEIGHBOURS,
    ),
    Fault(
        "the least similarity is exclusive",
        "graphs/neighbours/cosine_knn.py",
        "(scores >= float(np.float32(least)))",
        "(scores > float(np.float32(least)))",
        _NEIGHBOURS,
    ),
    Fault(
        "relations between neighbours are ignored",
        "graphs/neighbours/cosine_knn.py",
        "        tiles = tile(len(units), where, on_host)",
        "        tiles = tile(len(units), None, {})",
        _NEIGHBOURS,
    ),
    Fault(
        "the resolution counts for nothing",
        "graphs/communities/leiden.py",
        "    price = resolution / strength.sum()\n    total",
        "    price = 1.0 / strength.sum()\n    total",
        _COMMUNITIES,
    ),
    Fault(
        "communities are not moved",
        "graphs/communities/leiden.py",
        "            if other > gain + unit:",
        "            if other < gain - 1e9:",
        _COMMUNITIES,
    ),
    Fault(
        "styles of other emotions are neighbours",
        "graphs/styles/search.py",
        '    where = same("emotion")\n',
        '    where = same("emotion") | differ("emotion")\n',
        _STYLES,
    ),
    Fault(
        "edges do not mind how reliable nodes are",
        "graphs/styles/search.py",
        "    weight = found.data * np.sqrt(nodes.reliability[rows] * nodes.reliability[columns])",
        "    weight = found.data * 1.0",
        _STYLES,
    ),
    Fault(
        "the language's offset stays in the styles",
        "graphs/styles/search.py",
        "        groups = [nodes.emotions * (language.max(initial=0) + 1) + language]",
        "        groups = [nodes.emotions]",
        _STYLES,
    ),
    Fault(
        "a speaker may have two languages",
        "graphs/styles/style_communities.py",
        "    other = rows[language[who.codes[rows]] != tongue.codes[rows]]",
        "    other = rows[:0]",
        _STYLES,
    ),
    Fault(
        "who does not listen listens to itself alone",
        "graphs/communities/refine.py",
        "    loop[strength + loop == 0] = 1.0",
        "    loop[loop == 0] = 1.0",
        "tests/graphs/test_refine.py::test_it_is_its_equations",
    ),
    Fault(
        "communities that were empty before stay so",
        "graphs/communities/leiden.py",
        "    empty.extend([c for c in range(n) if size[c] == 0])",
        "    empty.extend([-1])",
        f"{_COMMUNITIES}::test_a_node_leaves_for_a_community_that_was_empty",
    ),
    Fault(
        "no edges are looked up",
        "graphs/neighbours/cosine_knn.py",
        "    if not graph.nnz:  # SciPy cannot look up no entries",
        "    if graph.nnz < 0:",
        f"{_NEIGHBOURS}::test_mutual_neighbours_of_nobody",
    ),
    Fault(
        "a community that is asked for may be left by all",
        "graphs/communities/refine.py",
        "return labels if self.n_communities is None else _refilled(labels, start, gain)",
        "return labels",
        "tests/graphs/test_refine.py::test_the_number_that_is_asked_for_is_kept_when_nodes_move",
    ),
    Fault(
        "the refiner heeds the precision around it",
        "graphs/communities/refine.py",
        'torch.autocast("cpu", enabled=False)',
        "torch.enable_grad()",
        "tests/graphs/test_refine.py::test_what_surrounds_the_call_changes_nothing",
    ),
    Fault(
        "lengths of voices are in half precision",
        "graphs/styles/pseudo_speakers.py",
        'np.einsum("nd,nd->n", x, x, dtype=np.float64)',
        'np.einsum("nd,nd->n", x, x)',
        "tests/graphs/test_pseudo_speakers.py::test_half_precision_and_tensors_say_the_same",
    ),
    Fault(
        "phones without a symbol name emotions",
        "studies/phonemes.py",
        'for name in ("phoneme", "language", "emotion")]',
        'for name in ("language", "emotion")]',
        "tests/studies/test_phonemes.py::test_an_emotion_without_a_known_phoneme_in_a_language_is_not_compared",
    ),
    Fault(
        "languages are dealt to speakers who show other emotions",
        "graphs/styles/style_mixing.py",
        "    shown[speaker, emotion] = True",
        "    shown[speaker, emotion] = False",
        f"{_STYLES}::test_p_values_hold_their_level_whoever_shows_which_emotion",
    ),
    Fault(
        "emotions of one language enter the mean of chance",
        "graphs/styles/style_mixing.py",
        "    counted = known & ~np.isnan(values)",
        "    counted = ~np.isnan(values)",
        f"{_STYLES}::test_means_over_emotions_are_of_those_that_are_known_as_languages_are",
    ),
    # Anchors
    Fault(
        "the last channels alone are compared",
        "anchors/consistency.py",
        "product[part] += ",
        "product[part] = ",
        "tests/anchors/test_consistency.py",
    ),
    Fault(
        "the spread is that of a sample",
        "anchors/moments.py",
        "np.sqrt(spread[c] / count)",
        "np.sqrt(spread[c] / (count - 1))",
        "tests/anchors/test_pooling.py",
    ),
    Fault(
        "means are rounded before the spread",
        "anchors/pooling.py",
        "mean = _mean(wide, everyone, listed)",
        "mean = _mean(wide, everyone, listed).to(flat.dtype).to(wide.dtype)",
        "tests/anchors/test_pooling.py",
    ),
    Fault(
        "prototypes forget all but the last batch",
        "anchors/bank.py",
        ".clamp_min(1 - self.momentum)",
        ".clamp_min(1)",
        "tests/anchors/test_bank.py",
    ),
    Fault(
        "layers are compared with a bias",
        "anchors/layers/pairs.py",
        "(products + traces - 2 / (n - 2) * owns)",
        "(products + traces)",
        "tests/anchors/test_layer_similarity.py",
    ),
    Fault(
        "p-values are corrected in no order",
        "multiple_tests.py",
        "np.maximum.accumulate(factors * found[order])",
        "factors * found[order]",
        "tests/test_multiple_tests.py",
    ),
    Fault(
        "every epoch is the same",
        "anchors/samplers/hierarchical.py",
        "np.random.default_rng([self.seed, epoch])",
        "np.random.default_rng([self.seed, 0])",
        _SAMPLERS,
    ),
    Fault(
        "utterances of unknown labels are sampled",
        "anchors/samplers/hierarchical.py",
        "np.all([v >= 0 for v in labels.values()], axis=0)",
        "np.all([v >= -1 for v in labels.values()], axis=0)",
        _SAMPLERS,
    ),
    Fault(
        "cells that are empty are drawn",
        "anchors/samplers/hierarchical.py",
        "while (empty := ~self.counts[cells].any(1)).any():",
        "while (empty := self.counts[cells].any(1) & False).any():",
        _SAMPLERS,
    ),
    Fault(
        "a hand is dealt with an utterance twice",
        "anchors/samplers/hierarchical.py",
        "        shuffles = rng.permuted(np.tile(items, (math.ceil(hands / each), 1)), axis=1)",
        "        shuffles = rng.choice(items, (math.ceil(hands / each), len(items)))",
        _SAMPLERS,
    ),
    Fault(
        "anchors come in the order of the data",
        "anchors/samplers/anchor_batches.py",
        "rng.permutation(self.served)",
        "self.served",
        _SAMPLERS,
    ),
    Fault(
        "partners of anchors are not drawn",
        "anchors/samplers/anchor_batches.py",
        "                batch[partners.draw(anchor, rng)] = None",
        "                pass",
        _SAMPLERS,
    ),
    Fault(
        "an anchor is its own partner",
        "anchors/samplers/anchor_batches.py",
        "            at += 1  # skip the item itself",
        "            pass",
        _SAMPLERS,
    ),
    Fault(
        "a lacking partner takes no place",
        "anchors/samplers/anchor_batches.py",
        "            size += lacks.sum(1)",
        "            pass",
        _SAMPLERS,
    ),
    Fault(
        "all ranks get whole batches",
        "anchors/samplers/resumable.py",
        "slice(self.sampler.rank, None, self.sampler.world_size)",
        "slice(None)",
        _SAMPLERS,
    ),
    Fault(
        "an iteration goes on in the epoch before",
        "anchors/samplers/resumable.py",
        "            place = self._latest.epoch + 1, 0",
        "            place = self._latest.epoch, 0",
        _SAMPLERS,
    ),
    Fault(
        "a saved place is one batch late",
        "anchors/samplers/resumable.py",
        'return {"epoch": self.epoch, "batches_done": self.done} if',
        'return {"epoch": self.epoch, "batches_done": self.done + 1} if',
        "tests/anchors/test_loops.py::test_torchdata_resumes_within_and_between_epochs",
    ),
    Fault(
        "a state of other labels is taken",
        "anchors/samplers/resumable.py",
        '        if state["fingerprint"] != self._fingerprint:',
        "        if False:",
        _SAMPLERS,
    ),
    # Models
    Fault(
        "layers weigh alike",
        "models/layer_mix.py",
        "self.weights.softmax(0)",
        "torch.ones_like(self.weights) / len(self.weights)",
        "tests/models/test_models.py",
    ),
    Fault(
        "a layer's gradient goes to another layer",
        "models/layer_mix.py",
        "items.transpose(0, 1), out=",
        "items.transpose(0, 1).flip(0), out=",
        "tests/models/test_models.py",
    ),
    Fault(
        "communities' maps are added up",
        "models/community_map.py",
        "belongs, seen) / emotions",
        "belongs, seen)",
        "tests/models/test_models.py",
    ),
    Fault(
        "padding is attended to",
        "models/token_transformer.py",
        "src_key_padding_mask=~mask",
        "src_key_padding_mask=None",
        "tests/models/test_models.py",
    ),
    # Evaluation
    Fault(
        "recall is precision",
        "evaluation/metrics.py",
        "return ratio(_hits(counts), counts.sum(-1))",
        "return _share(_hits(counts), counts.sum(-2))",
        "tests/evaluation/test_metrics.py",
    ),
    Fault(
        "classes that do not occur count in the mean",
        "evaluation/metrics.py",
        "number = occurs.sum(-1)",
        "number = occurs.sum(-1) * 0 + occurs.shape[-1]",
        "tests/evaluation/test_metrics.py",
    ),
    Fault(
        "seeds do not count in an interval",
        "evaluation/variance.py",
        "    return [speakers, *(part for part, _ in seeds if part)]",
        "    return [speakers]",
        _INTERVALS,
    ),
    Fault(
        "seeds and speakers count twice",
        "evaluation/variance.py",
        "Part(max(0.0, variance - both), max(0.0, bound - both), count - 1), both",
        "Part(variance, bound, count - 1), both",
        _INTERVALS,
    ),
    Fault(
        "few seeds are believed",
        "evaluation/variance.py",
        "    bound = _inflation(count - 1) * variance",
        "    bound = variance",
        _INTERVALS,
    ),
    Fault(
        "speakers' variance is not corrected",
        "evaluation/variance.py",
        "    variance = scale * float((psi**2).sum())",
        "    variance = float((psi**2).sum())",
        _INTERVALS,
    ),
    Fault(
        "an interval has one side",
        "evaluation/intervals.py",
        "stdtrit(dof, (1 + level) / 2)",
        "stdtrit(dof, level)",
        _INTERVALS,
    ),
    Fault(
        "a p-value has one side",
        "evaluation/intervals.py",
        "    return float(2 * special.stdtr(",
        "    return float(special.stdtr(",
        _INTERVALS,
    ),
    Fault(
        "seeds are compared in no order",
        "evaluation/intervals.py",
        "    a, b = a.only(common), b.only(common)",
        "    a, b = a.only(common), b.only(common[::-1])",
        _INTERVALS,
    ),
    Fault(
        "the influence is not divided by what is taken out",
        "evaluation/variance.py",
        "(metric(total) - rest) / share[:, None]",
        "metric(total) - rest",
        _INTERVALS,
    ),
    Fault(
        "two speakers of one score are all speakers there are",
        "evaluation/variance.py",
        "    if alike and least_p(groups) > 1 - level:",
        "    if False:",
        _INTERVALS,
    ),
    Fault(
        "all unlike runs are compared seed by seed or none",
        "evaluation/intervals.py",
        "    by_seed = not _alike(a, b)",
        "    by_seed = False",
        _INTERVALS,
    ),
    # Corpora
    Fault(
        "folds fill up one after another",
        "corpora/folds.py",
        "int(filled.argmin())",
        "int(filled.argmax())",
        _FOLDS,
    ),
    Fault(
        "speakers who select are not seen",
        "corpora/folds.py",
        '        seen = {*parts["train"]["speaker"].dropna(), *parts["dev"]["speaker"].dropna()}',
        '        seen = {*parts["train"]["speaker"].dropna()}',
        _FOLDS,
    ),
    Fault(
        "shared speakers are counted by heads",
        "corpora/folds.py",
        "float(tested.isin(shared).mean())",
        "float(len(shared) / tested.nunique())",
        _FOLDS,
    ),
    Fault(
        "a list names files by their last part alone",
        "corpora/folds.py",
        "alike = [_shared_end(self.parts[row], wanted) for row in rows]",
        "alike = [1, *[0] * (len(rows) - 1)] if rows else []",
        _FOLDS,
    ),
    Fault(
        "letters of corpora that nobody named are lost",
        "corpora/terms.py",
        "if not strange:",
        "if not strange or not own:",
        "tests/corpora/test_manifest_file.py::test_letters_of_nobody_known_are_refused",
    ),
    Fault(
        "an MP3 is used before the WAV that it was made of",
        "corpora/folders.py",
        "pd.concat([found[~lossy], found[lossy]])",
        "pd.concat([found[lossy], found[~lossy]])",
        "tests/corpora/test_named.py::test_what_lost_nothing_is_used_before_its_copies",
    ),
    Fault(
        "any two letters are a language",
        "corpora/languages.py",
        "return LANGUAGES.get(name) == name or (",
        "return len(name) == 2 or LANGUAGES.get(name) == name or (",
        "tests/corpora/test_manifest.py::test_a_country_is_no_language",
    ),
    Fault(
        "labels in another Unicode form cannot be renamed",
        "corpora/terms.py",
        "plain = composed(text.strip())",
        "plain = text.strip()",
        "tests/corpora/test_manifest_file.py::test_labels_and_people_are_the_same_in_another_form",
    ),
    Fault(
        "names in capitals are foreign ones",
        "corpora/folders.py",
        "stems = stems.where(~other, folded)",
        "pass",
        "tests/corpora/test_readers.py::test_names_in_other_capitals_are_read_as_those_of_the_release",
    ),
    Fault(
        "two rows of a table are taken for one file in capitals",
        "corpora/readers/manifest_file.py",
        "if other and other not in taken",
        "if other",
        "tests/corpora/test_manifest_file.py::test_a_file_that_two_names_may_mean_is_missing",
    ),
    Fault(
        "columns with blanks in their names are ignored",
        "corpora/readers/manifest_file.py",
        'return re.sub(r"[\\W_]+", "", name.casefold())',
        "return name.casefold()",
        "tests/corpora/test_manifest_file.py::test_columns_are_known_however_they_are_spelt",
    ),
    Fault(
        "columns that may hold the emotion are not told",
        "corpora/manifest.py",
        "return dict.fromkeys(missing, others) if others else {}",
        "return {}",
        "tests/corpora/test_manifest_file.py"
        "::test_columns_that_nobody_knows_are_told_where_emotions_or_speakers_are_missing",
    ),
    Fault(
        "a gap renames the speakers who are numbers",
        "corpora/readers/manifest_file.py",
        'return f"{value:.0f}" if whole else str(value)',
        "return str(value)",
        "tests/corpora/test_manifest_file.py",
    ),
    Fault(
        "a stray quote takes the rows behind it",
        "corpora/tables.py",
        "return csv.QUOTE_NONE if len(alone) == 1 else csv.QUOTE_MINIMAL",
        "return csv.QUOTE_MINIMAL",
        "tests/corpora/test_manifest_file.py",
    ),
    Fault(
        "a name of another folder takes a listed row",
        "corpora/folds.py",
        "elsewhere = match is not None and match.shared == 1 and match.folders and within_folders",
        "elsewhere = False",
        "tests/corpora/test_folds.py",
    ),
    Fault(
        "a corpus given twice is learned from twice",
        "corpora/protocol/casting.py",
        'twice = [name for name in renamed[spec]["utterance"] if name in first]',
        "twice = []",
        "tests/corpora/test_registry.py",
    ),
    Fault(
        "an official test set may lack a class",
        "corpora/protocol/casting.py",
        "    if not lacking:\n        return\n",
        "    return\n",
        "tests/corpora/test_protocol.py",
    ),
    Fault(
        "a target without labels is taken to have some",
        "corpora/protocol/cast.py",
        'return bool(terms.regressed) or bool(self.target["emotion"].notna().any())',
        "return True",
        "tests/experiments/test_unlabelled.py",
    ),
    Fault(
        "seeds that disagree are said to agree",
        "evaluation/unlabelled.py",
        "(answers == 1).mean()",
        "(answers >= 1).mean()",
        "tests/experiments/test_unlabelled.py",
    ),
    Fault(
        "the fold's tested speakers are learned from",
        "corpora/protocol/splitting.py",
        '        source=of(cast.source, "train", "dev", whole=True),',
        '        source=of(cast.source, "train", "dev", "test", whole=True),',
        _FOLD_PROTOCOLS,
    ),
    Fault(
        "the fold's tested utterances are heard",
        "corpora/protocol/splitting.py",
        'else of(cast.pool, "train"),',
        'else of(cast.pool, "train", "test"),',
        _FOLD_PROTOCOLS,
    ),
    Fault(
        "a fold's dev part is learned from",
        "corpora/protocol/holding_out.py",
        "        pd.concat([source[divided & ~given], train], ignore_index=True),",
        "        pd.concat([source[divided], train], ignore_index=True),",
        _FOLD_PROTOCOLS,
    ),
    Fault(
        "the hash does not see who is in which part",
        "corpora/protocol/cast.py",
        '            terms["folds"] = [_division(cast) for cast in self.folds]\n',
        '            terms["folds"] = []\n',
        _FOLD_PROTOCOLS,
    ),
    Fault(
        "terms that change nothing change the hash",
        "corpora/protocol/protocol.py",
        " if counts[name](self)}",
        "}",
        "tests/corpora/test_protocol.py",
    ),
    Fault(
        "the hash sees no term",
        "corpora/protocol/cast.py",
        "            **self.protocol.hashed,\n",
        "",
        "tests/experiments/test_terms.py",
    ),
    Fault(
        "sources beside the divided corpus are left out",
        "corpora/protocol/splitting.py",
        'role.isin(parts) | (whole & ~rows["utterance"].isin(roles))',
        "role.isin(parts)",
        _FOLD_PROTOCOLS,
    ),
    Fault(
        "the audit lets every split share speakers",
        "corpora/audit/leakage.py",
        "[] if cast.protocol.shared_speakers else _speakers(named, apart, _drawn(cast, parts))",
        "[]",
        _FOLD_PROTOCOLS,
    ),
    Fault(
        "the audit looks at the first fold alone",
        "corpora/audit/leakage.py",
        "product(cast.folds, range(repeats))",
        "product(cast.folds[:1], range(repeats))",
        _FOLD_PROTOCOLS,
    ),
    Fault(
        "stretches of codecs are read where they cannot be",
        "corpora/recording.py",
        "at = first if file.seekable() else 0",
        "at = first",
        _COPIES,
    ),
    # Speech
    Fault(
        "the alpha ratio divides at 500 Hz",
        "speech/backbones/acoustic.py",
        "balance(band(1000, 5000).sum(-1), band(50, 1000).sum(-1))",
        "balance(band(500, 5000).sum(-1), band(50, 500).sum(-1))",
        _DESCRIPTORS,
    ),
    Fault(
        "Hammarberg's index adds up",
        "speech/backbones/acoustic.py",
        "balance(band(2000, 5000).amax(-1), band(0, 2000).amax(-1))",
        "balance(band(2000, 5000).sum(-1), band(0, 2000).sum(-1))",
        _DESCRIPTORS,
    ),
    Fault(
        "Hammarberg's index has another upper edge",
        "speech/backbones/acoustic.py",
        "balance(band(2000, 5000).amax(-1),",
        "balance(band(2000, 6500).amax(-1),",
        _DESCRIPTORS,
    ),
    Fault(
        "silence begins at the floor",
        "speech/backbones/acoustic.py",
        "level > loud - self.silence",
        "level > loud - self.noise_floor",
        "tests/speech/test_acoustic.py",
    ),
    Fault(
        "slopes have the other sign",
        "speech/backbones/acoustic.py",
        "(hertz - hertz.mean()) / 1000",
        "(hertz.mean() - hertz) / 1000",
        _DESCRIPTORS,
    ),
    Fault(
        "roll-offs are other quantiles",
        "speech/backbones/acoustic.py",
        "for q in (0.25, 0.5, 0.85)",
        "for q in (0.25, 0.5, 0.95)",
        _DESCRIPTORS,
    ),
    Fault(
        "skewness has another exponent",
        "speech/backbones/acoustic.py",
        "(share * deviation.pow(3))",
        "(share * deviation.pow(2))",
        _DESCRIPTORS,
    ),
    Fault(
        "differences are halved",
        "speech/backbones/acoustic.py",
        "slope += step * (",
        "slope += 0.5 * step * (",
        _DESCRIPTORS,
    ),
    Fault(
        "harmonic tilt looks at the fourth harmonic",
        "speech/backbones/pitch.py",
        "for harmonic in (1, 2, 3):",
        "for harmonic in (1, 2, 4):",
        _DESCRIPTORS,
    ),
    Fault(
        "harmonic tilt has the other sign",
        "speech/backbones/pitch.py",
        "levels[0] - levels[1], levels[0] - levels[2]",
        "levels[1] - levels[0], levels[2] - levels[0]",
        _DESCRIPTORS,
    ),
    Fault(
        "an octave is ten semitones",
        "speech/backbones/pitch.py",
        "12 * torch.log2(",
        "10 * torch.log2(",
        "tests/speech/test_acoustic.py",
    ),
    Fault(
        "the typical spread is a mean of spreads",
        "features/moments.py",
        "return mean.mean(0), std.square().mean(0).sqrt()",
        "return mean.mean(0), std.mean(0)",
        "tests/features/test_normalisation.py",
    ),
    Fault(
        "nothing is clamped",
        "features/standards.py",
        "CLAMP if standard > CLAMP else -CLAMP",
        "standard if standard > CLAMP else -CLAMP",
        "tests/features/test_normalisation.py",
    ),
    Fault(
        "a value deviates from the mean of those before it alone",
        "features/moments.py",
        "apart * (value[k] - centre[k])",
        "apart * apart",
        "tests/features/test_standards.py",
    ),
    Fault(
        "everyone is standardised by the first group",
        "features/standards.py",
        "values[i], mean[groups[i]], factor",
        "values[i], mean[0], factor",
        "tests/features/test_standards.py",
    ),
    Fault(
        "what a disk has damaged stays in the store",
        "features/store.py",
        "            shard.drop(keys)\n",
        "",
        "tests/features/test_store.py::test_what_is_broken_is_forgotten_and_made_again",
    ),
    Fault(
        "embeddings too long for float32 have no length",
        "losses/blockwise.py",
        "torch.where(largest > 0, largest, 1)",
        "torch.ones_like(largest)",
        "tests/losses/test_lengths.py",
    ),
    Fault(
        "recordings of a folder with a name that is not UTF-8 go unsaid",
        "experiments/prediction/recordings.py",
        "            problems += missing\n",
        "",
        "tests/experiments/test_recordings.py",
    ),
    Fault(
        "a record's last row is its summary",
        "features/stored.py",
        "summaries[i] = kept[0]",
        "summaries[i] = kept[-1]",
        "tests/features/test_stored.py",
    ),
    Fault(
        "the end of a file that was cut is read as it happens to be",
        "features/shards.py",
        "if size < buffer.nbytes:",
        "if size < 0:",
        "tests/features/test_store.py",
    ),
    Fault(
        "layers are taken over in the order of the store",
        "features/stored.py",
        "for layer in own.settings.layers]",
        "for layer in sorted(own.settings.layers)]",
        "tests/features/test_stored.py",
    ),
    Fault(
        "some layers of any encoder are taken over",
        "speech/backbones/pretrained.py",
        "self._loaded = self._digest(), whole",
        'self._loaded = self._digest(), ""',
        "tests/speech/test_pretrained.py",
    ),
    Fault(
        "what phones have in common stays in the spread",
        "features/lexical.py",
        "(2 * mean[d] - moved[d])",
        "(mean[d] - moved[d])",
        "tests/features/test_lexical.py",
    ),
    Fault(
        "a part of a part is of the whole",
        "training/dataset.py",
        "at=self.at[index]",
        "at=index",
        "tests/training/test_dataset.py",
    ),
    Fault(
        "a kernel takes its distances too small",
        "recipes/classical.py",
        "alpha=-2",
        "alpha=-3",
        "tests/recipes/test_classical.py",
    ),
    Fault(
        "rare phonemes are believed in full",
        "features/lexical.py",
        " * tokens / (tokens + self.strength)",
        "",
        "tests/features/test_lexical.py",
    ),
    Fault(
        "a brighter voice is a duller one",
        "synthesis/prosody.py",
        "10 ** (slope * octaves / 20)",
        "10 ** (-slope * octaves / 20)",
        "tests/synthesis/test_espeak.py::test_filters_move_no_phone",
    ),
    Fault(
        "loudness is in units of 5 dB",
        "synthesis/prosody.py",
        "10 ** ((_LEVEL + manner.loudness) / 20)",
        "10 ** ((_LEVEL + 5 * manner.loudness) / 20)",
        "tests/synthesis/test_espeak.py::test_loudness_is_in_decibels",
    ),
    # Parts of recipes, losses, evaluation and samplers that were added later
    Fault(
        "T3A's templates keep the length of what they add up",
        "recipes/test_time.py",
        "return normalize(sums, dim=1)",
        "return sums",
        "tests/recipes/test_test_time.py::test_templates_are_means_of_the_directions_of_their_supports",
    ),
    Fault(
        "Tent makes predictions less sure",
        "recipes/test_time.py",
        "        entropy(logits).mean().backward()\n",
        "        (-entropy(logits).mean()).backward()\n",
        "tests/recipes/test_test_time.py::test_one_step_of_tent_is_one_of_adam_on_the_mean_entropy",
    ),
    Fault(
        "SAR looks for a hollow beside the parameters",
        "recipes/test_time.py",
        "parameter.add_(parameter.grad * (self.rho",
        "parameter.sub_(parameter.grad * (self.rho",
        "tests/recipes/test_test_time.py::test_one_step_of_sar_is_one_down_the_gradient_around_the_surer_predictions",
    ),
    Fault(
        "SAR learns from all predictions",
        "recipes/test_time.py",
        "first = here < self.sure * most",
        "first = here < 2 * most",
        "tests/recipes/test_test_time.py::test_one_step_of_sar_is_one_down_the_gradient_around_the_surer_predictions",
    ),
    Fault(
        "SAR never starts again",
        "recipes/test_time.py",
        "if self._average < least:",
        "if self._average < 0:",
        "tests/recipes/test_test_time.py::test_sar_starts_again_once_its_predictions_are_too_sure",
    ),
    Fault(
        "the trained network is changed by what it adapts to",
        "recipes/test_time.py",
        "adapted = copy.deepcopy(model).eval()",
        "adapted = model.eval()",
        "tests/recipes/test_steps.py::test_a_network_adapts_to_what_it_recognises_together",
    ),
    Fault(
        "a method that adapts while tested keeps it from the terms",
        "experiments/access.py",
        "hears = method.adapts or method.adapts_to_test or method.match_prior",
        "hears = method.adapts or method.match_prior",
        "tests/recipes/test_recipes.py::test_adapting_while_tested_is_among_the_terms_and_refused_where_they_forbid_it",
    ),
    Fault(
        "the teacher begins with its decay",
        "recipes/mean_teacher.py",
        "max(1 / (int(updates) + 1), 1 - decay)",
        "1 - decay",
        "tests/recipes/test_mean_teacher.py",
    ),
    Fault(
        "consistency teaches the teacher too",
        "recipes/mean_teacher.py",
        "teacher.detach().to(kind)",
        "teacher.to(kind)",
        "tests/recipes/test_mean_teacher.py",
    ),
    Fault(
        "a recoloured source is not whitened",
        "features/recolouring.py",
        "return whitened @ matrix_power(target",
        "return matrix_power(target",
        "tests/features/test_recolouring.py",
    ),
    Fault(
        "covariances about zero",
        "features/recolouring.py",
        "squares / count - mean[:, :, None] * mean[:, None, :]",
        "squares / count",
        "tests/features/test_recolouring.py",
    ),
    Fault(
        "a probe's source is not recoloured",
        "recipes/probe.py",
        "source = source.recoloured(moved)",
        "pass",
        "tests/recipes/test_probe.py",
    ),
    Fault(
        "two tables of one name become one corpus",
        "corpora/registry.py",
        "if len(differ):",
        "if False:",
        "tests/corpora/test_registry.py",
    ),
    Fault(
        "development speakers may take a class away",
        "corpora/protocol/holding_out.py",
        "        if not missing:\n            return frame[~out]",
        "        if True:\n            return frame[~out]",
        "tests/corpora/test_protocol.py",
    ),
    Fault(
        "sentences' means stay in what is evaluated",
        "experiments/saved.py",
        "if together and protocol.removes_content and self.sentences is not None:",
        "if False:",
        "tests/experiments/test_repeating_the_test.py",
    ),
    Fault(
        "silent utterances do not count in a corpus' statistics",
        "experiments/prediction/recogniser.py",
        "usable = rows if corpora else",
        "usable = rows[sound].reset_index(drop=True) if corpora else",
        "tests/experiments/test_repeating_the_test.py",
    ),
    Fault(
        "the Monge map forgets the source's spread",
        "features/transport.py",
        "_power(root @ to_covariance @ root, 0.5)",
        "_power(to_covariance, 0.5)",
        "tests/features/test_transport.py",
    ),
    Fault(
        "unknown classes count within classes",
        "features/within_class.py",
        "known = classes >= 0",
        "known = classes >= -1",
        "tests/features/test_transport.py::test_classes_become_round",
    ),
    Fault(
        "transport weighs all classes alike",
        "recipes/transported_prior.py",
        "prior = (total / len(plans)).exp()",
        "prior = torch.ones_like(total) / classes",
        "tests/recipes/test_transported_prior.py",
    ),
    Fault(
        "the shift of a prior stays on the processor",
        "recipes/pseudo_labels.py",
        "torch.from_numpy(own - own.mean()).to(shift)",
        "torch.from_numpy(own - own.mean())",
        "tests/recipes/test_devices.py",
    ),
    Fault(
        "communities are found on the processor",
        "recipes/styles.py",
        "= means.to(self.styles)",
        "= means",
        "tests/recipes/test_devices.py",
    ),
    Fault(
        "a prior is matched once",
        "recipes/pseudo_labels.py",
        'options={"gtol": _CLOSE}',
        'options={"maxiter": 1}',
        "tests/recipes/test_pseudo_labels.py",
    ),
    Fault(
        "the rounding of a share keeps one more",
        "recipes/pseudo_labels.py",
        "math.ceil(round(share * len(at), 9))",
        "math.ceil(share * len(at))",
        "tests/recipes/test_pseudo_labels.py",
    ),
    Fault(
        "a run goes on with other labels",
        "experiments/run_folder.py",
        'if begun.get("rows", cast.rows) == cast.rows:',
        "if begun:",
        "tests/experiments/test_experiment.py",
    ),
    Fault(
        "an ONNX model holds the paths of who made it",
        "experiments/export/onnx_model.py",
        "node.metadata_props.clear()",
        "pass",
        "tests/experiments/test_attributes.py::test_a_run_of_attributes_is_exported_with_its_card_and_as_onnx",
    ),
    Fault(
        "two classes are penalised as two rows",
        "recipes/logistic.py",
        "rows = 2 if len(y.unique()) == 2 else 1",
        "rows = 1",
        "tests/recipes/test_probe.py",
    ),
    Fault(
        "utterances without an attribute count for their corpus",
        "recipes/probe.py",
        "weight = known / of_corpus.index_add(0, corpus, known)[corpus].clamp_min(1)",
        "weight = known / of_corpus.index_add(0, corpus, torch.ones_like(known))[corpus].clamp_min(1)",
        "tests/recipes/test_probe.py",
    ),
    Fault(
        "semi-hard mining hides NaN",
        "losses/mining.py",
        "rank = torch.where(values[:, -1:].isnan(), similarity.shape[1] - 1, rank)",
        "pass",
        "tests/losses/test_triplet.py::test_nan_is_not_hidden",
    ),
    Fault(
        "listed triplets are taken in half precision",
        "losses/triplet.py",
        "with torch.autocast(pairs.anchors.device.type, enabled=False):",
        "if True:",
        "tests/losses/test_triplet.py::test_bfloat16_is_close_to_float32",
    ),
    Fault(
        "speech of an unknown language is the target's",
        "recipes/sapa.py",
        "foreign = (languages < 0) &",
        "foreign = (languages < 0) | False &",
        "tests/recipes/test_recipes.py::test_sapa_knows_no_language_that_nobody_names",
    ),
    Fault(
        "hooks draw other numbers in a resumed run",
        "training/loop.py",
        "set_seed(derive(*seeds))  # all",
        "pass  # all",
        "tests/training/test_loop.py",
    ),
    Fault(
        "a corpus that lacks an attribute does not count at all",
        "recipes/attributes.py",
        "known = [value for value in each if not np.isnan(value)]",
        "known = each if not np.isnan(each).any() else []",
        "tests/experiments/test_attributes.py::test_what_a_corpus_does_not_know_leaves_its_other_attributes_in",
    ),
    Fault(
        "one broken cell ends a bench",
        "experiments/bench/running.py",
        "except Exception as error:",
        "except ZeroDivisionError as error:",
        "tests/experiments/test_bench.py::test_a_cell_that_breaks_is_said_and_the_others_go_on",
    ),
    Fault(
        "speakers of one emotion are told apart at the geometric mean",
        "experiments/one_sided.py",
        "np.mean(np.sqrt([self.several, self.single])) ** 2",
        "np.sqrt(self.several * self.single)",
        "tests/experiments/test_one_sided.py",
    ),
    Fault(
        "unknown attributes count as known",
        "recipes/attributes.py",
        "known = ~actual.isnan()",
        "known = torch.ones_like(actual, dtype=torch.bool)",
        "tests/experiments/test_attributes.py::test_the_loss_leaves_out_what_is_not_known",
    ),
    Fault(
        "focal loss looks at what is right",
        "losses/focal.py",
        "weights * missed**gamma * log_p",
        "weights * (1 - missed) ** gamma * log_p",
        "tests/losses/test_focal.py",
    ),
    Fault(
        "an anchor of the multi-label contrast is its own positive",
        "losses/multi_label.py",
        "weights.diagonal(block.items.start).fill_(0)",
        "weights.diagonal(block.items.start).fill_(1)",
        "tests/losses/test_multi_label.py::test_value_and_gradient_equal_loops",
    ),
    Fault(
        "the concordance loss does not mind an offset",
        "losses/concordance.py",
        "return ((x - y).square()",
        "return ((cx - cy).square()",
        "tests/losses/test_concordance.py",
    ),
    Fault(
        "the concordance correlation forgets how far means are apart",
        "evaluation/concordance.py",
        "(pp - p**2) + (t - p) ** 2",
        "(pp - p**2)",
        "tests/evaluation/test_concordance.py::test_by_the_definition",
    ),
    Fault(
        "the interval of a mean CCC rests on the first attribute",
        "evaluation/concordance.py",
        "self.counts[..., 0, ::3, None]",
        "self.counts[..., :1, :1]",
        "tests/evaluation/test_concordance.py::test_the_mean_over_attributes_does_not_depend_on_their_order",
    ),
    Fault(
        "the answer of a report is an oracle's",
        "evaluation/answers.py",
        'run.protocol["target_access"] != "labels"',
        "run",
        f"{_PAGES}::test_the_answer_is_of_runs_on_like_terms",
    ),
    Fault(
        "any run of a row is the fair control of a report",
        "experiments/variants.py",
        "alike = [other for other in others if _shared(other, name, wanted) == own]",
        "alike = list(others)",
        f"{_PAGES}::test_a_control_is_trained_alike_and_the_nearest",
    ),
    Fault(
        "a calibrated network has no error to expect",
        "evaluation/calibration.py",
        "np.sqrt(2 / np.pi * sums[..., 3])",
        "np.sqrt(0 * sums[..., 3])",
        "tests/evaluation/test_calibration.py::test_the_floor_is_what_a_calibrated_recogniser_shows",
    ),
    Fault(
        "a temperature divides probabilities",
        "evaluation/calibration.py",
        "logits = logits / (t[:, None] if t.ndim else t)",
        "logits = logits * (t[:, None] if t.ndim else t)",
        "tests/evaluation/test_calibration.py::test_the_temperature_undoes_what_was_planted",
    ),
    Fault(
        "two tables of one file name are one corpus",
        "corpora/registry.py",
        "        if files[0] != files[1] and composed(",
        "        if False and composed(",
        "tests/corpora/test_registry.py::test_the_speaker_1_of_two_tables_without_a_corpus_is_not_one_person",
    ),
    Fault(
        "the hash does not see votes",
        "corpora/protocol/cast.py",
        '            terms["votes"] = votes\n',
        "            pass\n",
        "tests/corpora/test_votes.py::test_the_hash_of_a_protocol_covers_the_votes_for_its_classes",
    ),
    Fault(
        "what is right in one run is right in the other",
        "evaluation/comparison.py",
        "    if differ:\n",
        "    if False:\n",
        "tests/evaluation/test_report.py::test_a_metric_whose_truth_differs_is_left_out_and_named",
    ),
    Fault(
        "a difference without an error is certain",
        "evaluation/intervals.py",
        "return 1.0 if difference == 0 else least",
        "return 1.0 if difference == 0 else 0.0",
        "tests/evaluation/test_intervals.py::test_the_same_difference_with_every_speaker_is_not_certain",
    ),
    Fault(
        "the gap between genders is turned",
        "evaluation/gender.py",
        'clusters["male"], clusters["female"], uar',
        'clusters["female"], clusters["male"], uar',
        "tests/evaluation/test_gender.py::test_a_planted_gap_is_found_with_its_sign",
    ),
    Fault(
        "an utterance's noise depends on its place",
        "experiments/prediction/robustness.py",
        'f"{seed} {condition.name} {name}"',
        'f"{seed} {condition.name} {number}"',
        "tests/experiments/test_robustness.py::test_an_utterances_noise_depends_on_it_alone",
    ),
    Fault(
        "a draw takes whoever comes first",
        "experiments/prediction/conditions.py",
        'chosen = place.sort_values(kind="stable").index[:most]',
        "chosen = rows.index[:most]",
        "tests/experiments/test_robustness.py::test_a_draw_is_even",
    ),
    Fault(
        "an epoch that was broken off is begun again",
        "anchors/samplers/resumable.py",
        "place = self._latest.epoch + 1, 0",
        "place = self._latest.epoch, 0",
        "tests/anchors/test_loops.py::test_an_epoch_broken_off_is_followed_by_a_whole_one",
    ),
    Fault(
        "the rank is frozen when a sampler is built",
        "anchors/samplers/resumable.py",
        "self._given = _given_place(rank, world_size)",
        "self._given = _given_place(rank, world_size) or (distributed.get_rank() if world() > 1 else 0, world())",
        f"{_SAMPLERS}::test_the_rank_is_that_of_the_time_of_iterating",
    ),
    Fault(
        "of many neighbours, equals of the last are cut off",
        "graphs/neighbours/kernels.py",
        "2 * error + abs(kth) * 2.0**-23",
        "2 * error",
        "tests/graphs/test_row_search.py::test_whole_rows_find_the_same_neighbours",
    ),
    Fault(
        "of many neighbours, similarities are rounded twice",
        "graphs/neighbours/kernels.py",
        "if score != other:",
        "if False:",
        "tests/graphs/test_row_search.py::test_similarities_halfway_between_two_numbers_are_rounded_as_whole_numbers_are",
    ),
    Fault(
        "symbols of THCHS-30 for the i of zi and shi are exchanged",
        "phonetics/alphabets/pinyin.py",
        """"iy": "ii",
    "ix": "iii",""",
        """"iy": "iii",
    "ix": "ii",""",
        "tests/phonetics/test_symbols.py",
    ),
    Fault(
        "symbols of Danish short vowels are glottal stops",
        "phonetics/alphabets/espeak.py",
        'text = _SHORT.sub("", text)',
        "text = _SHORT.sub('ʔ', text)",
        "tests/phonetics/test_symbols.py",
    ),
    Fault(
        "alignments of parts are cut again",
        "alignment/named_files.py",
        "made_of is None and name == recording and row.is_part",
        "name == recording and row.is_part",
        f"{_ALIGN_CORPUS}::test_alignments_of_parts_are_read_as_they_were_made",
    ),
    Fault(
        "times that count from another start are used",
        "alignment/folder.py",
        "early and last <= own + LATE",
        "early and last <= 0",
        "tests/alignment/test_alignment_kinds.py::test_times_that_count_from_another_start_are_not_used",
    ),
    Fault(
        "alignments of another text kept",
        "alignment/corpus.py",
        "path.unlink(missing_ok=True)",
        "pass",
        f"{_ALIGN_CORPUS}::test_what_was_made_from_something_else_is_made_anew",
    ),
    Fault(
        "symbols of TIMIT are guessed from each file",
        "alignment/files/read.py",
        'alphabet or "arpabet"',
        "alphabet",
        "tests/alignment/test_alignment_kinds.py::test_timit_and_buckeye",
    ),
    Fault(
        "symbols with a ring above are voiced",
        "phonetics/articulation.py",
        "0x35C: None, 0x30A: 0x325}",
        "0x35C: None}",
        "tests/phonetics/test_articulation.py",
    ),
    Fault(
        "symbols are looked for in tiers of intervals alone",
        "alignment/files/textgrid.py",
        "asked = found if isinstance(tier, int) else tiers",
        "asked = list(tiers)",
        "tests/alignment/test_alignment_kinds.py::test_whatever_praat_writes",
    ),
    # Backbones and their training
    Fault(
        "commas in a folder's name begin settings",
        "speech/backbones/spec.py",
        'if Path(",".join(words[:n])).expanduser().is_dir()), 1)',
        "if False), 1)",
        "tests/speech/test_backbone_spec.py",
    ),
    Fault(
        "recordings are taken for features",
        "training/dataset.py",
        "if not isinstance(self.source, FeatureSource):",
        "if False:",
        "tests/training/test_dataset.py::"
        "test_of_recordings_nothing_is_taken_off_and_nothing_is_moved",
    ),
    Fault(
        "features in half precision are standardised in it",
        "features/standards.py",
        "wide = torch.promote_types(values.dtype, torch.float32)",
        "wide = values.dtype",
        "tests/features/test_normalisation.py::test_features_keep_their_type_and_their_memory",
    ),
    Fault(
        "a fused step of the optimiser goes unseen",
        "training/loop.py",
        "        optimiser.register_step_post_hook(_count_changes)\n",
        "        pass\n",
        "tests/training/test_audio.py::test_epochs_are_judged_by_the_weights_that_they_reached",
    ),
    Fault(
        "settings that the weights do not show are not in a backbone's name",
        "speech/backbones/pretrained.py",
        "if unusual := _unusual(model.config, extractor):",
        "if unusual := {}:",
        "tests/speech/test_pretrained.py::test_settings_that_the_weights_do_not_show_are_in_the_name",
    ),
    Fault(
        "running statistics are cast with the model",
        "running_statistics.py",
        "old.to(new.device, self._wide(new.dtype))",
        "new",
        "tests/test_running_statistics.py",
    ),
    Fault(
        "a group normalisation's variance is taken in half precision",
        "speech/backbones/convolutions.py",
        "with torch.autocast(waveforms.device.type, enabled=False):",
        "if True:",
        "tests/speech/test_pretrained.py::test_statistics_of_filters_are_taken_in_single_precision",
    ),
    Fault(
        "an extractor that cannot be read is taken for none",
        "speech/checkpoints.py",
        "there = [name for name in _EXTRACTORS if not _lacks(source, name, revision)]",
        "there = []",
        "tests/speech/test_checkpoints.py",
    ),
    Fault(
        "whoever computes with features must be able to read recordings",
        "speech/audio.py",
        "import numpy.typing as npt\nimport torch\n",
        "import numpy.typing as npt\nimport soxr\nimport torch\n",
        "tests/speech/test_audio.py::test_who_reads_no_recordings_needs_nothing_that_does",
    ),
    Fault(
        "products are told in full precision in the words of the newest torch alone",
        "precision.py",
        'if hasattr(backends.cuda.matmul, "fp32_precision"):',
        "if True:",
        "tests/test_precision.py",
    ),
    Fault(
        "every layer that is pooled makes a GPU wait",
        "anchors/streaming.py",
        "torch.cat(pooled, 1).flatten(0, 1).index_select(0, self._places)",
        "torch.cat(pooled, 1)[self._inside]",
        "tests/anchors/test_streaming.py::test_no_layer_but_the_first_makes_a_gpu_wait",
    ),
    Fault(
        "what phonemes have stays on the processor",
        "training/audio.py",
        "table=self.table.to(device),",
        "table=self.table,",
        "tests/training/test_audio.py::test_what_phonemes_have_is_moved_with_the_batch_and_taken_off_their_frames_alone",
    ),
    Fault(
        "the last phoneme's content is taken off frames of unknown phones",
        "training/heard.py",
        "table=content.with_zero,",
        "table=content.table,",
        "tests/training/test_audio.py::test_what_is_said_is_taken_out_on_both_roads",
    ),
    # Protocols and predictions
    Fault(
        "a recipe that needs the target's recordings begins without them",
        "experiments/access.py",
        "if method.adapts and sealed(protocol):",
        "if False:",
        "tests/experiments/test_experiment.py::test_under_a_sealed_target_a_recipe_runs_or_says_what_it_lacks",
    ),
    Fault(
        "a recipe that is given the target need not say so",
        "experiments/neural.py",
        "            check_declared(recipe, config)\n",
        "",
        "tests/experiments/test_experiment.py::test_who_is_given_the_target_must_say_so",
    ),
    Fault(
        "a sealed target is opened for a prior that cannot be matched",
        "experiments/neural.py",
        "if recipe.sees_target and len(parts.adapt) else None",
        "if recipe.sees_target else None",
        "tests/experiments/test_experiment.py::test_an_unseen_target_is_not_opened_before_the_test",
    ),
    Fault(
        "a backbone's folder is kept as it was given",
        "experiments/experiment.py",
        '"backbone": located(self.backbone),',
        '"backbone": self.backbone,',
        "tests/experiments/test_experiment.py::test_a_folder_of_a_backbone_is_found_from_anywhere",
    ),
    Fault(
        "a length that cannot be has probabilities",
        "experiments/export/onnx_model.py",
        "(lengths >= self.shortest) & (lengths <= samples)",
        "lengths <= samples",
        "tests/experiments/test_onnx_audio.py::test_a_length_that_cannot_be_has_no_probabilities",
    ),
    Fault(
        "a flag that is repeated forgets what it was given first",
        "cli/lists.py",
        "own = values.setdefault(name, [])",
        "own = values[name] = []",
        "tests/test_command_line.py::test_a_list_may_be_given_at_once_or_a_value_at_a_time",
    ),
    Fault(
        "recordings are left out without a word of why",
        "experiments/notes.py",
        "    for said in reasons(left_out):\n        tell(said)",
        "    del left_out",
        "tests/experiments/test_experiment.py::"
        "test_why_recordings_are_left_out_is_said_before_training_and_what_is_lost",
    ),
    Fault(
        "a class of which nothing can be used is learned from nothing",
        "experiments/notes.py",
        'used = cast.source["utterance"].isin(data.seen.manifest["utterance"])',
        'used = cast.source["utterance"].notna()',
        "tests/experiments/test_experiment.py::"
        "test_a_class_of_which_nothing_can_be_used_stops_the_run_with_the_reasons",
    ),
    Fault(
        "utterances of a source's one speaker are held out though another source has speakers",
        "corpora/protocol/holding_out.py",
        'divisible = ~frame["corpus"].isin([*lone])\n    if not divisible.any():',
        'divisible = frame["corpus"].notna()\n    if lone:',
        "tests/corpora/test_protocol.py::"
        "test_a_source_of_one_speaker_is_learned_from_where_others_have_some_to_hold_out",
    ),
    Fault(
        "one speaker in the official train and dev parts is no leak",
        "corpora/audit/leakage.py",
        'drawn = parts.dev[~(given & parts.dev["split"].eq("dev"))]\n    return',
        "drawn = parts.dev\n    return",
        "tests/corpora/test_protocol.py::"
        "test_one_speaker_in_official_train_and_dev_is_still_a_leak",
    ),
    Fault(
        "settings are chosen for a run that is refused",
        "cli/run_request.py",
        "        _check_first(self.experiment)\n",
        "",
        "tests/experiments/test_selection.py::"
        "test_what_the_run_would_refuse_is_refused_before_settings_are_chosen",
    ),
    Fault(
        "official parts that were not tested count in what is recognised",
        "experiments/prediction/hearings.py",
        "np.flatnonzero(part | others).tolist()",
        "list(range(len(rows)))",
        "tests/experiments/test_hearings.py",
    ),
    Fault(
        "a lone recording of a named speaker is standardised by itself",
        "experiments/prediction/recogniser.py",
        "few = _of_few(usable, terms.protocol)",
        "_of_few(usable, terms.protocol)",
        "tests/experiments/test_recogniser.py::"
        "test_a_speaker_of_a_recording_or_two_is_standardised_by_the_source",
    ),
    Fault(
        "whatever auto decides for recordings is called that of the run's test",
        "experiments/prediction/recogniser.py",
        "if by == tested:",
        "if by:",
        "tests/experiments/test_recogniser.py::"
        "test_a_set_that_auto_decides_otherwise_than_the_runs_test_says_so",
    ),
    Fault(
        "recordings of some milliseconds are learned from",
        "training/from_manifest.py",
        "shortest=SHORTEST,",
        "shortest=0.0,",
        "tests/experiments/test_recogniser.py::"
        "test_what_is_too_short_to_be_recognised_is_neither_learned_nor_tested",
    ),
    Fault(
        "fewer right than by always answering one class goes unsaid",
        "evaluation/tables.py",
        "if accuracy > share - 1e-9:",
        "if accuracy:",
        "tests/evaluation/test_report.py::"
        "test_fewer_right_than_by_always_answering_one_class_is_said",
    ),
    Fault(
        "partly known speakers make intervals as good as known ones",
        "evaluation/numbers_as_text.py",
        'elif results["unknown_speakers"]:',
        "elif False:",
        "tests/evaluation/test_report.py::"
        "test_speakers_known_of_some_alone_make_intervals_too_narrow",
    ),
    Fault(
        "settings written by hand may be of any kind",
        "settings.py",
        "check_kinds(kind, plain, where)\n    return _built",
        "return _built",
        "tests/test_command_line.py::"
        "test_settings_of_another_kind_are_named_before_anything_is_done",
    ),
    Fault(
        "a batch that is not finite stays in running covariances",
        "losses/coral.py",
        "torch.where(finite, new.detach(), old)",
        "new.detach()",
        f"{_ALIGNMENT_LOSSES}::test_a_batch_that_is_not_finite_stays_out_of_running_covariances",
    ),
    Fault(
        "what the statistics of a target without speakers assume goes unsaid",
        "experiments/experiment.py",
        "[*shares_note(data), *lost_classes(cast, data)]",
        "lost_classes(cast, data)",
        "tests/experiments/test_experiment.py::"
        "test_a_target_without_speakers_is_said_to_be_taken_for_one_of_the_sources_shares",
    ),
)


def find(fault: Fault, root: Path = ROOT) -> str:
    """The file's text, in which the source stands once.

    Raises:
        ValueError: It stands there never, or more than once.
    """
    path = root / "cleser" / fault.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(fault.source) != 1:
        raise ValueError(
            f"fault {fault.name!r}: found {fault.source!r} {text.count(fault.source)} times in cleser/{fault.file}, "
            "expected it once; bring tests/faults.py up to date"
        )
    return text


def caught(fault: Fault, copy: Path) -> bool:
    """Whether a test fails once the fault is in the copy, which is as before afterwards."""
    text = find(fault, copy)
    path = copy / "cleser" / fault.file
    path.write_text(text.replace(fault.source, fault.fault), encoding="utf-8")
    try:
        return _failed(fault.tests, copy)
    finally:
        path.write_text(text, encoding="utf-8")


def _failed(tests: str, copy: Path, *, first: bool = True) -> bool:
    """Whether any of some tests fails; after the first that does the others are not run.

    Raises:
        RuntimeError: They cannot run.
    """
    command = [sys.executable, *_PYTEST, *(["-x"] if first else []), *tests.split()]
    own = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    # Numba compiles again what stands in a changed file, but not the loops of other files that call it.
    own["NUMBA_CACHE_DIR"] = str(copy / "compiled")
    done = subprocess.run(
        command, cwd=copy, env={**os.environ, **own}, check=False, capture_output=True, text=True
    )
    if done.returncode not in (_PASSED, _FAILED):
        raise RuntimeError(
            f"pytest {tests} cannot run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.returncode == _FAILED


def copied(folder: Path) -> Path:
    """Copy what tests need into an empty folder."""
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def chosen(word: str, quick: bool) -> list[Fault]:
    """The faults to try: those whose name holds the word; quick, the first of each part of the library."""
    faults = [f for f in FAULTS if word.lower() in f.name.lower()]
    if quick:
        faults = list({f.file.split("/")[0]: f for f in reversed(faults)}.values())[::-1]
    return faults


def main() -> int:
    """Try the faults; 0 where all are caught."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="WORD", help="faults whose name holds this")
    parser.add_argument("--quick", action="store_true", help="one of each part of the library")
    arguments = parser.parse_args()
    faults = chosen(arguments.only, arguments.quick)
    if not faults:
        parser.error(
            f"no fault's name holds {arguments.only!r}; there are: {', '.join(f.name for f in FAULTS)}"
        )
    for fault in faults:
        find(fault)
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        tests = " ".join(sorted({f.tests for f in faults}))
        if _failed(tests, copy, first=False):
            print(f"these tests fail without any fault, so that they show nothing: {tests}")
            return 1
        print("| fault | in | caught | s |\n|---|---|---|---|")
        for fault in faults:
            begun = time.monotonic()
            seen = caught(fault, copy)
            missed += [] if seen else [fault.name]
            answer, took = "yes" if seen else "**no**", time.monotonic() - begun
            print(f"| {fault.name} | {fault.file} | {answer} | {took:.0f} |", flush=True)
    print(f"\n{len(faults) - len(missed)} of {len(faults)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
