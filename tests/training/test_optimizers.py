"""Muon with AdamW as one optimizer: which weights go where, and that it goes on from where it was."""

from __future__ import annotations

import copy

import pytest
import torch

from codex.training.optimizers import MuonWithAdamW, muon_for


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = torch.nn.Embedding(8, 4)
        self.inner = torch.nn.Linear(4, 6)
        self.norm = torch.nn.LayerNorm(6)
        self.lm_head = torch.nn.Linear(6, 8, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.lm_head(self.norm(self.inner(self.embed(ids))))


def _step(model: Small, optimizer: torch.optim.Optimizer, seed: int) -> None:
    ids = torch.randint(0, 8, (5,), generator=torch.Generator().manual_seed(seed))
    torch.nn.functional.cross_entropy(model(ids), ids).backward()
    optimizer.step()
    optimizer.zero_grad()


def test_muon_for_gives_only_inner_matrices_to_muon() -> None:
    model = Small()
    optimizer = muon_for(model, lr=0.01, weight_decay=0.1)
    assert [id(parameter) for group in optimizer.muon.param_groups for parameter in group["params"]] == [id(model.inner.weight)]
    others = {id(parameter) for group in optimizer.adamw.param_groups for parameter in group["params"]}
    assert others == {id(p) for p in (model.embed.weight, model.inner.bias, model.norm.weight, model.norm.bias, model.lm_head.weight)}


def test_muon_for_leaves_frozen_weights_out() -> None:
    model = Small()
    model.embed.weight.requires_grad_(False)
    optimizer = muon_for(model, lr=0.01, weight_decay=0.1)
    assert id(model.embed.weight) not in {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def test_step_equals_both_optimizers_alone() -> None:
    together, apart = Small(), Small()
    one = muon_for(together, lr=0.01, weight_decay=0.1)
    muon = torch.optim.Muon([apart.inner.weight], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    rest = [parameter for parameter in apart.parameters() if parameter is not apart.inner.weight]
    adamw = torch.optim.AdamW(rest, lr=0.01, weight_decay=0.0, betas=(0.9, 0.95))
    for seed in range(3):
        _step(together, one, seed)
        ids = torch.randint(0, 8, (5,), generator=torch.Generator().manual_seed(seed))
        torch.nn.functional.cross_entropy(apart(ids), ids).backward()
        for optimizer in (muon, adamw):
            optimizer.step()
            optimizer.zero_grad()
    for left, right in zip(together.parameters(), apart.parameters(), strict=True):
        assert torch.equal(left, right)


def test_scheduler_turns_the_rate_of_both_also_after_loading() -> None:
    model = Small()
    optimizer = muon_for(model, lr=0.01, weight_decay=0.1)
    _step(model, optimizer, 0)
    again = muon_for(model, lr=0.01, weight_decay=0.1)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    scheduler = torch.optim.lr_scheduler.LambdaLR(again, lambda step: 0.5)
    assert scheduler.get_last_lr() == [0.005, 0.005]
    assert again.muon.param_groups[0]["lr"] == again.adamw.param_groups[0]["lr"] == 0.005


def test_state_saved_and_loaded_goes_on_to_the_same_weights() -> None:
    straight = Small()
    optimizer = muon_for(straight, lr=0.01, weight_decay=0.1)
    _step(straight, optimizer, 0)
    resumed = copy.deepcopy(straight)
    other = muon_for(resumed, lr=0.01, weight_decay=0.1)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in (1, 2):
        _step(straight, optimizer, seed)
        _step(resumed, other, seed)
    for left, right in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(left, right)


def test_step_with_closure_is_refused() -> None:
    optimizer = muon_for(Small(), lr=0.01, weight_decay=0.1)
    assert isinstance(optimizer, MuonWithAdamW)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(lambda: 0.0)
