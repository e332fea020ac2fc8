"""The optimizers that a trainer does not bring itself."""

from __future__ import annotations

from typing import Any

import torch


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for the matrices inside the model, AdamW for embeddings, norms and biases, as one optimizer.

    Muon orthogonalises each matrix's momentum (https://kellerjordan.github.io/posts/muon/); its rate is scaled to AdamW's
    root mean square (https://arxiv.org/abs/2502.16982), so one rate and one schedule serve both.

    Args:
        matrices: two-dimensional weights of linear layers.
        others: everything else that is trained.
        lr: peak learning rate of the matrices.
        others_lr: peak learning rate of the rest.
        weight_decay: of the matrices; the rest has none.
    """

    def __init__(
        self, matrices: list[torch.nn.Parameter], others: list[torch.nn.Parameter], *, lr: float, others_lr: float, weight_decay: float
    ) -> None:
        self.muon = torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adamw = torch.optim.AdamW(others, lr=others_lr, weight_decay=0.0, betas=(0.9, 0.95))
        self._parts = (self.muon, self.adamw)
        # The base class would flatten both into groups of one kind; sharing the parts' own groups lets schedulers see and set each rate.
        super().__init__([{"params": matrices}, {"params": others}], {"lr": lr})
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter once from its gradient."""
        if closure is not None:
            raise ValueError("MuonWithAdamW takes no closure")
        for part in self._parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Both parts' states under their names."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        # Loading makes new group dicts: point at them again, or a scheduler would turn the knobs of the old ones.
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def muon_for(model: torch.nn.Module, *, lr: float, weight_decay: float) -> MuonWithAdamW:
    """MuonWithAdamW over all trainable parameters of `model`; embeddings, tied or not, go to AdamW."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    head = getattr(model, "lm_head", None)
    if head is not None:
        embeddings.add(id(head.weight))
    matrices = [parameter for parameter in trained if parameter.ndim == 2 and id(parameter) not in embeddings]
    chosen = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in trained if id(parameter) not in chosen]
    return MuonWithAdamW(matrices, others, lr=lr, others_lr=lr, weight_decay=weight_decay)
