"""Let the router choose: a configuration per sample, read off the routing token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from visor_eval.models.decoder import Configuration
    from visor_eval.visor.config import VisorConfig
    from visor_eval.visor.router import Router


class RoutedChoice:
    """A ``Chooser`` that asks the router (ties go to the cheaper configuration)."""

    def __init__(self, router: Router, config: VisorConfig) -> None:
        """Use ``router`` to pick one of the configurations of ``config``."""
        self.router = router
        self.configurations = config.configurations
        self.probe_layer: int | None = config.probe_layer
        self.token: Tensor | None = router.token
        first = set.intersection(*(set(configuration) for configuration in config.configurations))
        self.shared: Configuration = tuple(sorted(layer for layer in first if layer <= config.probe_layer))

    def choose(self, states: Tensor | None, rows: int) -> list[Configuration]:
        """One configuration per row of ``states`` [rows, hidden]."""
        assert states is not None
        picks = self.router(states).argmax(dim=-1).tolist()
        return [self.configurations[pick] for pick in picks]
