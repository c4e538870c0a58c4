"""Verdicts on made-up records whose answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.examples import plain
from tests.analysis.sweeps import result
from tests.analysis.sweeps import sample as swept_sample
from tests.records.examples import run as run_record
from visor_eval.analysis import Interval, claims
from visor_eval.analysis.claims import Contender, Swept, Verdict
from visor_eval.analysis.claims.claim import Claim, Finding, Unit, at_least, at_most, every, significant
from visor_eval.records import Run, RunStatus, Sweep
from visor_eval.records.cka import CkaRun, CkaSample

COUNT = 60  # questions per task
TASKS = {"gqa_mini": "easy", "textvqa_val_mini": "easy", "ocrbench_mini": "hard", "docvqa_val_mini": "hard"}
METRIC = {"gqa": "exact_match", "textvqa_val": "exact_match", "ocrbench": "ocrbench_accuracy", "docvqa_val": "anls"}
VIABLE = ((1, 4), (1, 7), (1, 4, 7, 16), (1, 4, 7, 10, 16, 19, 22))
LARGEST = VIABLE[-1]


def verdict(claim: Claim, text: str) -> Verdict:
    """Of the one finding whose question holds ``text``."""
    both = (*claim.findings, *claim.beside)
    (found,) = [one for one in both if one.asked == text] or [one for one in both if text in one.asked]
    return found.verdict


def right(level: float, shift: int = 0) -> list[bool]:
    """``level`` percent of the questions, the first ones after ``shift``."""
    count = round(COUNT * level / 100)
    return [(number - shift) % COUNT < count for number in range(COUNT)]


def sweep(levels, *, chance: float = 10.0, routed=None, weights: str = "w", shift=None) -> Sweep:
    """A sweep in which configuration c answers ``levels[c][group]`` percent of each task.

    ``shift``: configuration -> where its right answers begin, so that configurations differ in which they answer.
    """
    configurations = list(levels)
    table = {
        (each, group): right(levels[each][group], (shift or {}).get(each, 0))
        for each in configurations
        for group in ("easy", "hard")
    }
    samples = [
        swept_sample(
            task,
            number,
            [result(each, complete=table[each, group][number]) for each in configurations],
            group=group,
            routed=None if routed is None else routed[group],
            router_flops=1 if routed else 0,
        )
        for task, group in TASKS.items()
        for number in range(COUNT)
    ]
    config = {"configurations": [list(each) for each in configurations]}
    record = run_record(
        run_id="sweep", config=config, weights_hash=weights, tasks=tuple(TASKS), chance=dict.fromkeys(TASKS, chance)
    )
    return Sweep(run=record, samples=tuple(samples))


def universal(levels, **settings) -> Swept:
    """The viable configurations in one sweep, all others in a second one."""
    first = sweep({each: level for each, level in levels.items() if each in VIABLE}, **settings)
    others = {each: level for each, level in levels.items() if each not in VIABLE}
    return Swept((first, sweep(others)) if others else (first,))


def level(easy: float, hard: float) -> dict[str, float]:
    return {"easy": easy, "hard": hard}


def model_run(easy: float, hard: float, *, full=(1, 4), vision: int = 729, chance: float = 10.0) -> Run:
    """A plain run of the same questions."""
    samples = [
        one
        for task, group in TASKS.items()
        for one in plain(
            task,
            [float(hit) for hit in right(level(easy, hard)[group])],
            metric=METRIC[task.removesuffix("_mini")],
            group=group,
            full=full,
            vision=vision,
        )
    ]
    record = run_record(tasks=tuple(TASKS), chance=dict.fromkeys(TASKS, chance), status=RunStatus.FINISHED)
    return Run(run=record, samples=tuple(samples))


def contender(name: str, easy: float, hard: float, **settings) -> Contender:
    return Contender(name, "", model_run(easy, hard, **settings).samples)


RISING = {
    (): level(80, 30),
    (1,): level(82, 40),
    (1, 4): level(84, 50),
    (1, 7): level(83, 50),
    (1, 4, 7, 16): level(84, 60),
    LARGEST: level(85, 70),
}


# --- what a verdict is ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("estimate", "low", "high", "expected", "remark"),
    [
        (10, 9, 11, Verdict.HOLDS, ""),
        (8.5, 6, 11, Verdict.HOLDS, "the target lies within the interval"),
        (8.5, -1, 18, Verdict.OPEN, "the interval includes 0"),
        (7, 6, 9, Verdict.FAILS, "the target lies within the interval"),
        (-3, -5, -1, Verdict.FAILS, ""),
        (math.nan, math.nan, math.nan, Verdict.OPEN, "cannot be computed"),
    ],
)
def test_at_least(estimate, low, high, expected, remark):
    found = at_least("x", Interval(estimate, low, high), 8, above=0)
    assert (found.verdict, found.remark) == (expected, remark)
    mirrored = at_most("x", Interval(-estimate, -high, -low), -8, below=0)
    assert (mirrored.verdict, mirrored.remark) == (expected, remark)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [((2, 1, 3), Verdict.HOLDS), ((2, -1, 5), Verdict.OPEN), ((-2, -3, 1), Verdict.FAILS), ((0, 0, 0), Verdict.FAILS)],
)
def test_significant(interval, expected):
    assert significant("x", Interval(*interval)).verdict is expected
    estimate, low, high = interval
    assert significant("x", Interval(-estimate, -high, -low), sign=-1).verdict is expected


def test_every():
    assert every("x", "all 3", [], [], 3).verdict is Verdict.HOLDS
    assert every("x", "all 3", [], ["a"], 3).verdict is Verdict.OPEN
    failed = every("x", "all 3", ["b"], ["a"], 3)
    assert (failed.verdict, failed.measured.estimate, failed.remark) == (Verdict.FAILS, 1, "not: b; undecided: a")
    assert every("x", "all 0", [], [], 0).verdict is Verdict.OPEN


def made(*verdicts: Verdict, **changes) -> Claim:
    findings = tuple(
        Finding(asked="", target="", measured=None, unit=Unit.NUMBER, verdict=verdict) for verdict in verdicts
    )
    return Claim(**{"name": "C0", "title": "", "expected": "", "findings": findings, **changes})


def test_one_failure_is_enough_and_all_must_hold():
    holds, fails, unsure = Verdict.HOLDS, Verdict.FAILS, Verdict.OPEN
    assert made(holds, holds).verdict is holds
    assert made(holds, unsure).verdict is unsure
    assert made(holds, unsure, fails).verdict is fails
    assert made(holds, missing="a run").verdict is unsure
    assert made(fails, missing="a run").verdict is fails
    assert made().verdict is unsure
    assert made(holds, judged=False).verdict is None
    assert made(holds, beside=made(fails).findings).verdict is holds


# --- quality --------------------------------------------------------------------------------------------------------
def test_quality_holds():
    claim = claims.quality(model_run(95, 85), Swept((sweep({LARGEST: level(95, 85)}),)))
    assert claim.verdict is Verdict.HOLDS
    assert len(claim.findings) == 6
    assert len(claim.tables[0].rows) == len(TASKS) + 3


@pytest.mark.parametrize(
    ("dense", "visor", "chance", "failing"),
    [
        ((85, 85), (85, 85), 10.0, "dense, easy"),
        ((95, 70), (95, 70), 10.0, "dense, hard"),
        ((95, 85), (90, 85), 10.0, "less dense, easy"),
        ((95, 85), (95, 85), 80.0, "dense: tasks clearly above chance"),
    ],
)
def test_quality_fails(dense, visor, chance, failing):
    claim = claims.quality(model_run(*dense, chance=chance), Swept((sweep({LARGEST: level(*visor)}),)))
    assert claim.verdict is Verdict.FAILS
    assert verdict(claim, failing) is Verdict.FAILS


def test_the_better_of_two_chance_levels_counts():
    shuffled = dict.fromkeys(TASKS, 84.0)
    swept = Swept((sweep({LARGEST: level(95, 85)}),), shuffled)
    claim = claims.quality(model_run(95, 85), swept, shuffled=shuffled)
    assert verdict(claim, "dense: tasks") is Verdict.FAILS
    assert swept.chance == shuffled
    assert claims.quality(None, swept).missing == "the dense member was not run"


# --- C1 to C4 -------------------------------------------------------------------------------------------------------
def stage2(with_first, without, **settings) -> Swept:
    levels = {LARGEST: with_first, LARGEST[1:]: without, (): level(20, 15), (1,): level(50, 20), (1, 4): level(60, 30)}
    return Swept((sweep(levels, **settings),))


def test_c1_holds_and_fails():
    assert claims.first_layer(stage2(level(90, 80), level(60, 40)), LARGEST).verdict is Verdict.HOLDS
    assert claims.first_layer(stage2(level(90, 80), level(60, 80)), LARGEST).verdict is Verdict.FAILS
    assert claims.first_layer(None, None).verdict is Verdict.OPEN


def test_c1_a_task_at_chance_decides_nothing():
    claim = claims.first_layer(stage2(level(90, 10), level(60, 10)), LARGEST)
    assert claim.verdict is Verdict.OPEN
    assert claim.findings[0].remark == "undecided: ocrbench, docvqa_val"


def test_c2_keeps_of_the_lead_over_chance():
    claim = claims.few_layers(stage2(level(90, 80), level(60, 40)), LARGEST, None)
    assert [one.measured.estimate for one in claim.findings] == pytest.approx(
        [(share - 10) / 70 for share in (15, 20, 30)]
    )
    assert claim.verdict is Verdict.HOLDS
    weak = claims.few_layers(stage2(level(90, 50), level(60, 40)), LARGEST, None)
    assert [one.verdict for one in weak.findings] == [Verdict.HOLDS, Verdict.HOLDS, Verdict.HOLDS]
    flat = claims.few_layers(stage2(level(90, 35), level(60, 40)), LARGEST, universal(RISING))
    assert [one.verdict for one in flat.findings] == [Verdict.HOLDS, Verdict.HOLDS, Verdict.FAILS]
    assert [one.measured.estimate for one in flat.beside] == pytest.approx([(s - 10) / 60 for s in (30, 40, 50)])


def test_c2_says_nothing_where_hard_is_not_learnt():
    claim = claims.few_layers(stage2(level(90, 12), level(60, 10)), LARGEST, None)
    assert claim.verdict is Verdict.OPEN


def test_c3_holds():
    claim = claims.more_layers(universal(RISING))
    assert claim.verdict is Verdict.HOLDS
    assert verdict(claim, "2 layers to 7 layers") is Verdict.HOLDS
    assert [one.measured.estimate for one in claim.findings] == pytest.approx([2, 20, 10, 10, 20], abs=1.7)


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({(1, 4): level(78, 50)}, "easy: range"),
        ({LARGEST: level(85, 58)}, "4 layers to 7 layers"),
        ({(1, 4, 7, 16): level(84, 53), LARGEST: level(85, 55)}, "2 layers to 7 layers"),
        ({(): level(80, 55)}, "cross-attention only to 2 layers"),
    ],
)
def test_c3_fails(changed, failing):
    claim = claims.more_layers(universal({**RISING, **changed}))
    assert claim.verdict is Verdict.FAILS
    assert verdict(claim, failing) is Verdict.FAILS


def test_c3_needs_an_interval_that_excludes_zero():
    """9 points from many changed answers, half of them in either direction."""
    shift = {(1, 4, 7, 16): 20, LARGEST: 30}
    levels = {**RISING, (1, 4, 7, 16): level(84, 55), LARGEST: level(85, 60)}
    claim = claims.more_layers(universal(levels, shift=shift))
    assert verdict(claim, "2 layers to 7 layers") is Verdict.OPEN


def test_c3_without_cross_attention_only_is_open():
    claim = claims.more_layers(universal({each: levels for each, levels in RISING.items() if each}))
    assert (claim.verdict, claim.findings) == (Verdict.OPEN, ())
    assert "cross-attention only" in claim.missing


@pytest.mark.parametrize(
    ("cross", "expected"),
    [(level(80, 30), Verdict.HOLDS), (level(75, 30), Verdict.FAILS), (level(80, 50), Verdict.FAILS)],
)
def test_c4(cross, expected):
    assert claims.cross_attention(universal({**RISING, (): cross})).verdict is expected


# --- C5 -------------------------------------------------------------------------------------------------------------
def rivals(easy: float, hard: float, **settings):
    return [contender(name, easy, hard, full=None, **settings) for name in ("visionzip", "vispruner", "hired")]


@pytest.mark.parametrize(
    ("easy", "hard", "expected"),
    [
        (80, 40, Verdict.HOLDS),
        (82, 46, Verdict.FAILS),
        (70, 40, Verdict.FAILS),
        (90, 40, Verdict.FAILS),
    ],
)
def test_c5(easy, hard, expected):
    visor = contender("visor", 82, 60)
    claim = claims.reducers(visor, rivals(easy, hard), [], absent={})
    assert claim.verdict is expected
    assert len(claim.findings) == 3 * 4


def test_c5_a_cheaper_reducer_decides_nothing():
    visor = contender("visor", 82, 60)
    claim = claims.reducers(visor, rivals(80, 40, vision=20), [], absent={})
    assert claim.verdict is Verdict.OPEN
    assert verdict(claim, "hired, hard: exact FLOPs") is Verdict.OPEN


def test_c5_what_is_absent_is_named_and_what_is_beside_does_not_count():
    visor, dense = contender("visor", 82, 60), contender("dense", 90, 70, full=None)
    matched = [*rivals(80, 40)[:2], contender("random", 10, 10, full=None)]
    absent = {"hired": "not run", "m3-trained": "not embedded"}
    claim = claims.reducers(visor, matched, rivals(70, 10), dense=dense, absent=absent)
    assert (claim.verdict, claim.missing) == (Verdict.OPEN, "hired: not run")
    assert verdict(claim, "VISOR less random, easy") is Verdict.FAILS
    assert [row[0] for row in claim.tables[0].rows] == [
        *("dense", "visor", "visionzip", "vispruner", "random"),
        *("visionzip", "vispruner", "hired"),
    ]
    assert "m3-trained: not embedded" in claim.tables[0].caption
    assert claims.reducers(None, [], [], absent={}).verdict is Verdict.OPEN


def test_c5_the_smallest_configuration_beside():
    swept = Swept((sweep({(1, 4): level(80, 60), LARGEST: level(80, 60)}),))
    claim = claims.reducers(contender("visor", 82, 60), rivals(80, 40), [], swept=swept, absent={})
    assert verdict(claim, "VISOR [1, 4] less hired, hard") is Verdict.HOLDS


def test_rows_without_a_verdict():
    visor, both = contender("visor", 82, 60), contender("visor+visionzip", 80, 50)
    claim = claims.composition([visor], [both], {"visor+vispruner": "not run"})
    assert claim.verdict is None
    assert [row[2] for row in claim.tables[0].rows] == [None, 37.0]
    assert claims.composition([visor], [], {"visor+visionzip": "not run"}).missing == "visor+visionzip: not run"
    family = claims.headline([visor, both], [], {"m3": "not embedded"})
    assert len(family.tables[0].rows) == 2
    assert "m3 (not embedded)" in family.tables[0].caption
    assert len(family.tables) == 1


def test_what_another_seed_changes():
    first, again = contender("visor", 82, 60), contender("visor", 80, 63)
    rows, seeds = claims.headline([first], [(again, first)], {}).tables
    assert len(rows.rows) == 2
    ((name, _, easy, hard, _),) = seeds.rows
    assert (name, round(easy.estimate), round(hard.estimate)) == ("visor", -2, 3)


# --- C6 and C7 ------------------------------------------------------------------------------------------------------
def test_c6_holds_where_the_router_is_frugal():
    routed = {"easy": (1, 4), "hard": LARGEST}
    claim = claims.router(universal(RISING, routed=routed))
    assert claim.verdict is Verdict.HOLDS
    assert [one.measured.estimate for one in claim.findings][2] == -5


def test_c6_fails_on_score_cost_or_layers():
    spendthrift = claims.router(universal({**RISING, (1, 4): level(90, 80)}, routed={"easy": (1, 7), "hard": LARGEST}))
    assert [one.verdict for one in spendthrift.findings] == [Verdict.FAILS, Verdict.FAILS, Verdict.HOLDS]
    uniform = claims.router(universal(RISING, routed={"easy": LARGEST, "hard": LARGEST}))
    assert verdict(uniform, "layers on easy less layers on hard") is Verdict.FAILS
    assert verdict(uniform, "its exact FLOPs") is Verdict.FAILS  # the router itself is paid for
    assert claims.router(universal(RISING)).verdict is Verdict.OPEN


def random_sweep(seed: int, *, taste: float, tasks=TASKS) -> Swept:
    """Samples of any difficulty; with ``taste`` a part of them wants layer 16, as many want to be spared it."""
    generator = np.random.default_rng(seed)
    configurations = ((1, 4), (1, 7), (1, 4, 16), (1, 7, 16), (1, 4, 7), (1, 4, 7, 16))
    samples = []
    for task, group in tasks.items():
        for number in range(COUNT):
            ease, wants = generator.normal(), generator.choice((-1, 1)) * taste
            chances = [ease + wants * (1 if 16 in each else -1) for each in configurations]
            hits = generator.random(len(chances)) < 1 / (1 + np.exp(-np.array(chances)))
            found = [result(each, complete=bool(hit)) for each, hit in zip(configurations, hits, strict=True)]
            samples.append(swept_sample(task, number, found, group=group))
    config = {"configurations": [list(each) for each in configurations]}
    record = run_record(run_id="sweep", config=config, tasks=tuple(TASKS), chance=dict.fromkeys(TASKS, 5.0))
    return Swept((Sweep(run=record, samples=tuple(samples)),))


def test_c7_tells_taste_from_luck():
    one = {"gqa_mini": "easy"}
    assert claims.oracle(random_sweep(0, taste=3.0, tasks=one), resamples=50).verdict is Verdict.HOLDS
    luck = claims.oracle(random_sweep(1, taste=0.0, tasks=one), resamples=50)
    assert luck.findings[0].verdict is Verdict.HOLDS  # the oracle gains all the same
    assert luck.verdict is Verdict.FAILS


def test_c7_counts_learnt_tasks_only():
    swept = random_sweep(0, taste=3.0)
    (first,) = swept.sweeps
    chance = {**first.run.chance, "gqa_mini": 99.0, "docvqa_val_mini": 99.0}
    known = Swept((replace(first, run=replace(first.run, chance=chance)),))
    claim = claims.oracle(known, resamples=50)
    names = [row[0] for row in claim.tables[0].rows]
    assert names == ["textvqa_val", "ocrbench", "mean easy", "mean hard", "all learnt tasks"]
    nothing = Swept((replace(first, run=replace(first.run, chance=dict.fromkeys(TASKS, 99.0))),))
    assert claims.oracle(nothing).missing == "no task is learnt"


# --- C8 -------------------------------------------------------------------------------------------------------------
def cka_run(model: str, last: dict[str, float]) -> CkaRun:
    """Three states; the last resembles the first by ``last[group]``, give or take."""
    generator = np.random.default_rng(0)
    samples = [
        CkaSample(
            run_id="cka",
            task=task,
            group=group,
            doc_id=str(number),
            unit=str(number),
            request_hash=f"{task}{number}",
            configuration=None,
            vision_tokens=10,
            states=(0, 1, 2),
            similarity=(1.0, 0.5, 0.4, 1.0, last[group] + 0.02 * generator.normal(), 1.0),
        )
        for task, group in TASKS.items()
        for number in range(20)
    ]
    return CkaRun(run=run_record(run_id="cka", model=model, tasks=tuple(TASKS)), samples=tuple(samples))


def test_c8():
    lower, higher = level(0.7, 0.5), level(0.5, 0.7)
    assert claims.similarity([cka_run("dense", lower), cka_run("visor", lower)]).verdict is Verdict.HOLDS
    assert claims.similarity([cka_run("dense", lower), cka_run("visor", higher)]).verdict is Verdict.FAILS
    assert claims.similarity([cka_run("dense", lower)]).verdict is Verdict.OPEN
    assert claims.similarity([]).missing == "CKA was not measured"
    same = claims.similarity([cka_run("dense", level(0.6, 0.6)), cka_run("visor", lower)])
    assert same.verdict in (Verdict.OPEN, Verdict.FAILS)


# --- what is compared -----------------------------------------------------------------------------------------------
def test_sweeps_of_other_weights_are_refused():
    with pytest.raises(ValueError, match="one checkpoint"):
        Swept((sweep(RISING), sweep(RISING, weights="other")))


def test_configurations_of_both_sweeps_are_known():
    swept = universal(RISING)
    assert swept.viable == VIABLE
    assert swept.configurations == ((), (1,), *VIABLE)
    with pytest.raises(LookupError, match="not swept"):
        swept.samples((1, 22))
