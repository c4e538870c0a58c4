"""The lmms-eval model classes. lmms-eval asks for ``chat:<method>`` or ``simple:<method>``; see `plugin.py`."""

from collections.abc import Sequence
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms

from visor_eval.errors import SetupError
from visor_eval.harness.generation import Finished, Generator
from visor_eval.harness.registry import load_engine
from visor_eval.harness.samples import from_instance, pixel_counts
from visor_eval.harness.settings import resolve_device, resolve_dtype


class CostCounts(TokenCounts):
    """Token counts that carry the sample's cost into lmms-eval's own sample log."""

    def __init__(self, done: Finished) -> None:
        """Read the counts off the cost record."""
        cost = done.cost
        super().__init__(
            input_tokens=None if cost is None else cost.text_tokens + cost.vision_tokens,
            output_tokens=None if cost is None else cost.generated_tokens,
        )
        self._cost = cost

    def to_dict(self) -> dict[str, Any]:
        """Token counts, and the cost record under ``cost``."""
        return {**super().to_dict(), **({} if self._cost is None else {"cost": self._cost.to_dict()})}


class SimpleModel(lmms):
    """A generator as lmms-eval's simple models are called."""

    is_simple = True

    def __init__(self, generator: Generator, *, device: str = "cpu") -> None:
        """Wrap ``generator``; lmms-eval asks for ``device`` when it runs on several ranks."""
        super().__init__()
        self.generator = generator
        self.device = device
        self.finished: dict[tuple[str, int], Finished] = {}  # by task and document
        self.prompts: dict[tuple[str, int], str] = {}

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:  # type: ignore[override]
        """Answer all requests, of all tasks at once, so that batches can be sorted by size across tasks."""
        pixels: dict[tuple[str, str], list[int]] = {}
        samples = []
        for instance in requests:
            doc_id, task, split = instance.arguments[-3:]
            if (task, split) not in pixels:
                pixels[task, split] = pixel_counts(self.task_dict[task][split])
            samples.append(from_instance(instance, simple=self.is_simple, pixels=pixels[task, split][doc_id]))
        self.finished = self.generator.run(samples, self.task_dict)
        self.prompts = {sample.key: sample.prompt for sample in samples}
        return [GenerationResult(self.finished[s.key].text, CostCounts(self.finished[s.key])) for s in samples]

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Not offered: the costs counted here are those of generation."""
        raise SetupError("tasks scored by log-likelihood are not supported: choose tasks that generate an answer")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Not offered."""
        raise SetupError("tasks of several rounds are not supported: choose tasks that ask once")

    def clean(self) -> None:
        """Keep the engine; lmms-eval would delete its modules, and the model would work only once."""


class ChatModel(SimpleModel):
    """The same, called with messages."""

    is_simple = False


def _plain(base: type[SimpleModel], method: str) -> type[SimpleModel]:
    """The class that lmms-eval creates from `--model <method> --model_args ...`."""

    class Model(base):
        def __init__(
            self,
            pretrained: str | None = None,
            config: str | int | None = None,
            device: str | None = None,
            dtype: str = "auto",
            batch_size: int | str | None = None,
            max_batch_size: int | None = None,
            **model_args: object,
        ) -> None:
            device = resolve_device(device)
            engine = load_engine(
                method,
                pretrained=pretrained,
                device=device,
                dtype=resolve_dtype(dtype, device),
                config=None if config is None else str(config).replace("+", ","),  # a comma separates arguments
                **model_args,
            )
            size = None if batch_size in (None, "auto") else int(batch_size)
            # lmms-eval's command line passes 1 where the user said nothing; batches cost nothing in accuracy
            super().__init__(Generator(engine=engine, batch_size=None if size == 1 else size), device=device)

    Model.__name__ = Model.__qualname__ = f"{base.__name__}:{method}"
    return Model


def __getattr__(name: str) -> type[SimpleModel]:
    """``chat:visor`` and the like: one class per method, made when lmms-eval asks for it."""
    flavour, separator, method = name.partition(":")
    bases: dict[str, type[SimpleModel]] = {"chat": ChatModel, "simple": SimpleModel}
    if not separator or flavour not in bases:
        raise AttributeError(name)
    return _plain(bases[flavour], method)
