"""A task's samples without an evaluation: what probes run a model on."""

import contextlib
import io
from typing import TYPE_CHECKING

from visor_eval.harness.lmms_tasks import LoadedTask
from visor_eval.harness.samples import Sample, from_instance, pixel_counts

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance


def collect(task: LoadedTask) -> list[Sample]:
    """Every document of ``task`` as lmms-eval would ask it, in order; ``Sample.doc_id`` is the place in the cut data.

    Raises:
        SetupError: the task asks for something other than greedy decoding.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # lmms-eval's bar
        task.task.build_all_requests()
    pixels = pixel_counts(task.documents)
    built: list[Instance] = task.task.instances  # type: ignore[assignment]
    instances = {int(instance.doc_id): instance for instance in built}  # repeats are answered once
    return [from_instance(one, simple=False, pixels=pixels[number]) for number, one in sorted(instances.items())]
