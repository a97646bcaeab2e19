"""Tests of asr/api/jobs/."""
