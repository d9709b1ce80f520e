"""`liqcore judge try` and doctor's question, against the stub; `emulate --judge --news` as a process; the vendors' own SDKs."""

import asyncio
import json
import os
import subprocess
import sys
import threading

import pytest

from liqshell.cli import main
from liqshell.config.judge_sections import JudgeConfig, NewsConfig
from liqshell.config.load import loads
from liqshell.doctor.checks import _judge
from liqshell.doctor.facts import Facts
from liqshell.emulator.server.outside import Outside
from liqshell.errors import ConfigError
from liqshell.judge.build import way_of
from liqshell.judge.command import environment
from liqshell.judge.trial import try_judge
from liqshell.judge.types import Question

TEXT = '[feed]\nsymbols = ["BTCUSDT"]\n[judge]\nkind = "openai"\nbase_url = "{url}/v1"\nmodel = "stub"\nprices = {{stub = {{input = 1.0, output = 2.0}}}}\n'


@pytest.fixture
def served(monkeypatch):
    """A stub in a thread of its own: url, for clients that block. Faults are set on it."""
    monkeypatch.delenv("LIQCORE_JUDGE_KEY", raising=False)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    outside = Outside(3)

    def run():
        loop.run_until_complete(outside.start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(outside.close())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    yield outside
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def test_try_shows_one_question_whole(served, tmp_path, capsys):
    (tmp_path / "run.toml").write_text(TEXT.format(url=served.url))
    assert main(["judge", "try", str(tmp_path / "run.toml")]) == 0
    out = capsys.readouterr().out
    assert "Decision matrix" in out and "chat.completion" in out and "verdict: enter, confidence 2, news none (ok)" in out and "US dollars" in out
    assert main(["judge", "try", str(tmp_path / "run.toml"), "--json", "--contract", "okx:ETH-USDT-SWAP", "--asset", "ETH"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        found["status"] == "ok"
        and found["cost"] > 0
        and found["strict"] is True
        and "ETH-USDT-SWAP" in found["request"]["body"]["messages"][1]["content"]
    )


@pytest.mark.parametrize(
    "faults, verdict", [([], "ok"), ([{"kind": "http_400_schema"}], "warn"), ([{"kind": "fence"}], "fail"), ([{"kind": "http_500"}], "fail")]
)
def test_doctor_asks_the_judge(faults, verdict):
    async def run():
        async with Outside(3, faults) as outside:
            config = loads(TEXT.format(url=outside.url))
            return config, await try_judge(config.judge, config.news)

    config, trial = asyncio.run(run())
    (check,) = _judge(config, Facts(trial=trial))
    assert check.verdict == verdict and "ms" in check.text


def test_emulate_serves_judge_and_news(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        sys.executable,
        "-P",
        "-m",
        "liqshell",
        "emulate",
        "--judge",
        "--news",
        "--outside-faults",
        '{"kind": "fence"}',
        "--parent",
        str(os.getpid()),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = json.loads(process.stdout.readline())
            config = loads(
                TEXT.format(url=line["judge"].removesuffix("/v1")) + f'[news]\nannouncements = true\nannouncements_url = "{line["news"]}"\n'
            )
            answer = asyncio.run(try_judge(config.judge, config.news)).answer
        finally:
            process.terminate()
    assert answer.status == "invalid"
    assert main(["emulate", "--judge", "--outside-faults", '{"kind": "earthquake"}']) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_openai_sdk_works_against_it(served):
    openai = pytest.importorskip("openai", reason="the package openai is not installed: pip install openai")
    client = openai.OpenAI(base_url=served.url + "/v1", api_key="none-at-all", timeout=5.0, max_retries=0)
    answer = client.chat.completions.create(
        model="stub", messages=[{"role": "user", "content": '{"symbol": "BTCUSDT", "direction": "LONG", "news": []}'}]
    )
    assert json.loads(answer.choices[0].message.content)["symbol"] == "BTCUSDT" and answer.usage.total_tokens > 0
    assert [one.id for one in client.models.list()] == ["stub"]
    client.close()


@pytest.mark.parametrize(
    ("kind", "base", "url"),
    [
        ("anthropic", "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/messages"),
        ("anthropic", "http://127.0.0.1:9", "http://127.0.0.1:9/v1/messages"),
        ("anthropic", "http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/messages"),
        ("openai", "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/chat/completions"),
    ],
)
def test_the_address_that_the_emulator_prints_serves_both_kinds(kind, base, url):
    way = way_of(JudgeConfig(kind=kind, base_url=base, model="m"))
    asked = Question(1, 1, "bybit:BTCUSDT", "BTC", "LONG", 1, 2, b"{}", {})
    assert way.request(asked, ())["url"] == url


@pytest.mark.parametrize("key", ["brave", "announcements"])
def test_an_address_of_news_that_nobody_asks_is_an_error(key):
    text = f'[feed]\nsymbols = ["BTCUSDT"]\n[news]\n{key}_url = "http://127.0.0.1:9"\n'
    with pytest.raises(ConfigError, match=f"news.{key}_url.*so it is not used"):
        loads(text, "a.toml")
    loads(text + f"{key} = true\n", "a.toml")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_anthropic_sdk_works_against_it(served):
    anthropic = pytest.importorskip("anthropic", reason="the package anthropic is not installed: pip install anthropic")
    client = anthropic.Anthropic(base_url=served.url, api_key="none-at-all", timeout=5.0, max_retries=0)
    answer = client.messages.create(
        model="stub", max_tokens=500, messages=[{"role": "user", "content": '{"symbol": "X", "direction": "SHORT", "news": []}'}]
    )
    assert json.loads(answer.content[0].text)["direction"] == "SHORT" and answer.stop_reason == "end_turn"
    client.close()


@pytest.mark.parametrize(
    "name, value, kept",
    [
        ("MY_PASSWD", "x", False),
        ("DB_PWD", "x", False),
        ("DATABASE_URL", "x", False),
        ("SENTRY_DSN", "x", False),
        ("AWS_CREDENTIALS_FILE", "x", False),
        ("HTTP_AUTH", "x", False),
        ("REDIS", "redis://me:secret@10.0.0.1/0", False),
        ("HOME_PAGE", "https://example.org/a@b", True),
        ("PWD", "/tmp", True),
        ("LANGUAGE", "en", True),
    ],
)
def test_a_program_is_told_no_secret_of_the_environment(monkeypatch, name, value, kept):
    monkeypatch.setenv(name, value)
    assert (name in environment()) is kept


def test_a_password_in_the_address_of_a_judge_is_not_shown(served):
    """Neither in what is recorded, nor in an error; the request has it all the same."""
    secret = served.url.replace("http://", "http://me:hunter2@")
    answer = asyncio.run(try_judge(JudgeConfig(kind="openai", base_url=f"{secret}/v1", model="stub"), NewsConfig())).answer
    assert answer.status == "ok" and "hunter2" not in json.dumps(answer.request)
    with pytest.raises(ConfigError) as why:
        way_of(JudgeConfig(kind="openai", base_url="https://me:hunter2@example.org/v1", model="stub"))
    assert "hunter2" not in str(why.value)
