"""Statistics of features and what is done by them in plain loops, which the library's are compared with."""

from dataclasses import replace

import torch

from cleser.features.moments import Moments


def moments(features, groups=None):
    """The mean of the groups' means, and the root of the mean of their variances; all are one group by default."""
    names = [""] * len(features) if groups is None else groups.tolist()
    tokens = features.tokens.double().split(features.offsets.diff().tolist())
    found = []
    for of_utterances in (tokens, features.summaries.double().split(1)):
        means, variances = [], []
        for name in dict.fromkeys(names):
            own = torch.cat(
                [of for of, group in zip(of_utterances, names, strict=True) if group == name]
            )
            mean = sum(own) / len(own)
            means.append(mean)
            variances.append(sum((values - mean) ** 2 for values in own) / len(own))
        found += [sum(means) / len(means), (sum(variances) / len(variances)).sqrt()]
    return Moments(*found)


def standardised(features, groups, corpora=None, *, distrusted=(), strength=2.0):
    """Features standardised within groups; with corpora, by statistics that are drawn towards theirs."""
    tokens = list(features.tokens.double().split(features.offsets.diff().tolist()))
    summaries = list(features.summaries.double().split(1))
    for of_utterances in (tokens, summaries):
        found = []
        for i, name in enumerate(groups):
            own = [j for j, group in enumerate(groups) if group == name]
            values = torch.cat([of_utterances[j] for j in own])
            mean, variance = values.mean(0), values.var(0, correction=0)
            if corpora is not None:
                wide = [j for j, corpus in enumerate(corpora) if corpus == corpora[i]]
                of_corpus = torch.cat([of_utterances[j] for j in wide])
                weight = 0.0 if name in distrusted else len(own) / (len(own) + strength)
                mean = weight * mean + (1 - weight) * of_corpus.mean(0)
                variance = weight * variance + (1 - weight) * of_corpus.var(0, correction=0)
            found.append(_standard(of_utterances[i], mean, variance.sqrt()))
        of_utterances[:] = found
    return replace(
        features, tokens=torch.cat(tokens).float(), summaries=torch.cat(summaries).float()
    )


def standardised_by(features, reference, *, alone=False):
    """Features standardised by the same statistics for all, or each utterance's tokens by their own."""
    tokens = []
    for own in features.tokens.double().split(features.offsets.diff().tolist()):
        mean, std = reference.token_mean, reference.token_std
        if alone:
            mean, std = own.mean(0), own.var(0, correction=0).sqrt()
        tokens.append(_standard(own, mean, std))
    summaries = _standard(
        features.summaries.double(), reference.summary_mean, reference.summary_std
    )
    return replace(features, tokens=torch.cat(tokens).float(), summaries=summaries.float())


def _standard(values, mean, std):
    """Nothing varies where the spread is below 1e-8; clamped to six deviations."""
    varies = std >= 1e-8
    return torch.where(varies, (values - mean) / torch.where(varies, std, 1), 0).clamp(-6, 6)


def without_sentences(summaries, said, strength=5.0):
    """Summaries less the mean of what several utterances say, in part."""
    left = summaries.clone()
    for i, name in enumerate(said):
        if not isinstance(name, str):
            continue
        others = [j for j, other in enumerate(said) if other == name]
        count = len(others)
        left[i] -= summaries[others].mean(0) * (count - 1) / (count - 1 + strength)
    return left
