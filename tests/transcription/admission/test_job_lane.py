"""Jobs get what interactive requests leave, and never nothing for good."""

from asr.transcription.admission.job_lane import PATIENCE_SECONDS, JobLane


def test_jobs_hold_their_share_of_the_engine_and_at_least_one_window():
    assert JobLane(16, 0.25).most_windows == 4
    assert JobLane(1, 0.25).most_windows == 1
    lane = JobLane(16, 0.25)
    assert lane.may_enter(3, 0, now=0.0)
    assert not lane.may_enter(4, 0, now=1000.0)


def test_a_window_enters_beside_interactive_ones_only_from_time_to_time():
    lane = JobLane(16, 0.25)
    assert lane.may_enter(0, 1, now=0.0)
    assert not lane.may_enter(0, 1, now=PATIENCE_SECONDS - 1)
    assert lane.may_enter(0, 0, now=PATIENCE_SECONDS - 1)  # nobody is held up
    assert not lane.may_enter(0, 1, now=PATIENCE_SECONDS + 1)
    assert lane.may_enter(0, 1, now=2 * PATIENCE_SECONDS)


def test_with_little_memory_fewer_jobs_run_at_once_and_at_least_one():
    assert JobLane(16, 0.25).most_jobs == 13
    assert JobLane(16, 0.25, memory_seconds=2400.0).most_jobs == 2
    assert JobLane(16, 0.25, memory_seconds=10.0).most_jobs == 1
