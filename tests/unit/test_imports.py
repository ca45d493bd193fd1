"""What is heavy is imported by those who need it alone."""

from __future__ import annotations

import subprocess
import sys


def test_a_run_whose_templates_are_plain_names_does_not_load_jinja2():
    code = """
import sys
from arcbook.cli.commands import run
from arcbook.dsl.load import load_playbook
from arcbook.tools.registry import Registry
text = '''apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: n}
workload: {a: 1}
workflow: [{step: start, tool: {kind: noop, input: {a: "{{ workload.a }}"}}}]
'''
assert load_playbook(text, Registry()).diagnostics == ()
assert "jinja2" not in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
