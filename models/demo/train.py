"""Train the demo model from nothing: python -m models.demo.train --minutes 75."""

import argparse
import math
import os
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor
from transformers import WhisperTokenizer

from models.demo import tokens
from models.demo.espeak import Espeak
from models.demo.network import LogMel, Losses, Trainee
from models.demo.speech import draw_manner, utter
from models.demo.targets import Target, Writer
from models.demo.windows import Bank, Mixer, Noises
from models.demo.world import LANGUAGES, draw, plain_words

SHORT, LONG = 10, 30  # seconds of a window
POSITIONS = 1500  # encoder positions of 30 s
WARM_UP = 200  # steps
EXPORT_SECONDS = 300


@dataclass(frozen=True)
class Plan:
    """What a run is given."""

    minutes: float
    folder: Path  # where loadable checkpoints and the training state go
    workers: int  # processes of one thread each; they share every batch
    short_share: float  # of the time, with windows of 10 s
    peak_rate: float  # of learning
    untimed: float  # share of windows without timestamps
    resume: bool


@dataclass(frozen=True)
class Batch:
    """Windows ready for the model."""

    mel: Tensor  # [windows, 80, frames]
    offsets: Tensor  # [windows]
    targets: list[Target]


def main() -> None:
    """Start one process per worker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--folder", type=Path, default=Path("checkpoint"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--short-share", type=float, default=0.5)
    parser.add_argument("--peak-rate", type=float, default=1.8e-3)
    parser.add_argument("--untimed", type=float, default=0.4)
    parser.add_argument("--resume", action="store_true", help="go on from FOLDER.state")
    plan = Plan(**vars(parser.parse_args()))
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[threads] = "1"  # one core per worker; read when a worker starts
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29555")
    torch.multiprocessing.spawn(run, (plan,), nprocs=plan.workers)


def run(rank: int, plan: Plan) -> None:
    """One worker: its own windows, the same weights as the others."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=plan.workers)
    started = time.monotonic()
    torch.manual_seed(0)
    tokenizer = tokens.build_tokenizer()
    espeak = Espeak()
    words, phonemes = _word_classes(), _phoneme_classes(espeak)
    trainee = Trainee(tokens.build_model(tokenizer), len(words) + 1, len(phonemes) + 1, seed=0)
    optimizer = _optimizer(trainee)
    if plan.resume:
        state = torch.load(_state_path(plan))
        trainee.load_state_dict(state["trainee"])
        optimizer.load_state_dict(state["optimizer"])
    rng = random.Random(time.time_ns() if plan.resume else rank)
    bank = Bank(espeak, rng)
    bank.fill()
    mixer = Mixer(bank, Noises(rank), rng)
    writer = Writer(tokenizer, words, phonemes, rng, plan.untimed)
    trainer = _Trainer(plan, rank, trainee, optimizer, mixer, writer)
    trainer.log(f"{len(words)} words, {len(phonemes)} phonemes, ready", time.monotonic() - started)
    trainer.train(started)
    if rank == 0:
        _export(plan, trainee, optimizer, tokenizer)
    torch.distributed.destroy_process_group()


class _Trainer:
    """The loop of one worker."""

    def __init__(
        self, plan: Plan, rank: int, trainee: Trainee, optimizer: torch.optim.Optimizer,
        mixer: Mixer, writer: Writer,
    ) -> None:  # fmt: skip
        self.plan, self.rank = plan, rank
        self.trainee, self.optimizer = trainee, optimizer
        self.mixer, self.writer = mixer, writer
        self.log_mel = LogMel()

    def train(self, started: float) -> None:
        """Steps until the time is over; the schedule follows the time, the same for all."""
        progress, step, exported, seen = 0.0, 0, time.monotonic(), 0
        shown: list[Tensor] = []
        while progress < 1:
            seconds = SHORT if progress < self.plan.short_share or step % 6 == 5 else LONG
            count = (16 if seconds == SHORT else 8) // self.plan.workers
            losses = self._losses(self._batch(seconds, count, progress), step % 10 == 0)
            self._loss(losses, progress).backward()
            elapsed = (time.monotonic() - started) / (60 * self.plan.minutes)
            progress = self._step(step, progress, elapsed)
            step, seen = step + 1, seen + count
            shown.append(_numbers(losses))
            if step % 50 == 0:
                self._show(step, progress, shown, seen, started)
                shown = []
            if self.rank == 0 and time.monotonic() - exported > EXPORT_SECONDS:
                _export(self.plan, self.trainee, self.optimizer, self.writer.tokenizer)
                exported = time.monotonic()

    @torch.no_grad()
    def _batch(self, seconds: int, count: int, progress: float) -> Batch:
        rng, lowest_snr = self.mixer.rng, 2.0 if self.plan.resume else max(2.0, 15 - 30 * progress)
        self.mixer.bank.refresh()
        windows = [self.mixer.mix(seconds, lowest_snr) for _ in range(count)]
        positions = seconds * POSITIONS // LONG
        offsets = [rng.randrange(POSITIONS - positions + 1) for _ in windows]
        targets = [
            self.writer.write(window, seconds, offset)
            for window, offset in zip(windows, offsets, strict=True)
        ]
        mel = self.log_mel(torch.stack([torch.from_numpy(window.samples) for window in windows]))
        return Batch(_disturb(mel, rng), torch.tensor(offsets), targets)

    def _losses(self, batch: Batch, counts: bool) -> Losses:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            losses: Losses = self.trainee(batch.mel, batch.offsets, batch.targets, counts)
        return losses

    def _loss(self, losses: Losses, progress: float) -> Tensor:
        inner = max(0.0, 1 - progress / self.plan.short_share) if self.plan.short_share else 0.0
        return (
            losses.tokens
            + 0.3 * losses.guide
            + (0.4 + 0.6 * inner) * losses.words
            + (0.15 + 0.35 * inner) * losses.phonemes
        )

    def _step(self, step: int, progress: float, elapsed: float) -> float:
        """One optimizer step on the mean gradient; returns the mean of `elapsed`."""
        parameters = [p for p in self.trainee.parameters() if p.grad is not None]
        flat = torch.cat([*(p.grad.flatten() for p in parameters), torch.tensor([elapsed])])
        torch.distributed.all_reduce(flat)
        flat /= self.plan.workers
        position = 0
        for parameter in parameters:
            part = flat[position : position + parameter.numel()]
            parameter.grad.copy_(part.view_as(parameter))
            position += parameter.numel()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        warm_up = WARM_UP // 10 if self.plan.resume else WARM_UP
        cosine = 0.02 + 0.98 * (1 + math.cos(math.pi * min(progress, 1))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.peak_rate * min(1, (step + 1) / warm_up) * cosine
        self.optimizer.step()
        return float(flat[-1])

    def _show(
        self, step: int, progress: float, shown: list[Tensor], seen: int, started: float
    ) -> None:
        names = ("tokens", "guide", "words", "phonemes", "right", "words_right")
        means = torch.stack(shown).nanmean(0).tolist()
        parts = " ".join(f"{name} {mean:.3f}" for name, mean in zip(names, means, strict=True))
        self.log(f"step {step} {progress:.3f} {parts} windows {seen}", time.monotonic() - started)

    def log(self, message: str, seconds: float) -> None:
        """One line from the first worker."""
        if self.rank == 0:
            print(f"{seconds:7.1f} s {message}", flush=True)


def _numbers(losses: Losses) -> Tensor:
    parts = (
        losses.tokens, losses.guide, losses.words, losses.phonemes, losses.right,
        losses.words_right,
    )  # fmt: skip
    return torch.stack([part.detach().float() for part in parts])


def _disturb(mel: Tensor, rng: random.Random) -> Tensor:
    """Tilt the spectrum, hide some bins or the upper band, window by window."""
    slope = torch.linspace(-1, 1, mel.shape[1])[:, None]
    for window in mel:
        lowest = window.min()
        if rng.random() < 0.5:
            window += rng.uniform(-0.3, 0.3) * slope
        if rng.random() < 0.4:
            first = rng.randrange(72)
            window[first : first + rng.randrange(1, 9)] = lowest
        if rng.random() < 0.08:
            window[rng.randrange(56, 72) :] = lowest
    return mel


def _optimizer(trainee: Trainee) -> torch.optim.Optimizer:
    parameters = [p for p in trainee.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), foreach=True)


def _word_classes() -> dict[str, int]:
    rng = random.Random(1)
    words: set[str] = set()
    for _ in range(60_000):
        for language in LANGUAGES:
            words.update(plain_words(draw(rng, language, held_out=False).text))
    return {word: index for index, word in enumerate(sorted(words), 1)}


def _phoneme_classes(espeak: Espeak) -> dict[str, int]:
    rng = random.Random(2)
    names: set[str] = set()
    for _ in range(600):
        for language in LANGUAGES:
            sentence = draw(rng, language, held_out=False)
            manner = draw_manner(rng, language, held_out=False)
            spoken = utter(espeak, sentence.text, language, manner)
            names.update(name for name, _, _ in spoken.phonemes)
    return {name: index for index, name in enumerate(sorted(names), 1)}


def _state_path(plan: Plan) -> Path:
    return plan.folder.with_name(plan.folder.name + ".state")


def _export(
    plan: Plan,
    trainee: Trainee,
    optimizer: torch.optim.Optimizer,
    tokenizer: WhisperTokenizer,
) -> None:
    """Write a loadable folder and the training state, each complete or not at all."""
    part = plan.folder.with_name(plan.folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    tokens.save(trainee.whisper, tokenizer, part)
    shutil.rmtree(plan.folder, ignore_errors=True)
    part.rename(plan.folder)
    state = {"trainee": trainee.state_dict(), "optimizer": optimizer.state_dict()}
    partial_state = _state_path(plan).with_suffix(".state.part")
    torch.save(state, partial_state)
    partial_state.rename(_state_path(plan))


if __name__ == "__main__":
    main()
