"""Jobs on the terminal: a dry run, and the verb that watches them."""

from __future__ import annotations

from pathlib import Path

from acceptance.terminal import Terminal

EXAMPLE = Path(__file__).parents[2] / "examples/container/count.yaml"


def test_a_dry_run_says_which_image_would_run(arcbook: Terminal):
    ran = arcbook("run", EXAMPLE, "--dry-run")

    assert ran.code == 0, ran.all
    assert "would run image busybox:1.37" in ran.all


def test_watch_jobs_says_what_cannot_be_watched(arcbook: Terminal):
    arcbook.environment["ARCBOOK_JOBS_BACKEND"] = "mainframe"
    ran = arcbook("watch-jobs")

    assert ran.code == 2
    assert "ARCBOOK_JOBS_BACKEND" in ran.err


def test_without_kubernetes_a_run_says_what_to_set(arcbook: Terminal):
    arcbook.environment["HOME"] = str(arcbook.folder)
    ran = arcbook("run", EXAMPLE)

    assert ran.code == 1
    assert "ARCBOOK_JOBS_BACKEND" in ran.all
