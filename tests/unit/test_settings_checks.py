"""Settings that cannot be meant are refused at the start, each with what to write."""

from __future__ import annotations

import pytest

from arcbook.settings import SettingsError, load_settings, reference


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ROUTING", "ture", "ARCBOOK_ROUTING must be true or false, not 'ture'"),
        ("ROUTING", "", "ARCBOOK_ROUTING must be true or false, not ''"),
        ("CONCURRENCY", "0", "ARCBOOK_CONCURRENCY must be at least 1, not 0"),
        ("CONCURRENCY", "many", "ARCBOOK_CONCURRENCY must be a whole number, not 'many'"),
        ("DRAIN_SECONDS", "-1", "ARCBOOK_DRAIN_SECONDS must be at least 0, not -1"),
        ("LEASE_SECONDS", "0", "ARCBOOK_LEASE_SECONDS must be at least 0.1, not 0"),
        ("LEASE_SECONDS", "nan", "ARCBOOK_LEASE_SECONDS must be at least 0.1, not nan"),
        ("LEASE_SECONDS", "15s", "ARCBOOK_LEASE_SECONDS must be a number, not '15s'"),
        ("RETENTION_DAYS", "inf", "ARCBOOK_RETENTION_DAYS must be at least 0, not inf"),
        ("PORT", "65536", "ARCBOOK_PORT must be at most 65,535, not 65536"),
        ("LOG_FORMAT", "yaml", "ARCBOOK_LOG_FORMAT must be console or json, not 'yaml'"),
        ("CONCURENCY", "8", "no setting ARCBOOK_CONCURENCY: did you mean ARCBOOK_CONCURRENCY?"),
        ("ZZZ", "8", "no setting ARCBOOK_ZZZ: see docs/operate.md"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(name, text, said):
    with pytest.raises(SettingsError) as told:
        load_settings({f"ARCBOOK_{name}": text})

    assert said in str(told.value)


def test_what_the_command_line_gives_is_checked_as_well():
    with pytest.raises(SettingsError, match="CONCURRENCY must be at least 1"):
        load_settings({}, concurrency=0)


@pytest.mark.parametrize(("text", "meant"), [("off", False), ("No", False), ("yes", True)])
def test_booleans_have_their_words(text, meant):
    assert load_settings({"ARCBOOK_ROUTING": text}).routing is meant


def test_variables_of_others_are_left_alone():
    own = {"ARCBOOK_TEMPLATE_ENV": "ARCBOOK_REGION", "ARCBOOK_REGION": "eu", "PATH": "/bin"}
    links = {
        "ARCBOOK_SERVER_SERVICE_HOST": "10.0.0.1",
        "ARCBOOK_SERVICE_PORT_HTTP": "8082",
        "ARCBOOK_SERVER_PORT": "tcp://10.0.0.1:8082",
        "ARCBOOK_SERVER_PORT_8082_TCP_ADDR": "10.0.0.1",
    }

    assert load_settings(own | links).template_env == ("ARCBOOK_REGION",)


def test_every_default_is_one_that_may_be_given():
    defaults = {
        name: default.strip("()").replace("'", "")
        for name, default, _ in reference()
        if default and not name.endswith("HOME")
    }

    assert load_settings(defaults) == load_settings({})
