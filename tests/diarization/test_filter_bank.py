"""The filter bank: Kaldi's numbers."""

import numpy as np
import torch

from asr.diarization.filter_bank import FilterBank, count
from tests.diarization.make_reference import FEATURES


def test_energies_are_those_of_kaldi(reference, spoken):
    bank = FilterBank.of(torch.device("cpu"))
    frames = torch.arange(FEATURES.start, FEATURES.stop, FEATURES.step)
    made = bank.features(torch.from_numpy(spoken), frames)
    np.testing.assert_allclose(made, reference["features"], atol=2e-3)


def test_silence_has_the_lowest_energy_that_is_counted():
    made = FilterBank.of(torch.device("cpu")).features(torch.zeros(400), torch.arange(1))
    assert torch.allclose(made, torch.tensor(1.1920929e-07).log())


def test_only_whole_frames_count():
    assert [count(samples) for samples in (0, 1, 399, 400, 559, 560)] == [0, 0, 0, 1, 1, 2]
