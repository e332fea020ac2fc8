"""The names of the pinned convention, against the package that its authors publish."""

from __future__ import annotations

from opentelemetry.semconv import schemas
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes

from codex.sessionlog.interchange import conventions

TABLES = (
    conventions.COLUMNS_OF_CHAT,
    conventions.ATTRIBUTES_OF_CHAT,
    conventions.COLUMNS_OF_TOOL,
    conventions.ATTRIBUTES_OF_TOOL,
    conventions.ATTRIBUTES_OF_AGENT,
)


def test_names_are_those_of_the_published_convention() -> None:
    published = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")} | {error_attributes.ERROR_TYPE}
    ours = {entry.theirs for table in TABLES for entry in table}
    ours |= {value for value in vars(conventions).values() if isinstance(value, str) and value.startswith(("gen_ai.", "error."))}
    assert len(ours) == 27 and ours <= published


def test_names_that_the_convention_replaced_are_not_used() -> None:
    old = {"gen_ai.system", "gen_ai.prompt", "gen_ai.completion", "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"}
    assert not old & {entry.theirs for table in TABLES for entry in table}


def test_operations_are_those_of_the_published_convention() -> None:
    published = {item.value for item in gen_ai_attributes.GenAiOperationNameValues}
    assert {conventions.CHAT, conventions.EXECUTE_TOOL, conventions.INVOKE_AGENT} <= published


def test_schema_url_is_of_a_release() -> None:
    assert conventions.SCHEMA_URL in {schema.value for schema in schemas.Schemas}
    assert schemas.Schemas.V1_41_0.value == conventions.SCHEMA_URL
