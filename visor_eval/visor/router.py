"""The router: one learned token reads the prompt and the image, a small MLP picks the configuration.

Paper: VISOR (CVPR 2026), main text and supplement S2, S7. The routing token stands after the prompt, so that causal
attention hides it from every other token; it is read after ``probe_layer`` and then dropped.
"""

import torch
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm


class Router(nn.Module):
    """Routing token and classifier over the viable configurations."""

    def __init__(self, hidden: int, router_hidden: int, configurations: int, norm_eps: float = 1e-6) -> None:
        """Build an untrained router."""
        super().__init__()
        self.token = nn.Parameter(torch.randn(hidden) * hidden**-0.5)
        self.norm = Qwen2RMSNorm(hidden, eps=norm_eps)
        self.fc1 = nn.Linear(hidden, router_hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(router_hidden, configurations)

    def forward(self, routing_state: Tensor) -> Tensor:
        """Hidden state of the routing token [batch, hidden] -> logits [batch, configurations]."""
        return self.fc2(self.act(self.fc1(self.norm(routing_state))))
