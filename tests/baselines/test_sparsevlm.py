"""SparseVLM against its authors' code: every golden file, the schedules and the savings of spec section 4."""

import pytest
import torch

from tests.baselines.decoding import check_forward, golden_cases, golden_families, run_golden, span_prompt
from tests.baselines.views import view_of
from visor_baselines.budgets.sparsevlm import TABLES, kept_for_total
from visor_baselines.sparsevlm import Raters, SparseVLM, above_mean, relevance
from visor_eval.core import clustering
from visor_eval.core.clustering import cluster_means, density_peaks, recycle
from visor_eval.core.pruning import Pruned
from visor_eval.cost.scoring import recycling_sizes
from visor_eval.models.sequence import Batch

NOISE = 1e-6  # what the authors multiply their uniform noise with


@pytest.fixture
def noise(monkeypatch):
    """Hand the stored noise to the clustering, call by call (the authors draw it anew each time)."""
    queue = []

    def noisy(features, count):
        return density_peaks(features, count, NOISE * queue.pop(0))

    monkeypatch.setattr(clustering, "density_peaks", noisy)
    return queue


@golden_cases("sparsevlm", "rater", 8)
def test_raters(golden):
    meta, embeddings = golden.meta, golden["input_embeds"][0]
    vision = embeddings[meta["visual_start"] : meta["visual_start"] + meta["visual_count"]]
    shares = relevance(vision, embeddings[meta["text_start"] :])
    torch.testing.assert_close(shares, golden["out_relevance"][0], atol=1e-6, rtol=0)
    torch.testing.assert_close(shares.mean(), golden["out_threshold"], atol=1e-6, rtol=0)
    expected = golden["out_rater_local"].tolist() or list(range(len(shares)))  # nobody stands out: all rate
    assert above_mean(shares).tolist() == expected


def rated_view(golden):
    meta = golden.meta
    length = golden["attention"].shape[-1]
    from_end = length - meta["text_start"] - golden["rater_local"]
    raters = Raters(from_end=from_end, asked=length - meta["text_start"], stage=0)
    return view_of(golden["attention"][0], meta["visual_start"], meta["visual_count"], memory={"raters": raters})


def check_selection(golden, method):
    view = rated_view(golden)
    answer = method.prune(view)
    assert answer.keep.tolist() == golden["out_keep_local"].tolist()
    assert len(answer.keep) == int(golden["out_keep_count"])
    assert (answer.extra is not None) == bool(golden["out_needs_merge"])
    torch.testing.assert_close(method.rated(view).mean(dim=0), golden["out_scores"][0], atol=1e-6, rtol=0)


@golden_cases("sparsevlm", "topk", 8)
def test_fixed_count(golden):
    check_selection(golden, SparseVLM(layers=(1,), keep=(golden.meta["table_keep"],), always_prune=True))


@golden_cases("sparsevlm", "rank", 8)
def test_count_by_rank(golden):
    meta = golden.meta
    video = meta["scale"] is None  # keeps exactly the rank
    method = SparseVLM(
        rule="rank", scale=1 if video else meta["scale"], bias=0 if video else meta["bias"], always_prune=True
    )
    check_selection(golden, method)
    assert int(torch.linalg.matrix_rank(method.rated(rated_view(golden)))) == int(golden["out_rank"])


@golden_cases("sparsevlm", "cluster", 10)
def test_clusters(golden):
    count = golden.meta["cluster_num"]
    for row, features in enumerate(golden["features"]):
        found = density_peaks(features, count, NOISE * golden["noise_uniform"][row])
        torch.testing.assert_close(found.density.float(), golden["out_density"][row], atol=1e-6, rtol=0)
        assert found.assignment.tolist() == golden["out_assignment"][row].tolist()
        if count > 1:  # with one cluster all densities tie
            assert found.centres.tolist() == golden["out_center_index"][row].tolist()
            torch.testing.assert_close(
                found.parent_distance.float(), golden["out_parent_distance"][row], atol=1e-6, rtol=0
            )
            score = (found.density * found.parent_distance).float()
            torch.testing.assert_close(score, golden["out_score"][row], atol=1e-6, rtol=0)
        merged = cluster_means(features, found.assignment, count)
        torch.testing.assert_close(merged, golden["out_merged"][row], atol=5e-6, rtol=0)


@golden_cases("sparsevlm", "recycle", 8)
def test_recycling_and_reinsertion(golden, noise):
    meta, states = golden.meta, golden["hidden_states"][0]
    start, count = meta["visual_start"], meta["visual_count"]
    keep = golden["keep_mask"][0].bool().nonzero().flatten()
    noise.append(golden["noise_uniform"][0])
    extra = recycle(states[start : start + count], golden["visual_scores"][0], keep)
    assert recycling_sizes(count - len(keep)) == (len(golden["out_candidate_local"]), int(golden["out_cluster_num"]))
    torch.testing.assert_close(extra, golden["out_reconstructed"][0], atol=5e-6, rtol=0)
    batch = Batch([span_prompt(states, start, count)], lambda states, _: (states, states))
    batch.prune({0: Pruned(keep=keep, extra=extra)}, renumber=True)
    row = batch.row(0)
    torch.testing.assert_close(row.states, golden["out_sequence"][0], atol=5e-5, rtol=0)
    assert row.positions.tolist() == golden["out_position_ids"][0].tolist()
    assert int(row.vision.sum()) == int(golden["out_visual_count"])
    assert int(row.vision.nonzero()[-1]) + 1 == int(golden["out_text_start"])


@golden_cases("sparsevlm", "forward", 3)
@pytest.mark.parametrize("noisy", [True, False])
def test_whole_forward(golden, noise, monkeypatch, noisy):
    """As the authors ran it, and without noise: it decides nothing in these runs."""
    meta = golden.meta
    layers = tuple(layer + 1 for layer in meta["pruning_layers_0based"])
    pruner = SparseVLM(layers=layers, keep=tuple(meta["table_keep"]), always_prune=True)
    if not noisy:
        monkeypatch.setattr(clustering, "density_peaks", density_peaks)
    for family in golden_families(golden):
        noise.extend(golden[f"stage{stage}_noise_uniform"] for stage in range(1, len(layers) + 1))
        forward = run_golden(golden, pruner, meta["visual_start"], meta["visual_count"], family)
        views, answers = forward.recording.views, forward.recording.answers
        raters = views[0].memory["raters"]
        assert (raters.asked - raters.from_end).tolist() == golden["out_rater_local"].tolist()
        for stage, (view, answer, scores) in enumerate(zip(views, answers, forward.recording.scores, strict=True), 1):
            assert answer.keep.tolist() == golden[f"out_stage{stage}_kept_local"].tolist()
            torch.testing.assert_close(scores, golden[f"out_stage{stage}_scores"], atol=1e-6, rtol=0)
            sizes = recycling_sizes(view.vision_tokens - len(answer.keep))
            assert sizes == (
                int(golden[f"out_stage{stage}_candidate_count"]),
                int(golden[f"out_stage{stage}_cluster_num"]),
            )
        check_forward(golden, forward)


# --- schedules ------------------------------------------------------------------------------------------------------
def counts(method: SparseVLM, layers: int, initial: int) -> tuple[list[int], list[int]]:
    """(kept, kept and reconstructed) after each stage."""
    tokens, kept, totals = initial, [], []
    for share in method.shares(layers):
        kept.append(kept_for_total(tokens, round(share * initial)))
        tokens = kept[-1] + recycling_sizes(tokens - kept[-1])[1]
        totals.append(tokens)
    return kept, totals


def test_pruning_layers():
    method = SparseVLM()
    assert method.stages(32, None) == (3, 7, 16)
    assert method.stages(24, "easy") == (3, 5, 12)
    assert method.stages(28, "hard") == (3, 6, 14)
    assert SparseVLM(rule="rank").stages(28, None) == (3, 6, 14, 18)
    for layers in range(1, 40):
        stages = method.stages(layers, None)
        assert list(stages) == sorted(set(stages))
        assert all(1 <= stage < layers for stage in stages)


@pytest.mark.parametrize(
    ("preset", "kept", "totals"),
    [
        ("keep192", [300, 200, 110], [309, 204, 113]),
        ("compat", [303, 110, 36], [312, 117, 39]),
        ("keep96", [238, 48, 26], [249, 55, 27]),
        ("keep64", [66, 30, 17], [82, 32, 18]),
    ],
)
def test_the_authors_tables(preset, kept, totals):
    assert counts(SparseVLM(preset=preset), 32, 576) == (kept, totals)


@pytest.mark.parametrize(
    ("initial", "kept"),
    [
        (196, [103, 37, 12]),
        (729, [384, 140, 45]),
        (1458, [769, 280, 92]),
        (2916, [1538, 561, 184]),
        (7290, [3845, 1404, 463]),
    ],
)
def test_counts_scale_with_the_image(initial, kept):
    assert counts(SparseVLM(), 24, initial)[0] == kept


def test_the_largest_count_within_the_total():
    for tokens in range(1, 200, 7):
        for total in range(1, 220, 3):
            kept = kept_for_total(tokens, total)
            fits = [k for k in range(1, tokens) if k + recycling_sizes(tokens - k)[1] <= total]
            assert kept == (tokens if total >= tokens else max(fits, default=1))


@pytest.mark.parametrize("layers", [24, 28])
def test_savings(layers):
    expected = {
        "compat": {24: (0.5417, 0.2031, 0.0677, 3.80), 28: (0.5417, 0.2031, 0.0677, 3.89)},
        "true-linear": {24: (0.4568, 0.1149, 0.0513, 4.50), 28: (0.4738, 0.1298, 0.0544, 4.50)},
        "true-flops": {24: (0.4656, 0.1224, 0.0529, 4.43), 28: (0.4823, 0.1378, 0.0560, 4.42)},
    }
    for preset, by_depth in expected.items():
        method = SparseVLM(preset=preset)
        *shares, saving = by_depth[layers]
        assert method.shares(layers) == pytest.approx(shares, abs=1.5e-4)
        starts = (0, *method.stages(layers, None), layers)
        spent = zip((1.0, *method.shares(layers)), starts, starts[1:], strict=False)
        assert layers / sum(share * (end - start) for share, start, end in spent) == pytest.approx(saving, abs=6e-3)


# --- choices of ours ------------------------------------------------------------------------------------------------
def test_a_budget_that_covers_all_tokens_is_a_no_op_unless_the_authors_rule_is_asked_for():
    attention = torch.rand(2, 30, 30, generator=torch.Generator().manual_seed(1))
    view = view_of(attention, 3, 20)
    assert len(SparseVLM(layers=(1,), keep=(20,)).prune(view).keep) == 20
    official = SparseVLM(layers=(1,), keep=(20,), always_prune=True).prune(view)
    assert len(official.keep) == 19
    assert len(official.extra) == 1


def test_equal_tokens_cluster_stably():
    features = torch.ones(20, 8)
    found = density_peaks(features, 3)
    assert found.centres.tolist() == [0, 1, 2]
    assert torch.isfinite(cluster_means(features, found.assignment, 3)).all()


def test_two_close_neighbours_tie_exactly():
    """Mutual nearest neighbours have equal densities, so neither is the other's parent (spec 2.4)."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(50):
        features = 30 * torch.randn(12, 64, generator=generator)
        found = density_peaks(features, 2)
        distances = torch.cdist(features, features).fill_diagonal_(torch.inf)
        first, second = divmod(int(distances.argmin()), 12)
        assert found.density[first] == found.density[second]


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "128"},
        {"rule": "adaptive"},
        {"keep": (1,)},
        {"layers": (1,), "keep": (1, 2)},
        {"layers": (1, 2, 3, 4)},
    ],
    ids=str,
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"preset|rule|keep"):
        SparseVLM(**settings)


def test_presets_without_a_known_depth_are_refused():
    with pytest.raises(ValueError, match="24 and 28"):
        SparseVLM(preset="true-linear").shares(32)
    assert TABLES  # the others are shares at any depth
    assert SparseVLM().shares(7) == SparseVLM().shares(24)
