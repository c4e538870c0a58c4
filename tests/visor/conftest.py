"""VISOR modules with random, open gates on the tiny random model."""

import pytest
import torch

from visor_eval.visor.config import VisorConfig
from visor_eval.visor.modules import VisorModules


def random_modules(backbone, *, gate: float = 0.7, **settings) -> VisorModules:
    """Blocks that matter (gate open, convolution not zero) and a router that spreads its choices."""
    text = backbone.model.config.text_config
    torch.manual_seed(5)
    modules = VisorModules(VisorConfig.for_layers(text.num_hidden_layers, **settings), text)
    with torch.no_grad():
        for name, parameter in modules.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(gate)
            elif parameter.ndim > 1:
                parameter.normal_(0, 1.5 * parameter.shape[-1] ** -0.5)
        if modules.router is not None:
            modules.router.token.normal_()
    return modules.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def modules(backbone) -> VisorModules:
    """With a router."""
    return random_modules(backbone, router=True, router_hidden=16)
