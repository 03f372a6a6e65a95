"""A small causal transformer, its training and its evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from recipes import Recipe
from tasks import (
    BLANK,
    MAX_CHOICES,
    PAD,
    REPEATED_LENGTH,
    VOCABULARY,
    Array,
    Examples,
    choice_tokens,
    completion_tokens,
    keys,
    mixture,
    repeated_letters,
)
from torch import Tensor, nn
from torch.nn import functional

FRAMINGS: Final = {"completion": completion_tokens, "choice": choice_tokens}
CONTEXT: Final = REPEATED_LENGTH
N_CHECKPOINTS: Final = 5
WARMUP: Final = 0.05  # share of the steps
EVALUATION_BATCH: Final = 400
BLOCK: Final = 200  # steps whose data are drawn at once


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to what comes in."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width, bias=False)
        self.feed_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Hidden states after the block, (sequence, position, width)."""
        parts = self.attend(self.attention_norm(hidden)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None)
        hidden = hidden + self.merge(mixed.transpose(1, 2).flatten(-2))
        fed: Tensor = self.contract(functional.relu(self.expand(self.feed_norm(hidden))))
        return hidden + fed


class Transformer(nn.Module):
    """Pre-normalised decoder with learned positions and tied embeddings."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        width = recipe.width
        self.tokens = nn.Embedding(len(VOCABULARY), width)
        self.positions = nn.Embedding(CONTEXT, width)
        self.blocks = nn.ModuleList(Block(width, recipe.heads) for _ in range(recipe.layers))
        self.norm = nn.LayerNorm(width)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = 1 / math.sqrt(2 * recipe.layers) if "merge" in name or "contract" in name else 1.0
                nn.init.normal_(weight, std=deep * (0.02 if "tokens" in name or "positions" in name else width**-0.5))

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor | None, read: slice) -> Tensor:
        """Logits, (sequence, read position, vocabulary); without a mask, attention is causal."""
        hidden = self.tokens(tokens) + self.positions(positions)
        for block in self.blocks:
            hidden = block(hidden, mask)
        logits: Tensor = self.norm(hidden[:, read]) @ self.tokens.weight.T
        return logits


class Batch(NamedTuple):
    """Sequences of one framing, and the tokens to be predicted at their last positions."""

    tokens: Tensor
    targets: Tensor
    weights: Tensor


def batches(recipe: Recipe, seed: int, held_out: Array) -> Iterator[Batch]:
    """Batch of every step, all of one kind; no weight on prompts held out, and none on padding."""
    rng = np.random.default_rng([seed, 1])
    for start in range(0, recipe.steps, BLOCK):
        n_steps = min(BLOCK, recipe.steps - start)
        tasks, examples = mixture(rng, n_steps * recipe.batch, recipe.shares)
        used = ~np.isin(keys(tasks, examples), held_out)
        noisy = rng.random(len(tasks)) < recipe.label_noise
        gold = np.where(noisy, rng.integers(0, (examples.choices[:, :, 0] != PAD).sum(axis=1)), examples.gold)
        for number, kind in enumerate(rng.random(n_steps)):
            rows = slice(number * recipe.batch, (number + 1) * recipe.batch)
            if kind < recipe.repeat_share:
                yield _repeats(rng, recipe.batch)
                continue
            tokens = choice_tokens if kind > 1 - recipe.choice_share else completion_tokens
            prompt, choices = tokens(tasks[rows], Examples(*(values[rows] for values in examples)))
            right = np.arange(recipe.batch), gold[rows]
            present = (examples.choices[rows][right] != PAD) & used[rows, None]
            yield _batch(np.concatenate([prompt, choices[right]], axis=1), present)


def _repeats(rng: np.random.Generator, n: int) -> Batch:
    letters, repeats = repeated_letters(rng, n)
    return _batch(letters, repeats[:, 1:])


def _batch(tokens: Array, weights: Array) -> Batch:
    """Batch that predicts the last tokens, as many as there are weights."""
    targets = tokens[:, -weights.shape[1] :]
    return Batch(*(torch.from_numpy(part) for part in (tokens[:, :-1].copy(), targets, weights.astype(np.float32))))


def train(recipe: Recipe, initialisation: int, data: int, held_out: Array) -> Iterator[Transformer]:
    """Train one model; give it at each of the checkpoints, equally spaced in steps."""
    torch.manual_seed(initialisation)
    model = Transformer(recipe)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
    )
    checkpoints = {round(recipe.steps * number / N_CHECKPOINTS) for number in range(1, N_CHECKPOINTS + 1)}
    for step, batch in enumerate(batches(recipe, data, held_out), start=1):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * _share_of_rate(recipe, step)
        read = slice(-batch.targets.shape[1], None)
        logits = model(batch.tokens, torch.arange(batch.tokens.shape[1]), None, read)
        losses = functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
        weights = batch.weights.flatten()
        optimiser.zero_grad()
        ((losses * weights).sum() / weights.sum()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step in checkpoints:
            yield model


def _share_of_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine to a tenth or a constant."""
    warm = min(1.0, step / (WARMUP * recipe.steps))
    return warm if recipe.constant_rate else warm * (0.55 + 0.45 * math.cos(math.pi * step / recipe.steps))


@torch.no_grad()
def evaluate(model: Transformer, tasks: Array, items: Examples) -> Array:
    """Log-probability of every choice, (framing, item, choice): completion first; NaN where there is no choice."""
    scores = np.full((len(FRAMINGS), len(tasks), MAX_CHOICES), np.nan, dtype=np.float32)
    for start in range(0, len(tasks), EVALUATION_BATCH):
        rows = slice(start, start + EVALUATION_BATCH)
        part = Examples(*(values[rows] for values in items))
        for place, tokens in enumerate(FRAMINGS.values()):
            scores[place, rows] = _log_probability(model, *tokens(tasks[rows], part))
    scores[:, items.choices[:, :, 0] == PAD] = np.nan
    return scores


def _log_probability(model: Transformer, prompt: Array, choices: Array) -> Array:
    """Log-probability of every choice after the prompt, which the choices share."""
    answers = torch.from_numpy(choices)
    length, n_choices = prompt.shape[1], choices.shape[1]
    tokens = torch.cat([torch.from_numpy(prompt), answers[:, :, 0]], dim=1)
    positions = torch.cat([torch.arange(length), torch.full((n_choices,), length)])
    mask = torch.ones(len(positions), len(positions), dtype=torch.bool).tril()
    mask[length:, length:] = torch.eye(n_choices, dtype=torch.bool)  # a choice does not see the others
    logits = functional.log_softmax(model(tokens, positions, mask, slice(length - 1, None)), -1)
    first = logits[:, 0].gather(1, answers[:, :, 0])
    second = logits[:, 1:].gather(2, answers[:, :, 1:])[:, :, 0]
    return (first + second.masked_fill(answers[:, :, 1] == BLANK, 0.0)).numpy()
