"""OpenTelemetry's semantic conventions for generative AI: the names that an export uses, of one pinned version.

The conventions are in development and names in them move. Version 1.41.0 is the last that was released together with the other
semantic conventions, so the last that a schema URL names; their own repository, which goes on with them, has none yet. The
names are copied from https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai (spans and agent spans).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

VERSION: Final = "1.41.0"
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{VERSION}"

OPERATION: Final = "gen_ai.operation.name"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"

PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION: Final = "gen_ai.conversation.id"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
ERROR_TYPE: Final = "error.type"
ERROR_TYPE_OTHER: Final = "_OTHER"

SPAN_KIND_INTERNAL: Final = 1
SPAN_KIND_CLIENT: Final = 3
STATUS_ERROR: Final = 2

Type = Literal["string", "int", "double", "strings"]


class Entry(NamedTuple):
    """Where the value of one attribute of the convention comes from.

    Args:
        ours: the column of an event, or the key among its attributes.
        theirs: the convention's name.
        type: what the convention says its value is; `strings` is a list of text.
    """

    ours: str
    theirs: str
    type: Type


COLUMNS_OF_CHAT: Final = (
    Entry("model", "gen_ai.request.model", "string"),
    Entry("model", "gen_ai.response.model", "string"),
    Entry("tokens_in", "gen_ai.usage.input_tokens", "int"),
    Entry("tokens_out", "gen_ai.usage.output_tokens", "int"),
)
ATTRIBUTES_OF_CHAT: Final = (
    Entry("temperature", "gen_ai.request.temperature", "double"),
    Entry("top_p", "gen_ai.request.top_p", "double"),
    Entry("top_k", "gen_ai.request.top_k", "double"),
    Entry("seed", "gen_ai.request.seed", "int"),
    Entry("max_tokens", "gen_ai.request.max_tokens", "int"),
    Entry("finish", "gen_ai.response.finish_reasons", "strings"),
    Entry("response_id", "gen_ai.response.id", "string"),
)
COLUMNS_OF_TOOL: Final = (Entry("tool", "gen_ai.tool.name", "string"),)
ATTRIBUTES_OF_TOOL: Final = (
    Entry("tool_call_id", "gen_ai.tool.call.id", "string"),
    Entry("tool_type", "gen_ai.tool.type", "string"),
    Entry("tool_description", "gen_ai.tool.description", "string"),
)
ATTRIBUTES_OF_AGENT: Final = (
    Entry("agent", "gen_ai.agent.name", "string"),
    Entry("agent_id", "gen_ai.agent.id", "string"),
    Entry("agent_version", "gen_ai.agent.version", "string"),
    Entry("agent_description", "gen_ai.agent.description", "string"),
)
FINISH: Final = {"end": "stop", "context": "length"}
"""Our reasons to end an answer that the convention calls otherwise."""
