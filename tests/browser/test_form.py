"""The run form in a browser: it says what the command line says, and asks for what the command line and Python ask for."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

import codex
from codex.cli import main
from codex.services import runs
from tests.browser.app import App
from tests.browser.conftest import Seen
from tests.cli.test_bad_input import CASES, Files

PATIENCE_MS = 40_000
"""The first check waits for a process that imports torch."""
OF_DATA = re.compile(r"[\w.-]+\.jsonl:\d+")
"""Where a problem is in a file; it is told in every face, unlike which override or recipe said a value that stands in a field."""
NO_PROBLEMS = "() => document.querySelectorAll('[data-problems], .cx-field-error').length === 0"
PROBLEMS = "() => [...document.querySelectorAll('[data-problems] li > span')].map((each) => each.textContent)"

NOT_TYPED = {
    "unknown recipe", "unknown recipe like nothing", "empty recipe", "recipe that escapes its folder", "unknown option of a group",
    "unknown method", "choice that is none",  # what is chosen from a list cannot be another
    "unknown key", "unknown key without section", "key of another method",  # each field is a setting that exists
    "override with a sign", "override without a key", "override without a value sign", "title on two lines", "title on two lines, tried",
    "model whose weights have other sizes, tried", "workspace below a file",
}  # fmt: skip
"""Mistakes of `bad_input.txt` that no field takes."""
TYPED = [
    name
    for name, case in CASES.items()
    if case.line.startswith("train ") and name not in NOT_TYPED and "--workspace" not in case.line  # an app has one workspace
]


def _overrides(arguments: list[str]) -> dict[str, str]:
    return dict(override.split("=", 1) for override in arguments if "=" in override)


def told_on_the_command_line(arguments: list[str], workspace: Path) -> list[str]:
    """The problems that `codex-ml` prints for a command line, as the form shows them: without backticks and origins of overrides."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main([*arguments, "--json", "--workspace", str(workspace)]) == 2
    told: list[str] = []
    for problem in json.loads(said.getvalue())["errors"]:
        where = problem.get("where")
        origin = f" ({where})" if where and OF_DATA.fullmatch(where) else ""
        told.append(f"{problem['what']}{origin}; {problem['expected'].rstrip('.')}. {problem['fix']}")
    return [_plain(text) for text in told]


def _plain(text: str) -> str:
    """Without backticks, which become code, and without the room on the disk, which changes while we look."""
    return re.sub(r"has [\d.]+ GiB", "has … GiB", text.replace("`", ""))


class TrainForm:
    """The page with the form, filled as a person does."""

    def __init__(self, page: Page, app: App) -> None:
        self.page = page
        self.app = app
        self.recipe = ""
        self._changed: dict[str, str] = {}
        self._dirty = True

    def open(self, query: str = "") -> None:
        """Load the page, and wait until it has said what would run."""
        self.page.goto(f"{self.app.url}/train?{query}")
        self.page.locator("#will pre").first.wait_for()
        self.page.get_by_role("radio", name="Advanced").check()
        self._changed.clear()

    def begin(self, recipe: str, settings: Mapping[str, str]) -> None:
        """The form of a recipe with these settings; the page is loaded again only where it is not so already."""
        asked = f"recipe={recipe}{''.join(f'&set={name}={value}' for name, value in settings.items())}"
        if self._dirty or self.recipe != asked:
            self.open(asked)
        self.recipe, self._dirty = asked, True

    def field(self, name: str) -> Locator:
        """All of a setting's input."""
        return self.page.locator(f"#f-{name.replace('.', '-')}")

    def box(self, name: str) -> Locator:
        """Where a setting is typed."""
        return self.field(name).locator("input, textarea").first

    def put(self, name: str, text: str) -> None:
        """Say a setting: type it, or choose it."""
        box = self.box(name)
        kind = box.get_attribute("type")
        if kind == "radio":
            self._changed.setdefault(name, self.field(name).locator("input:checked").input_value())
            self.field(name).get_by_role("radio", name=text, exact=True).check()
        elif kind == "checkbox":
            box.set_checked(text == "true")
        elif box.get_attribute("role") == "combobox" and name not in ("data.source", "model.source"):
            box.click()
            self.page.get_by_role("option", name=text, exact=True).click()
            said = f"{name.removeprefix('option.')}={text}"
            self.page.locator("#will [aria-label='command']", has_text=said).wait_for()  # the fields below are filled by then
        else:
            self._changed.setdefault(name, box.input_value())
            box.fill(text)
            box.press("Tab")

    def wait_for_problems(self, wanted: list[str]) -> None:
        """Wait until exactly these are told, in this order."""
        with contextlib.suppress(Exception):
            ask = (
                "wanted => JSON.stringify([...document.querySelectorAll('[data-problems] li > span')].map((each) => "
                "each.textContent.replaceAll('`', '').replace(/has [\\d.]+ GiB/, 'has … GiB'))) === JSON.stringify(wanted)"
            )
            self.page.wait_for_function(ask, arg=wanted, timeout=PATIENCE_MS if wanted else 10_000)
        assert [_plain(text) for text in self.page.evaluate(PROBLEMS)] == wanted

    def undo(self) -> None:
        """Type again what stood there before; what was chosen needs the page anew."""
        for name, text in self._changed.items():
            self.put(name, text)
        self._changed.clear()
        self.page.wait_for_function(NO_PROBLEMS)
        self._dirty = False

    def can_start(self) -> bool:
        """Whether the button is on."""
        return self.page.locator("#start").is_enabled()

    def yaml(self) -> str:
        """What the panel says would run."""
        return self._copied("resolved YAML")

    def command(self) -> str:
        """The command that does the same."""
        return self._copied("command")

    def _copied(self, what: str) -> str:
        return self.page.locator(f"#will [aria-label='Copy {what}']").get_attribute("data-copy") or ""


@pytest.fixture(scope="module")
def form_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app over a workspace that these tests start runs in."""
    with App(tmp_path_factory.mktemp("form") / "workspace") as app:
        yield app


@pytest.fixture(scope="module")
def form(form_app: App, browser: Browser) -> Iterator[TrainForm]:
    """One page for all tests, as somebody has it open who makes one mistake after another."""
    watched = Seen(allowed=("AbortError", "Connection errored out"))  # leaving the page while something is looked at
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    watched.watch(page)
    yield TrainForm(page, form_app)
    context.close()
    assert watched.hosts <= {"127.0.0.1"}
    assert not watched.errors


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


# ---- what is wrong


def test_cases_are_typed_or_cannot_be() -> None:
    assert len(TYPED) >= 35
    assert set(CASES) >= NOT_TYPED


@pytest.mark.parametrize("name", TYPED)
def test_mistake_in_the_form_is_told_as_on_the_command_line(form: TrainForm, files: Files, name: str) -> None:
    arguments = CASES[name].arguments(files)
    asked = _overrides(arguments)
    wanted = told_on_the_command_line(arguments, form.app.workspace)
    given = {"data.source": str(files.chats)} if "data.source" in asked else {}  # else undoing a mistake would leave another
    form.begin(asked.pop("recipe", "qlora-docstrings"), given)
    for setting, text in asked.items():
        if given.get(setting) != text:
            form.put(f"option.{setting}" if "." not in setting and setting != "title" else setting, text)
    form.wait_for_problems(wanted)
    assert not form.can_start()
    places: list[str] = form.page.evaluate(
        "() => [...document.querySelectorAll('[data-problems] li')].map((each) => each.dataset.fields ?? '')"
    )
    for place, words in zip(places, wanted, strict=True):
        assert place, f"beside no field: {words}"
        for element in place.split(" "):
            assert _plain(form.page.locator(f"#{element}-error").text_content() or "") == words
            assert form.page.locator(f"#{element} [aria-invalid=true]").first.get_attribute("aria-describedby") == f"{element}-error"
    assert not list((form.app.workspace / "runs").glob("r-*"))
    if asked and not any("." not in setting and setting != "title" for setting in asked):
        form.undo()


def test_several_mistakes_are_told_at_once_and_each_goes_when_it_is_mended(form: TrainForm) -> None:
    wrong = {"training.steps": "0", "method.rank": "many", "training.learning_rate": "nan"}
    form.begin("qlora-docstrings", {})
    for name, text in wrong.items():
        form.put(name, text)
    arguments = ["train", *(f"{name}={text}" for name, text in wrong.items())]
    wanted = told_on_the_command_line(arguments, form.app.workspace)
    assert len(wanted) == 3
    form.wait_for_problems(sorted(wanted, key=lambda text: [name in text for name in ("method", "steps", "rate")].index(True)))
    form.put("training.steps", "7")
    form.page.locator("#f-training-steps-error").wait_for(state="detached")
    assert form.page.locator(".cx-field-error").count() == 2
    assert not form.can_start()
    form.undo()


def test_wrong_choice_and_switch_of_an_address_are_told_until_they_are_chosen_anew(form: TrainForm) -> None:
    wrong = ["model.dtype=bogus", "evaluation.judge=maybe"]
    form.begin("qlora-docstrings", dict(each.split("=") for each in wrong))
    form.wait_for_problems(told_on_the_command_line(["train", *wrong], form.app.workspace))
    assert not form.can_start()
    assert form.field("model.dtype").locator("input:checked").input_value() == "bogus"
    form.put("model.dtype", "bfloat16")
    form.page.locator("#f-model-dtype-error").wait_for(state="detached")
    form.put("evaluation.judge", "true")
    form.page.wait_for_function(NO_PROBLEMS)
    form._dirty = True


def test_text_that_no_address_holds_leaves_the_form_alive(form: TrainForm) -> None:
    form.begin("qlora-docstrings", {})
    form.put("title", "é" * 12_000)
    form.page.locator("#will", has_text="A reload loses title").wait_for()
    form.put("title", "short")
    form.page.wait_for_url("**/train?set=title%3Dshort")
    form._dirty = True
    assert form.page.request.get(f"{form.app.url}/train?set=title%3D{'x' * 70_000}").status == 414


@pytest.mark.parametrize("how", ["keys", "paste", "delete"])
def test_whatever_way_a_text_comes_into_a_field_it_counts(form: TrainForm, how: str) -> None:
    form.begin("qlora-docstrings", {})
    box = form.box("training.steps")
    form._changed["training.steps"] = box.input_value()
    box.click()
    form.page.keyboard.press("Control+a")
    if how == "keys":
        form.page.keyboard.type("0")
    elif how == "paste":
        form.page.keyboard.insert_text("0")  # no key is pressed, as with a paste or a phone's keyboard
    else:
        form.page.keyboard.press("Backspace")
    form.page.locator("#f-training-steps-error").wait_for()
    assert not form.can_start()
    form.undo()


# ---- what is asked for


def _settled(form: TrainForm) -> None:
    """Model and data were looked at."""
    form.page.locator("#facts dl").wait_for()
    form.page.wait_for_function(NO_PROBLEMS)


def _started(form: TrainForm) -> codex.RunHandle:
    """Press Start, follow to the run's page, and end the run: it is its configuration that matters."""
    form.page.locator("#start:not([disabled])").click()
    form.page.wait_for_url("**/run?id=*")
    handle = codex.run(form.page.url.partition("id=")[2], workspace=form.app.workspace)
    form._dirty = True
    return handle


def _resolved(handle: codex.RunHandle) -> bytes:
    """The run's configuration; the run itself is ended, for it is not what matters here."""
    with contextlib.suppress(codex.UserError):
        runs.stop(handle.id, workspace=handle.workspace, wait_s=20, force=True)
    return (handle.folder / "resolved.yaml").read_bytes()


SETTINGS = {
    "title": 'Wärme "quoted" & \'more\' #1: {x}', "seed": "7", "data.max_tokens": "200", "data.heldout_share": "0.2", "method.rank": "4",
    "method.target_modules": "[q_proj, v_proj]", "training.steps": "3", "training.learning_rate": "3e-4", "training.schedule": "linear",
    "training.threads": "1", "evaluation.judge": "false", "tracking.mlflow": "false",
}  # fmt: skip


def test_file_that_cannot_be_trained_on_is_not_added(form: TrainForm, tmp_path: Path) -> None:
    form.begin("qlora-docstrings", {})
    bad = tmp_path / "wrong.jsonl"
    bad.write_text('{"question": "a"}\nno json\n')
    with form.page.expect_file_chooser() as chooser:
        form.page.locator("#add-data").click()
    chooser.value.set_files(bad)
    form.page.locator("#train-said", has_text="Not added").wait_for()
    assert "wrong.jsonl:1" in form.page.locator("#train-said").inner_text()
    assert not [path for path in (form.app.workspace / "datasets").glob("*") if "wrong" in path.name]
    assert form.page.locator("#f-data-source input").input_value() == "stdlib-docstrings"
    assert not form.page.get_by_role("option", name="wrong.jsonl").count()


def test_app_command_line_and_python_resolve_the_same_to_the_byte(
    form: TrainForm, files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = form.app.workspace
    form.open("recipe=qlora-chat")
    form.put("option.method", "lora")
    form.page.locator("#f-method-quantization_type").wait_for(state="hidden")
    with form.page.expect_file_chooser() as chooser:
        form.page.locator("#add-data").click()
    chooser.value.set_files(files.chats)
    form.page.wait_for_function("() => document.querySelector('#f-data-source input').value === 'chats.jsonl'")
    for name, text in SETTINGS.items():
        form.put(name, text)
    form.page.locator("#will .ln.ch", has_text="mlflow: false").wait_for()  # the last of them
    _settled(form)
    command = form.command()
    by_app = _resolved(_started(form))
    assert f"source: {workspace / 'datasets' / 'chats.jsonl'}".encode() in by_app or b"source: chats.jsonl" in by_app

    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["codex-ml", "train"]
    assert main([*words[1:], "--no-follow"]) == 0
    by_command = _resolved(codex.run("last", workspace=workspace))
    written = ["recipe=qlora-chat", "method=lora", "data.source=chats.jsonl", *(f"{name}={text}" for name, text in SETTINGS.items())]
    assert main(["train", *written, "--no-follow", "--workspace", str(workspace)]) == 0
    by_hand = _resolved(codex.run("last", workspace=workspace))
    values: dict[str, Any] = {
        "title": SETTINGS["title"], "seed": 7, "data__source": "chats.jsonl", "data__max_tokens": 200, "data__heldout_share": 0.2,
        "method__rank": 4, "method__target_modules": ["q_proj", "v_proj"], "training__steps": 3, "training__learning_rate": 3e-4,
        "training__schedule": "linear", "training__threads": 1, "evaluation__judge": False, "tracking__mlflow": False,
    }  # fmt: skip
    by_python = _resolved(codex.train("qlora-chat", "method=lora", workspace=workspace, **values))
    assert by_app.decode() == by_command.decode() == by_hand.decode() == by_python.decode()
    assert len({run.run.id for run in codex.runs(workspace)}) == 4


def test_run_again_begins_with_that_run_and_takes_changes(form: TrainForm) -> None:
    """After the test above: its runs are there."""
    handle = codex.runs(form.app.workspace)[-1].run
    form.open(f"from={handle.id}")
    _settled(form)
    assert form.yaml().strip() == handle.resolved.read_text().strip()
    assert form.box("training.steps").input_value() == "3"
    form.open(f"from={handle.id}&set=training.batch_size=4&set=seed=9")
    form.page.locator("#will .ln.ch", has_text="batch_size: 4").wait_for()
    differing = set(form.yaml().splitlines()) - set(handle.resolved.read_text().splitlines())
    assert differing == {"  batch_size: 4", "seed: 9"}
    assert form.box("training.batch_size").input_value() == "4"


def test_reload_shows_the_form_as_it_was(form: TrainForm) -> None:
    form.open("recipe=qlora-docstrings")
    form.put("option.method", "lora")
    typed = {"title": "Rank & <b>rates</b> +5 %", "seed": "777", "method.rank": "900"}
    for name, text in typed.items():
        form.put(name, text)
    form.page.wait_for_function("location.search.includes('rank%3D900')")
    command, problems = form.command(), form.page.evaluate(PROBLEMS)
    assert len(problems) == 1
    form.page.reload()
    form.page.wait_for_function("() => document.querySelectorAll('[data-problems] li').length === 1")
    assert {name: form.box(name).input_value() for name in typed} == typed
    assert form.field("option.method").locator("input").first.input_value() == "lora"
    assert (form.command(), form.page.evaluate(PROBLEMS)) == (command, problems)
    form.page.locator("nav").get_by_role("link", name="Train").first.click()
    form.page.wait_for_function("location.search === '' && document.querySelectorAll('#will pre').length > 0")
    assert form.box("seed").input_value() == "42", "Train begins anew"


def test_form_saved_as_a_recipe_can_be_chosen_and_is_the_same(form: TrainForm) -> None:
    form.open("recipe=qlora-docstrings")
    form.put("training.steps", "11")
    form.put("option.method", "lora")
    form.page.locator("#will .ln.ch", has_text="name: lora").wait_for()
    form.page.locator("#will .ln.ch", has_text="steps: 11").wait_for()
    before = form.yaml()
    form.page.get_by_text("Save this form as a recipe").click()
    form.page.locator("#recipe-name input, #recipe-name textarea").first.fill("mine")
    form.page.locator("#save-recipe").click()
    form.page.locator("#saved", has_text="codex-ml train recipe=mine").wait_for()
    assert (form.app.workspace / "recipes" / "mine.yaml").is_file()
    form.page.locator("#save-recipe").click()
    form.page.locator("#saved", has_text="is there already").wait_for()
    form.put("recipe", "mine")
    form.page.locator("#will header", has_text="the recipe as it is").wait_for()
    assert form.yaml() == before.replace("recipe: qlora-docstrings", "recipe: mine")
    assert form.box("training.steps").input_value() == "11"


def test_another_method_keeps_what_was_typed(form: TrainForm) -> None:
    form.open("recipe=qlora-docstrings")
    form.put("training.steps", "13")
    form.put("method.rank", "5")
    form.page.locator("#will .ln.ch", has_text="rank: 5").wait_for()
    form.put("option.method", "lora")
    form.page.locator("#will .ln.ch", has_text="name: lora").wait_for()
    form.page.locator("#f-method-quantization_type").wait_for(state="hidden")
    assert (form.box("training.steps").input_value(), form.box("method.rank").input_value()) == ("13", "5")
    assert {"rank: 5", "steps: 13"} <= {line.strip() for line in form.yaml().splitlines()}
    form.put("option.method", "full")
    form.page.locator("#f-method-rank").wait_for(state="hidden")
    assert "rank" not in form.yaml()
    assert form.box("training.steps").input_value() == "13"
