"""Plans say what each layer does, and refuse what makes no sense."""

import pytest

from visor_eval.cost import LayerPlan, LayerStep, Reader, VisionMode


def test_dense_and_sparse() -> None:
    dense = LayerPlan.dense(4, 10)
    assert dense.full_layers == (1, 2, 3, 4)
    assert dense.nominal == 40
    assert dense.is_dense
    sparse = LayerPlan.sparse(6, 10, full=(1, 4), read=(2, 5))
    assert [step.mode.value for step in sparse.steps] == ["full", "read", "absent", "full", "read", "absent"]
    assert (sparse.full_layers, sparse.read_layers, sparse.nominal) == ((1, 4), (2, 5), 20)
    assert not sparse.is_dense
    assert len(sparse) == 6


def test_a_step_takes_plain_strings() -> None:
    assert LayerStep("read", 3, "own") == LayerStep(VisionMode.READ, 3, Reader.OWN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0, "full": ()}, "layers must be at least 1"),
        ({"layers": 4, "full": (0,)}, "outside 1..4"),
        ({"layers": 4, "full": (5,)}, "outside 1..4"),
        ({"layers": 4, "full": (1, 1)}, "listed twice"),
        ({"layers": 4, "full": (1, 2), "read": (2,)}, "both full and read"),
    ],
)
def test_impossible_plans(arguments: dict, message: str) -> None:
    layers = arguments.pop("layers")
    with pytest.raises(ValueError, match=message):
        LayerPlan.sparse(layers, 10, **arguments)


def test_impossible_steps() -> None:
    with pytest.raises(ValueError, match="negative"):
        LayerStep(VisionMode.FULL, -1)
    with pytest.raises(ValueError, match="absent layer sees no"):
        LayerStep(VisionMode.ABSENT, 1)
    with pytest.raises(ValueError, match="at least one layer"):
        LayerPlan(())
