"""Encodes windows into slots: together on a GPU; on a CPU each on its own cores, side by side.

A window on two cores takes 0.6 of its time on one: much of an encoder layer is too small to be
shared. Two windows, a core each, take 0.75 of the time of two after one another on both.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Sequence

import threadpoolctl
import torch

from asr.engines.engine import Window
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.model.alignment import frames_of
from asr.engines.whisper.model.cross_attention import CrossAttention
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.forward import encode
from asr.engines.whisper.model.kept_frames import KeptFrames


class WindowEncoder:
    """Encodes windows with a checkpoint, for the calling thread's cores.

    The numbers of a window do not depend on how many cores it has.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def encode(
        self, windows: Sequence[Window], slots: CrossAttention, start: int, side_by_side: bool
    ) -> None:
        """Encode windows, and store them in slots from `start` on.

        Args:
            side_by_side: each by a thread of its own, on a CPU; else in one batch.

        Raises:
            RuntimeError: memory is lacking, or the device is broken.
        """
        if not side_by_side or len(windows) == 1:
            self._encode(windows, slots, start)
            return
        cores = max(1, torch.get_num_threads() // len(windows))
        first, *others = windows
        # New threads each time: libgomp counts those that it started for a thread until that ends,
        # and while they are more than the cores, every product of a decoder's step waits for 45 us.
        with concurrent.futures.ThreadPoolExecutor(thread_name_prefix="encoder") as threads:
            running = [
                threads.submit(self._encode_on, cores, window, slots, slot)
                for slot, window in enumerate(others, start + 1)
            ]
            self._encode_on(cores, first, slots, start)
        for each in running:
            each.result()

    def _encode_on(self, cores: int, window: Window, slots: CrossAttention, slot: int) -> None:
        # OpenMP keeps the number for each thread that calls it, other than `torch.set_num_threads`.
        torch.get_num_threads()  # A thread's first call sets its number: here, not in the block.
        with self._openmp.limit(limits=cores), torch.inference_mode():
            self._encode([window], slots, slot)

    def _encode(self, windows: Sequence[Window], slots: CrossAttention, start: int) -> None:
        kept = self._kept(windows) if slots.takes_kept_frames else None
        weights, settings = self._checkpoint.weights, self._checkpoint.log_mel
        features = log_mel(settings.pad([window.samples for window in windows]), settings)
        slots.store(start, encode(weights.encoder, features.to(weights.dtype), kept), kept)

    def _kept(self, windows: Sequence[Window]) -> KeptFrames:
        """Return which frames are computed of a window that is encoded alone."""
        (window,) = windows
        every = self._checkpoint.weights.encoder.positions.shape[0]
        return KeptFrames.of(frames_of(window.seconds), every)

    @functools.cached_property
    def _openmp(self) -> threadpoolctl.ThreadpoolController:
        return threadpoolctl.ThreadpoolController().select(user_api="openmp")
