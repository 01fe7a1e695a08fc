"""The statistics of features by plain loops, which the library's are compared with."""

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
