"""Density-peak clustering (k nearest neighbours) as SparseVLM uses it, without its random tie-breaking."""

from dataclasses import dataclass

import torch
from torch import Tensor

from visor_eval.cost.scoring import recycling_sizes


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """``count`` clusters of ``tokens`` feature vectors, and why they are these."""

    density: Tensor  # [tokens]
    parent_distance: Tensor  # to the nearest denser token; the largest distance of all where none is denser [tokens]
    centres: Tensor  # tokens with the largest density * parent distance, best first [count]
    assignment: Tensor  # cluster of each token [tokens]


def density_peaks(features: Tensor, count: int, noise: Tensor | None = None) -> Clusters:
    """Cluster ``features`` [tokens, dim] into ``count`` <= tokens clusters.

    A token's density is exp(-mean of its ``count`` smallest squared distances), its own distance 0 among them;
    distances are Euclidean over sqrt(dim). Equal scores go to the lower index. Source: Gumpest/SparseVLMs at 26a5f48,
    ``cluster_and_merge``; docs/spec/decoder_methods.md section 2.4.

    Args:
        features: what is compared.
        count: clusters, and neighbours in the density.
        noise: added to the densities [tokens]; the authors add 1e-6 * U[0, 1), which half precision rounds away.
    """
    distances = _distances(features)
    density = distances.square().topk(count, largest=False).values.mean(dim=-1).neg().exp()
    if noise is not None:
        density = density + noise
    denser = density[None, :] > density[:, None]
    parent_distance = distances.where(denser, distances.max()).amin(dim=-1)
    centres = (density * parent_distance).argsort(descending=True, stable=True)[:count]
    assignment = distances[:, centres].argmin(dim=-1)
    assignment[centres] = torch.arange(count, device=centres.device)  # also where two centres coincide
    return Clusters(density=density, parent_distance=parent_distance, centres=centres, assignment=assignment)


def cluster_means(features: Tensor, assignment: Tensor, count: int) -> Tensor:
    """Plain mean of each cluster's members: [tokens, dim], [tokens] -> [count, dim] in the features' dtype."""
    sums = features.new_zeros(count, features.shape[1], dtype=torch.float32).index_add_(0, assignment, features.float())
    members = assignment.bincount(minlength=count)[:, None]
    return (sums / (members + 1e-6)).to(features.dtype)  # the constant is the authors'


def _distances(features: Tensor) -> Tensor:
    """Euclidean over sqrt(dim) [tokens, tokens], exactly symmetric: neighbours then tie in density as they should.

    In double precision, since squares of features with outliers cancel; Apple GPUs have none.
    """
    precise = features.to(torch.float32 if features.device.type == "mps" else torch.float64)
    products = precise @ precise.T
    lengths = products.diagonal()
    squares = lengths[:, None] + lengths[None, :] - (products + products.T)
    return (squares.clamp(min=0) / features.shape[1]).sqrt().fill_diagonal_(0)


def recycle(states: Tensor, scores: Tensor, keep: Tensor) -> Tensor:
    """Tokens made of the best pruned ones: they are clustered, each cluster becomes its mean.

    Args:
        states: of the tokens before pruning [tokens, dim].
        scores: by which they were pruned [tokens].
        keep: indices of those that stay, fewer than ``tokens`` [kept].

    Returns:
        [clusters, dim], the centre with the best score first.
    """
    count, clusters = recycling_sizes(len(states) - len(keep))
    by_score = scores.index_fill(0, keep, -torch.inf).argsort(descending=True, stable=True)
    candidates = states[by_score[:count]]
    return cluster_means(candidates, density_peaks(candidates, clusters).assignment, clusters)
