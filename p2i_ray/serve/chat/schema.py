"""The request of a chat completion: the supported fields of OpenAI's, typed, and every limit checked before any work.

Only what is listed here reaches the engine. vLLM takes many more fields, some of which read files, run templates or
occupy a GPU for hours; a field that isn't listed is refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from p2i_ray.config.serve import ChatConfig
from p2i_ray.serve.chat.structured_output import ResponseFormat, Strict, StructuredOutputs, check_constraint
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.forms import short
from p2i_ray.serve.edge.health import check_model

MAX_SEED = 2**53 - 1  # what every JSON reader keeps exactly
MAX_STOPS = 4
MAX_STOP_CHARS = 200


class ImageUrl(Strict):
    """An image, contained in the URL itself."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class TextPart(Strict):
    """Text of a message."""

    type: Literal["text"]
    text: str


class ImagePart(Strict):
    """An image of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _parts(content: Any) -> Any:
    """Turn plain text into a list of one part."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _listed(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class SystemMessage(Strict):
    """The application's own message."""

    role: Literal["system", "developer"]
    content: Annotated[list[TextPart], BeforeValidator(_parts)]
    name: str | None = None


class AssistantMessage(Strict):
    """An earlier answer, as it came; one that ended before its first word has no content."""

    role: Literal["assistant"]
    content: Annotated[list[TextPart], BeforeValidator(_parts)] = Field(default_factory=list)
    name: str | None = None
    parsed: Any = None  # the openai package's parse() adds its own reading of the content


class UserMessage(Strict):
    """The user's message."""

    role: Literal["user"]
    content: Annotated[list[Part], BeforeValidator(_parts)]
    name: str | None = None


Turn = Annotated[SystemMessage | AssistantMessage | UserMessage, Field(discriminator="role")]


class StreamOptions(Strict):
    """Options of a stream: its content besides its text."""

    include_usage: bool = False
    include_obfuscation: bool = False


class CompletionRequest(Strict):
    """A request of POST /v1/chat/completions."""

    model: str
    messages: list[Turn] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    stop: Annotated[list[str] | None, BeforeValidator(_listed)] = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    user: str | None = None
    safety_identifier: str | None = None
    store: Literal[False] | None = None

    def images(self) -> list[tuple[str, str]]:
        """Every image: the field that holds it, and its URL."""
        return [
            (f"messages.{i}.content.{j}.image_url", part.image_url.url)
            for i, turn in enumerate(self.messages)
            for j, part in enumerate(turn.content)
            if isinstance(part, ImagePart)
        ]


def parse(content: Any, limits: ChatConfig) -> CompletionRequest:
    """A request's fields, typed and within the limits.

    Raises:
        APIError: one is unknown, of the wrong type, or beyond a limit.
    """
    if not isinstance(content, dict):
        raise bad_request("the body must be a JSON object with model and messages")
    try:
        chat = CompletionRequest.model_validate(content)
    except ValidationError as error:
        raise _api_error(error) from None
    check_model(chat.model, (limits.model_name, *limits.model_aliases))
    _check_limits(chat, limits)
    constraints = {"response_format": chat.response_format, "structured_outputs": chat.structured_outputs}
    for param, constraint in constraints.items():
        if constraint is not None:
            check_constraint(constraint, param, limits)
    return chat


def for_engine(chat: CompletionRequest, images: list[str], model_name: str) -> dict[str, Any]:
    """The request as the engine gets it: listed fields alone, each image replaced by its checked copy.

    Args:
        chat: the request.
        images: data URLs, in the order of `chat.images()`.
        model_name: the name by which the engine knows its model; a client may have used another.
    """
    remaining = iter(images)
    fields = chat.model_dump(
        exclude={"messages", "user", "safety_identifier", "store", "max_tokens", "stream_options"},
        exclude_none=True,
        by_alias=True,
    )
    if chat.stream and chat.stream_options and chat.stream_options.include_usage:
        fields["stream_options"] = {"include_usage": True}
    if chat.max_tokens:
        fields["max_completion_tokens"] = chat.max_tokens
    fields["model"] = model_name
    fields["messages"] = [
        {"role": _role(turn.role), "content": _content(turn.content, remaining)} for turn in chat.messages
    ]
    return fields


def _role(role: str) -> str:
    return "system" if role == "developer" else role  # OpenAI's newer name, which few models' templates know


def _content(parts: Sequence[TextPart | ImagePart], images: Iterator[str]) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part.text}
        if isinstance(part, TextPart)
        else {"type": "image_url", "image_url": {"url": next(images)}}
        for part in parts
    ]


def _check_limits(chat: CompletionRequest, limits: ChatConfig) -> None:
    """Check what pydantic's types don't express."""
    texts = [part.text for turn in chat.messages for part in turn.content if isinstance(part, TextPart)]
    stops = chat.stop or []
    longest = max(chat.max_tokens or 0, chat.max_completion_tokens or 0)
    for param, count, most, what in (
        ("messages", len(chat.messages), limits.max_messages, "messages"),
        ("messages", len(chat.images()), limits.max_images, "pictures"),
        ("messages", sum(map(len, texts)), limits.max_chars, "characters of text"),
        ("max_tokens" if chat.max_tokens else "max_completion_tokens", longest, limits.max_tokens, "tokens an answer"),
        ("n", chat.n or 1, limits.max_n, "answers a request"),
        ("stop", len(stops), MAX_STOPS, "stops"),
        ("stop", max(map(len, stops), default=0), MAX_STOP_CHARS, "characters a stop"),
    ):
        if count > most:
            raise bad_request(f"{param}: {count} {what} are asked for; at most {most}", param)
    if any(not stop for stop in stops):
        raise bad_request("stop: an empty stop would end every answer at once; leave it out", "stop")
    if chat.max_tokens and chat.max_completion_tokens:
        raise bad_request("max_tokens and max_completion_tokens say the same; give one", "max_tokens")
    if chat.top_logprobs and not chat.logprobs:
        raise bad_request("top_logprobs needs logprobs=true", "top_logprobs")
    if chat.response_format and chat.structured_outputs:
        raise bad_request("response_format and structured_outputs say the same; give one", "structured_outputs")


def _api_error(error: ValidationError) -> APIError:
    """The first validation error; it names the field and doesn't repeat its value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # pydantic puts the kind of a turn or part after its index: messages.0.user.content
    names = [part for before, part in zip((None, *first["loc"]), first["loc"], strict=False) if type(before) is not int]
    where = ".".join(short(str(name)) for name in names) or "body"
    if first["type"] == "extra_forbidden":
        return bad_request(f"{where} is not a field this server takes; leave it out", where, "unknown_field")
    if first["type"].startswith("union_tag"):
        role = "content" not in names
        kinds = "role system, developer, user or assistant" if role else "type text or, of users, image_url"
        return bad_request(f"{where} must have {kinds}, as OpenAI writes them", where)
    text = str(first["msg"])
    return bad_request(f"{where}: {text[:1].lower()}{text[1:]}", where)
