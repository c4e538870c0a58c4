"""The sweep equals each configuration run alone: scores, answers, costs, the router's choice."""

import weakref
from dataclasses import replace

import pytest
import torch

from tests.probes.conftest import random_modules, reference_texts
from visor_eval.core.pruning import keep_all
from visor_eval.cost.configurations import candidate_layers, configurations
from visor_eval.models.decoder import FixedChoice
from visor_eval.models.engine import Engine
from visor_eval.models.generation import Limits
from visor_eval.models.sequence import Batch
from visor_eval.probes.prefix_sweep import PrefixSweep
from visor_eval.probes.prefix_tree import every_subset
from visor_eval.probes.sweeper import Sweeper, encode_flops
from visor_eval.probes.teacher import generated_match, reference, teacher_forced, versions
from visor_eval.records import Accounting
from visor_eval.visor.build import visor_engine

VIABLE = configurations(24)
ODD = ((), (4,), (7, 22), (1, 4, 7, 10, 13, 16, 19, 22), (1,))  # the empty one, those without layer 1, all, one


def logits_of(engine: Engine, requests):
    """What each configuration's own prefill gives."""
    prompts, _ = engine.read(requests)
    return engine.decoder.prefill(prompts, engine.chooser).logits


@pytest.mark.parametrize("kind", ["routed", "zero"])
@pytest.mark.parametrize(("swept", "tails"), [(VIABLE, 4), (ODD, 4), (ODD, 1)], ids=["viable", "odd", "odd-one-by-one"])
def test_leaves_equal_configurations_run_alone(kind, swept, tails, routed, engines, zero, short, monkeypatch):
    """First-token logits, mixed sizes, several images and none in one batch: within 1e-5 of their size."""
    monkeypatch.setattr("visor_eval.probes.prefix_sweep.TAIL_TOKENS", 10_000)  # texts are long for the tiny batch
    make = engines if kind == "routed" else zero
    first = make((1, 4))
    prompts, _ = first.read(short)
    leaves = list(PrefixSweep(first.decoder, prompts, swept, most_tails=tails).leaves())
    assert sorted(leaf.index for leaf in leaves) == list(range(len(swept)))
    for leaf in leaves:
        alone = logits_of(make(swept[leaf.index]), short)
        torch.testing.assert_close(
            first.decoder.lm_head(leaf.last), alone, rtol=1e-5, atol=1e-5 * float(alone.abs().max())
        )


def test_bit_for_bit_alone_in_a_batch(engines, short):
    """Without rows of several configurations the tree runs the very same layer calls: not one bit differs."""
    first = engines((1, 4))
    for request in short[1:3]:
        prompts, _ = first.read([request])
        for leaf in PrefixSweep(first.decoder, prompts, VIABLE, most_tails=1).leaves():
            assert torch.equal(first.decoder.lm_head(leaf.last), logits_of(engines(VIABLE[leaf.index]), [request]))


@pytest.mark.parametrize("kind", ["routed", "zero"])
def test_answers_scores_and_costs_equal_real_runs(kind, routed, engines, zero, short, numbered, monkeypatch):
    """Per configuration and sample: text, tokens, the score from generated tokens, the true cost."""
    make = engines if kind == "routed" else zero
    monkeypatch.setattr("visor_eval.probes.prefix_sweep.TAIL_TOKENS", 10_000)
    swept = (VIABLE[0], VIABLE[4], VIABLE[-1], *ODD[:3])
    engine = routed if kind == "routed" else zero((1, 4))
    references = reference_texts(make((1, 7, 16)), short)
    found = Sweeper(engine, swept).sweep(short, references)
    matched = set()
    for place, configuration in enumerate(swept):
        for number, answer in enumerate(make(configuration).answer(short)):
            result = found[number].results[place]
            assert result.configuration == configuration
            assert (result.answer, result.generated_tokens) == (answer.text, len(answer.token_ids))
            accepted = Sweeper(engine, swept)._references(short[number], references[number])
            best = generated_match(answer.token_ids, accepted)
            assert (result.matched, result.reference_tokens) == (
                best.matched,
                len(accepted[best.reference].tokens),
            )
            matched.add(result.matched)
            assert result.prefill_flops == answer.cost.total(Accounting.EXACT)
            assert result.prefill_flops_causal == answer.cost.total(Accounting.EXACT, causal=True)
            assert result.decode_flops == answer.cost.decode.total()
            assert result.dense_decode_flops == answer.cost.dense_decode.total()
            assert result.nominal == answer.cost.nominal
            assert encode_flops(found[number].cost) == encode_flops(answer.cost)
            assert found[number].cost.dense_total() == answer.cost.dense_total()
    assert len(matched) > 3  # the references told configurations apart


def test_the_router_is_asked_on_the_way(routed, short):
    """Its choice, and what it adds to the cost, are those of a real run."""
    found = Sweeper(routed, VIABLE, answers=False).sweep(short, [("red",)] * len(short))
    answers = routed.answer(short)
    assert [each.routed for each in found] == [answer.cost.configuration for answer in answers]
    assert len({each.routed for each in found}) > 1
    for each, answer in zip(found, answers, strict=True):
        assert each.router_flops == answer.cost.prefill.router
        chosen = next(result for result in each.results if result.configuration == each.routed)
        assert chosen.prefill_flops + each.router_flops == answer.cost.total(Accounting.EXACT)


def test_the_router_is_asked_where_no_configuration_goes_its_way(routed, short):
    """Configurations without layer 1 alone."""
    alone = Sweeper(routed, ((4, 7), ()), answers=False).sweep(short, [("red",)] * len(short))
    both = Sweeper(routed, VIABLE, answers=False).sweep(short, [("red",)] * len(short))
    assert [each.routed for each in alone] == [each.routed for each in both]


def test_a_batch_equals_its_samples(routed, short, numbered):
    """Padding, and other samples' references, change nothing."""
    references = reference_texts(routed, short)
    swept = VIABLE[::4]
    together = Sweeper(routed, swept).sweep(short, references)
    for request, texts, each in zip(short, references, together, strict=True):
        assert Sweeper(routed, swept).sweep([request], [texts]) == [each]


def test_decoding_in_pieces_changes_nothing(routed, short, monkeypatch):
    """Too many rows at once are decoded in several groups of configurations."""
    references, swept = [("red",)] * 2, VIABLE[:4]
    whole = Sweeper(routed, swept).sweep(short[:2], references)
    monkeypatch.setattr("visor_eval.probes.sweeper.JOINED_BYTES", 1)
    assert Sweeper(routed, swept).sweep(short[:2], references) == whole


@pytest.mark.parametrize("limits", [Limits(max_new_tokens=2), Limits(max_new_tokens=9, stop=("red blue",))])
def test_what_generation_cannot_reach_is_not_counted(limits, engines, short):
    """A limit or a stop string ends generation inside the reference, and so the score, in both ways of scoring."""
    engine = engines((1, 4))
    requests = [replace(short[0], max_new_tokens=limits.max_new_tokens, stop=limits.stop)]
    text = "red blue circle how many"
    decode = engine.backbone.decode
    tokenizer = engine.backbone.processor.tokenizer
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    accepted = reference(ids, tokenizer.eos_token_id, limits, decode)
    assert 0 < accepted.reachable <= len(ids)
    assert accepted.reachable == (2 if not limits.stop else len(tokenizer("red blue")["input_ids"]))
    (run,) = versions([[accepted]])[0]
    (match,) = teacher_forced(ids[:1], ids[1 : len(run) + 1], [[accepted]])  # a model that says the reference
    assert match.matched == accepted.reachable
    assert generated_match(ids[: accepted.reachable], [accepted]) == match
    assert len(Sweeper(engine, VIABLE).sweep(requests, [(text,)])[0].results) == len(VIABLE)


def test_the_best_reference_counts():
    """Most matches; among equals the shortest reference, so that a complete answer counts as complete."""
    limits = Limits(max_new_tokens=9)
    short, long = (reference(ids, 0, limits, str) for ids in ((5,), (5, 6, 7)))
    assert generated_match((5, 0), [long, short]).reference == 1
    assert generated_match((5, 6, 8, 0), [long, short]).matched == 2
    assert generated_match((5, 6, 8, 0), [long, short]).reference == 0
    assert generated_match((9,), [long, short]).matched == 0


def test_equal_logits_go_to_the_lowest_id(engines, short, monkeypatch, numbered):
    """As in greedy decoding: a model that finds every token equally likely says token 0."""
    engine = engines((1, 4))
    head = torch.nn.Linear(32, engine.backbone.lm_head.out_features, bias=False).requires_grad_(False)
    head.weight.zero_()
    monkeypatch.setattr(engine.backbone, "lm_head", head)
    monkeypatch.setattr(engine.decoder, "lm_head", head)
    found = Sweeper(engine, VIABLE[:2]).sweep(short[:2], [("0 0 1", "1"), ("1 0",)])
    assert [[result.matched for result in each.results] for each in found] == [[2, 2], [0, 0]]
    ids = engine.answer(short[:1])[0].token_ids
    assert set(ids) == {0}
    assert found[0].results[0].generated_tokens == len(ids)


def test_memory_is_bounded(engines, short, monkeypatch):
    """Every subset of five candidates: never more live branches than layers at which configurations part, and one."""
    engine = engines((1, 4))
    prompts, _ = engine.read(short[:1])
    candidates, forks, most = candidate_layers(24)[:5], [], 0
    fork = Batch.fork

    def counted(batch):
        nonlocal most
        new = fork(batch)
        forks.append(weakref.ref(new))
        most = max(most, sum(ref() is not None for ref in forks))
        return new

    monkeypatch.setattr(Batch, "fork", counted)
    walk = PrefixSweep(engine.decoder, prompts, every_subset(candidates), most_tails=1)
    leaves = sum(1 for _ in walk.leaves())
    assert (leaves, len(forks)) == (32, 63)  # where ways part, and one for each tail
    assert most <= len(candidates) + 1


def test_what_cannot_be_swept(backbone, shape, routed):
    """A pruner needs all layers; no configuration, nothing to do."""

    class Pruner:
        positions = "renumber"
        stages = staticmethod(lambda layers, group: ())
        prune = staticmethod(keep_all)
        flops = staticmethod(lambda view, pruned: 0)

    with pytest.raises(ValueError, match="pruner"):
        Sweeper(Engine(backbone, shape, pruner=Pruner()), VIABLE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        Sweeper(routed, ())


def test_a_model_without_a_router(backbone, short):
    """Nothing is routed."""
    engine = visor_engine(backbone, random_modules(backbone))
    assert isinstance(engine.chooser, FixedChoice)
    found = Sweeper(engine, VIABLE, answers=False).sweep(short[:2], [("red",), ("blue",)])
    assert [(each.routed, each.router_flops) for each in found] == [(None, 0)] * 2
    assert all(result.answer is None and result.generated_tokens == 0 for result in found[0].results)
