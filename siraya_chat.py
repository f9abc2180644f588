"""An OpenAI-compatible chat-completions client in one file, with no dependencies.

For the Siraya Model Router and every other OpenAI-compatible server.  CPython 3.7 and
later, standard library only.  Copy the file beside your program, vendor it, or run it:

    from siraya_chat import Client

    client = Client(model="anthropic/claude-sonnet-4.5")  # needs SIRAYA_API_KEY
    with client.stream("Tell me a story.") as stream:
        for piece in stream.text_stream:
            print(piece, end="", flush=True)

    $ python -m siraya_chat "What is the meaning of life?"

Start with help(Client), help(Stream), help(Completion) and help(build_request), which
lists the parameters of a request.

Logging: if the program has imported `logging`, the logger "siraya_chat" gets a record
of each step of a call (DEBUG) and of each retry (INFO).  Its attribute `stage` says
which: "connecting", "sending" (with `sent` and `total`, in bytes), "waiting",
"answered" (with `status` and `seconds`), "retrying" (with `reason`, `seconds`,
`attempt` and `total`).  An attempt that brought no answer is told at the stage where it
failed, with a `status` of 0.  No record holds a key or a message's text.

SPDX-License-Identifier: MIT
"""

# The file reads from top to bottom; each section uses only what stands above it:
#
#   text             printable, bounded and masked text
#   errors           the exceptions, and what they read from an error body
#   answers          JSON objects with attributes, completions, chunks
#   rules            checks of arguments
#   messages         system(), user(), assistant(), tool_result(), json_schema()
#   attachments      image(), pdf(), audio(), video(), attach()
#   request          build_request(), and the body in blocks of bytes
#   events           SSEParser: Server-Sent Events
#   assembling       the chunks of a stream become one Completion
#   transport        kept HTTP connections, proxies, TLS, time limits
#   streams          an answer from its bytes; Stream
#   client           Client: settings, retries
#   asyncio          AsyncClient, AsyncStream
#   command line     main()

from __future__ import annotations

import base64
import binascii
import collections
import contextlib
import email.utils
import errno
import functools
import http.client
import io
import itertools
import json
import math
import operator
import os
import random
import re
import selectors
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import urllib.request
import warnings
import zlib

TYPE_CHECKING = False  # type checkers read it as True; importing typing takes time
if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Coroutine,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from typing import (
        Any,
        BinaryIO,
        Literal,
        Protocol,
        Required,
        Self,
        TypedDict,
        TypeVar,
        Unpack,
        overload,
    )

    Messages = str | Iterable[Any]
    Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
    Rule = Callable[[str, Any], object]

__version__ = "3.0.0"
# Other names without an underscore are for the sections of this file, not for users.
__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncOpenAI",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "Client",
    "Completion",
    "ConflictError",
    "Event",
    "InternalServerError",
    "JSONObject",
    "NOT_GIVEN",
    "NotFoundError",
    "NotGiven",
    "Omit",
    "OpenAI",
    "OpenAIError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitError",
    "ResponseError",
    "SSEParser",
    "SirayaError",
    "Stream",
    "StreamError",
    "UnprocessableEntityError",
    "assistant",
    "attach",
    "audio",
    "build_request",
    "image",
    "json_schema",
    "main",
    "omit",
    "pdf",
    "system",
    "tool_result",
    "user",
    "video",
]

DEFAULT_BASE_URL = "https://llm.siraya.pro/v1"
# Of the command line; the library has none.
DEFAULT_MODEL = "anthropic/claude-sonnet-4.5"

# Of an answer, unpacked: ten minutes of speech in base64 take 40 MB.
MAX_ANSWER_BYTES = 64 << 20
# Of an answer with HTTP's own framing: chunks of two bytes and more fit.
MAX_WIRE_BYTES = 4 * MAX_ANSWER_BYTES
# Of an error's body: nobody reads more.
MAX_ERROR_BODY_BYTES = 1 << 20
# Of the memory that an answer's objects, lists and numbers may take: so much, and so
# many times the answer's bytes.  The probabilities of a token take 20 times their own.
MAX_JSON_MEMORY = 40 << 20
MAX_JSON_GROWTH = 8
# How deep JSON may be nested: json and pickle carry this on any stack.
MAX_JSON_DEPTH = 100
# Members of a gzip body.
MAX_GZIP_MEMBERS = 1000
# Interim answers (RFC 9110 § 15.2) before the answer itself.
MAX_INTERIM_ANSWERS = 100
# Of an interim answer that comes while the request is being sent.
MAX_INTERIM_BYTES = 8 << 10
# Characters of an error's message: some servers answer with whole pages.
MAX_MESSAGE_LENGTH = 1000
# Characters of a value that an error's message quotes.
MAX_QUOTED_LENGTH = 200

# The shortest wait before a retry, in seconds, whatever the server says.
MIN_BACKOFF = 0.5
# The longest, if it says nothing.
MAX_BACKOFF = 8.0
# The longest Retry-After, in seconds, that we wait for.
MAX_RETRY_AFTER = 60.0

MAX_IDLE_CONNECTIONS = 32
# Seconds: firewalls forget a silent connection after a minute or so.
MAX_IDLE_SECONDS = 30.0
# Seconds for the bytes that follow [DONE], before a connection is used again.
DRAIN_SECONDS = 0.1
# Seconds before the first keep-alive probe of TCP, and between two probes.
KEEP_ALIVE_SECONDS = 60
# Of one read.
BLOCK_BYTES = 64 << 10
# Of one send: the size of a TLS record, so that a slow upload is seen to move.
SEND_BYTES = 16 << 10
# Seconds between two records of the log while a request is sent.
LOG_SECONDS = 0.1
# Seconds that the command waits for a history which another one has locked.
LOCK_SECONDS = 1.0


# ------------------------------------------------------------------------------- text

# What a terminal obeys or hides: controls, line separators, zero-width characters,
# bidirectional marks and overrides, and halves of surrogate pairs.
_UNPRINTABLE = (
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def _printable(text: str) -> str:
    """The text on one line, fit for a terminal."""
    if not text.isprintable():  # first, since to compile the pattern takes 1 ms
        text = re.sub(_UNPRINTABLE, " ", text)
    return " ".join(text.split())


def _cut(text: str, limit: int) -> str:
    """The text, or as much of its beginning as fits the limit, and an ellipsis."""
    if len(text) <= limit:
        return text
    return text[: limit - 1] + "\u2026"


def _one_line(text: str, limit: int) -> str:
    """The text on one line, fit for a terminal, cut to the limit."""
    text = _cut(text, 10 * limit)  # bounds the next line's work
    return _cut(_printable(text), limit)


def _mask(value: Any, secrets: Sequence[str]) -> Any:
    """A text, or the texts in a JSON value, without the secrets."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, list):
        return [_mask(item, secrets) for item in value]
    if isinstance(value, dict):
        masked = ((_mask(name, secrets), _mask(value[name], secrets)) for name in value)
        return type(value)(masked)
    return value


def _mask_end(text: str, secrets: Sequence[str]) -> str:
    """The text without half a secret, or more of it, at its end: it may be cut off."""
    for secret in secrets:
        for size in range(len(secret) - 1, len(secret) // 2, -1):
            if text.endswith(secret[:size]):
                return text[:-size] + "***"
    return text


# ----------------------------------------------------------------------------- errors


class SirayaError(Exception):
    """The base of all errors.

    ``str(error)`` and ``error.message``: one printable line of at most 1,000
    characters. ``body``: what the server sent: JSON if it is that, else text; ``None``
    if nothing.
    """

    def __init__(self, message: str = "", body: Any = None) -> None:
        self.message = _one_line(message, MAX_MESSAGE_LENGTH)
        self.body = body
        super().__init__(self.message)


# The names that programs written for the OpenAI SDK catch.
APIError = SirayaError
OpenAIError = SirayaError


class APIConnectionError(SirayaError):
    """The service was not reached, or the connection failed.

    ``body``: the text that had arrived; ``None`` if nothing.
    """


class APITimeoutError(APIConnectionError):
    """A time limit has passed: ``connect_timeout``, ``timeout`` or ``deadline``."""


class APIStatusError(SirayaError):
    """The service answered with a status other than 2xx.

    ``status_code``: an int.  ``code``, ``type``, ``param``: of the error object in the
    body, or ``None``.  ``headers``: a case-insensitive mapping.  ``request_id``: a str
    or ``None``.  ``retry_after``: the seconds that the server asks to wait, or
    ``None``.  ``response``: the same as programs of the OpenAI SDK look it up.
    """

    def __init__(
        self,
        message: str = "",
        body: Any = None,
        status_code: int = 0,
        headers: Any = None,
    ) -> None:
        super().__init__(message, body)
        fields = _error_fields(body)
        self.code = fields.get("code")
        self.type = fields.get("type")
        self.param = fields.get("param")
        self.status_code = status_code
        self.headers = headers or {}
        self.request_id = self.headers.get("x-request-id")
        self.retry_after = _retry_after(self.headers)

    @property
    def response(self) -> ErrorResponse:
        """The answer: ``status_code``, ``headers``, ``text`` and ``json()``."""
        return ErrorResponse(self.status_code, self.headers, self.body)


class ErrorResponse:
    """The answer that an `APIStatusError` is made of."""

    def __init__(self, status_code: int, headers: Any, body: Any) -> None:
        self.status_code = status_code
        self.headers = headers
        self.text = (
            body or "" if isinstance(body, (str, type(None))) else json.dumps(body)
        )

    def __repr__(self) -> str:
        return "<ErrorResponse [%d]>" % self.status_code

    def json(self) -> Any:
        """The body parsed as JSON; ``ValueError`` if it is not."""
        return json.loads(self.text)


class BadRequestError(APIStatusError):
    """400: the request is malformed, or not one for this model."""


class AuthenticationError(APIStatusError):
    """401: the key is missing or wrong."""


class PaymentRequiredError(APIStatusError):
    """402: the balance is too low."""


class PermissionDeniedError(APIStatusError):
    """403: blocked by moderation or region."""


class NotFoundError(APIStatusError):
    """404: no such model or path, or `models.retrieve` of one that is not listed."""


class ConflictError(APIStatusError):
    """409: the request conflicts with another one."""


class UnprocessableEntityError(APIStatusError):
    """422: the request has the right form, but a value that cannot be processed."""


class RateLimitError(APIStatusError):
    """429: too many requests."""


class InternalServerError(APIStatusError):
    """5xx: trouble at the service or at the model's provider."""


class ResponseError(SirayaError):
    """The answer is not what the API promises: not JSON, too large, an error.

    ``body``: what came instead.  ``code`` and ``type``: of an error object in it.
    ``retry_after``: the seconds that the server asks to wait, or ``None``.
    """

    def __init__(self, message: str = "", body: Any = None) -> None:
        super().__init__(message, body)
        self.retry_after: float | None = None
        fields = _error_fields(body)
        self.code = fields.get("code")
        self.type = fields.get("type")


class StreamError(ResponseError):
    """The stream ended before the answer did.

    An error event, truncation, a malformed chunk, a lost connection, a time limit.  It
    is raised by `complete` too, for an answer that came as an event stream.
    ``partial``: the `Completion` so far; no complete event is lost.
    """

    partial: Completion  # None only in an error that a program has made itself

    def __init__(
        self, message: str = "", body: Any = None, partial: Completion | None = None
    ) -> None:
        super().__init__(message, body)
        self.partial = partial  # type: ignore[assignment]


_STATUS_ERRORS = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


class _Failure(Exception):
    """What ended an attempt or an answer, raised where it is known.

    It holds what was said as it was said.  `Call.leave` makes the error of it that the
    user sees: there the keys are masked, and long texts cut.

    *error_class*: that of the user's error.  *message*: what happened.  *said*: the
    server's words for it.  *body*: see `SirayaError`.  *may_retry*: whether to send the
    request again is allowed and may help; ``None``: who catches it decides.  *reason*:
    why, in a word or two for the log.
    """

    def __init__(
        self,
        error_class: type[SirayaError],
        message: str,
        said: str = "",
        body: Any = None,
        may_retry: bool | None = None,
        reason: str = "no answer",
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message
        self.said = said
        self.body = body
        self.may_retry = may_retry
        self.reason = reason
        self.partial: Completion | None = None  # what an event stream has brought
        self.status = 0  # if it is another one than the answer's


def _page_title(text: str) -> str:
    """The title of an HTML page, or its first text; any other text as it is."""
    if not text.lstrip().startswith("<"):
        return text
    text = text[: 10 * MAX_MESSAGE_LENGTH]
    found = re.search(r"<title[^<>]*>([^<]*)", text, re.I)
    if found is None:
        found = re.search(r">\s*([^<>\s][^<>]*)", text)
    return found.group(1) if found else ""


# Where servers put an error's words and its code: the first that are there.
_WORD_NAMES = (
    "message",
    "detail",
    "msg",
    "error",
    "error_msg",
    "status_msg",
    "title",
    "reason",
)
_CODE_NAMES = ("code", "error_code", "status_code")


# Where they put the error in a body, if that is not all of it.
_ERROR_NAMES = ("error", "errors", "base_resp")


def _error_object(body: Any) -> Any:
    """The error in a body: what stands under a name that says so, or else all of it."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        for name in _ERROR_NAMES:
            error = body.get(name)
            if error and isinstance(error, (str, dict, list)):  # no mark such as true
                return error
    return body


def _error_fields(body: Any) -> dict[str, Any]:
    """The error's fields, with its code under the name "code"."""
    error = _error_object(body)
    if not isinstance(error, dict):
        error = body
    if not isinstance(error, dict):
        return {}
    codes = (error[name] for name in _CODE_NAMES if error.get(name) is not None)
    return dict(error, code=next(codes, None))


def _error_words(body: Any) -> str:
    """The sentence in an error's body.  Servers use different shapes."""
    return _words_in(_error_object(body))


def _words_in(error: Any) -> str:
    """As much of an error's words as a message can hold."""
    if isinstance(error, str):
        return error[: 10 * MAX_MESSAGE_LENGTH]
    if isinstance(error, list):
        return "; ".join(filter(None, map(_words_in, error[:3])))
    if not isinstance(error, dict):
        return ""
    words = ""
    for name in _WORD_NAMES:
        words = words or _words_in(error.get(name))
    path = _error_path(error.get("loc"))
    if words and path:
        words = "%s: %s" % (path, words)
    own_words = _provider_words(error.get("metadata"))
    if own_words and not words.endswith(own_words):
        words = "%s: %s" % (words, own_words) if words else own_words
    return words


def _error_path(loc: Any) -> str:
    """The field that a validation error is about: "messages.2.content"."""
    if not isinstance(loc, list):
        return ""
    names = [str(name) for name in loc[:20] if isinstance(name, (str, int))]
    return ".".join(names[1:] if names[:1] == ["body"] else names)


def _provider_words(metadata: Any) -> str:
    """What a model's provider told the router, in its own words."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, str) and raw[:1] == "{" and len(raw) < 10 * MAX_MESSAGE_LENGTH:
        with contextlib.suppress(ValueError, RecursionError):
            return _error_words(json.loads(raw)) or raw
    return _words_in(raw)


def _retry_after(headers: Any) -> float | None:
    """The seconds to wait, by ``retry-after-ms`` or RFC 9110 § 10.2.3."""
    milliseconds = _number_in(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("Retry-After")
    seconds = _number_in(value)
    if seconds is not None or value is None:
        return seconds
    until = _seconds_of_date(value)
    if until is None:
        return None
    now = _seconds_of_date(headers.get("Date"))  # the server's clock, if it tells
    return max(0.0, until - (time.time() if now is None else now))


def _number_in(value: str | None) -> float | None:
    """The number that a header's value is, or ``None``."""
    if value is None or not re.match(r"\s*[0-9]{0,15}\.?[0-9]{0,15}\s*\Z", value[:50]):
        return None
    try:
        return float(value[:50])
    except ValueError:  # "" or "."
        return None


def _seconds_of_date(value: str | None) -> float | None:
    """The seconds since 1970 of an HTTP date, or ``None``."""
    try:
        return email.utils.parsedate_to_datetime((value or "")[:100]).timestamp()
    except Exception:  # what it raises for a malformed date differs between versions
        return None


# ---------------------------------------------------------------------------- answers

# The fields that the API and the OpenAI SDK define, beside choices and delta: where one
# is absent, it reads as None.
_API_FIELDS = frozenset(
    """
    id object created model usage system_fingerprint service_tier provider cost
    cost_details error index message finish_reason logprobs role content refusal
    annotations audio tool_calls function_call type function name arguments custom input
    prompt_tokens completion_tokens total_tokens prompt_tokens_details
    completion_tokens_details cached_tokens cache_write_tokens reasoning_tokens
    audio_tokens image_tokens text_tokens accepted_prediction_tokens
    rejected_prediction_tokens token bytes logprob top_logprobs url_citation start_index
    end_index title url data transcript expires_at code param metadata obfuscation
    moderation parsed owned_by
    """.split()
)


class JSONObject(dict):  # type: ignore[type-arg]
    """A JSON object of an answer: a ``dict`` whose keys read as attributes too.

    A field that the API defines reads as ``None`` where it is absent, ``choices`` as an
    empty list, ``delta`` as an empty object.  Any other name that is not a key raises
    ``AttributeError``.  Setting an attribute sets the key.  A key that is named like a
    method of ``dict`` is read as ``object["items"]``.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        id: str
        model: str
        created: int
        usage: Usage

    @property
    def choices(self) -> list[Choice]:
        """The choices; an empty list if there are none."""
        value = self.get("choices")
        return [] if value is None else value

    @property
    def delta(self) -> Any:
        """What a chunk adds to a choice; an empty object if that is nothing."""
        value = self.get("delta")
        if value is None or value == []:  # PHP writes [] for {}
            return JSONObject()
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of copy and pickle; an answer's keys are not theirs
            raise AttributeError(name)
        if name in self:
            return self[name]
        raise AttributeError(
            "this %s has no field %r; it has: %s"
            % (type(self).__name__, name, ", ".join(map(str, self)))
        )

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]

    def model_dump(
        self, *, exclude_none: bool = False, **options: Any
    ) -> dict[str, Any]:
        """A copy of plain dicts and lists; with *exclude_none* without null fields.

        The OpenAI SDK's other *options* are taken and change nothing.
        """
        return {
            name: _plain(value, exclude_none)
            for name, value in self.items()
            if value is not None or not exclude_none
        }

    def model_dump_json(
        self, *, indent: int | None = None, exclude_none: bool = False, **options: Any
    ) -> str:
        """The object as JSON text; *options*: see `model_dump`."""
        plain = self.model_dump(exclude_none=exclude_none)
        separators = (",", ":") if indent is None else None
        return json.dumps(
            plain, indent=indent, separators=separators, ensure_ascii=False
        )

    # The OpenAI SDK's other names for these two.
    to_dict = dict = model_dump

    def to_json(self, *, indent: int | None = 2, **options: Any) -> str:
        """The object as JSON text on several lines; *options*: see `model_dump`."""
        return self.model_dump_json(indent=indent, **options)


# Properties in C, which are faster than __getattr__: a loop over a stream reads three
# for each chunk.
for _field in _API_FIELDS:
    setattr(
        JSONObject,
        _field,
        property(operator.methodcaller("get", _field), doc="The field, or ``None``."),
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, JSONObject)


def _plain(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, JSONObject):
        return value.model_dump(exclude_none=exclude_none)
    if isinstance(value, list):
        return [_plain(item, exclude_none) for item in value]
    return value


def _copied(value: Any) -> Any:
    """The value with new objects and lists."""
    if isinstance(value, JSONObject):
        return JSONObject((name, _copied(item)) for name, item in value.items())
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


if TYPE_CHECKING:
    # Parts of an answer as type checkers see them; each is a JSONObject.

    class Fields(dict[str, Any]):
        """An object whose fields are known: a misspelt one is found."""

        def model_dump(self, **options: Any) -> Any: ...

    class Usage(Fields):
        prompt_tokens: int
        completion_tokens: int
        total_tokens: int
        prompt_tokens_details: Any
        completion_tokens_details: Any
        cost: float | None

    class Function(Fields):
        name: str
        arguments: str

    class ToolCall(Fields):
        id: str
        type: str
        index: int
        function: Function

    class Message(JSONObject):
        role: str
        content: Any
        refusal: str | None
        tool_calls: list[ToolCall] | None
        parsed: Any

    class Choice(Fields):
        index: int
        message: Message
        delta: Message
        finish_reason: str | None
        logprobs: Any

    class Model(JSONObject):
        object: str
        owned_by: str | None

    class ModelList(list[Model]):
        data: list[Model]


class Completion(JSONObject):
    """A whole answer, however it came, with short ways to its first choice.

    ``request_id`` (a str or ``None``) and ``headers`` (a case-insensitive mapping) are
    those of the HTTP answer.  They are attributes and not keys.
    """

    request_id: str | None = None
    headers: Mapping[str, str] = http.client.HTTPMessage()  # type: ignore[assignment]

    def _set_headers(self, headers: Mapping[str, str]) -> None:
        # Past __setattr__, which would add keys to the dict.
        vars(self).update(headers=headers, request_id=headers.get("x-request-id"))

    @property
    def _request_id(self) -> str | None:
        """The OpenAI SDK's name for ``request_id``."""
        return self.request_id

    @property
    def message(self) -> Message:
        """The first choice's message, ready for ``messages``; ``None`` if none."""
        return self.choices[0].message if self.choices else None  # type: ignore

    @property
    def text(self) -> str:
        """The first choice's text, its parts joined; ``""`` if it has none."""
        return _text_of(self.message.content) if self.message else ""

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The first choice's tool calls; an empty list if it has none."""
        calls = self.message.tool_calls if self.message else None
        return calls if isinstance(calls, list) else []

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended: ``"stop"``, ``"length"``, ``"tool_calls"`` …"""
        reason = self.choices[0].finish_reason if self.choices else None
        return reason if _says_finished(reason) else None

    def json(self) -> Any:
        """The text parsed as JSON; a Markdown fence around it is taken off.

        Raises `ResponseError`, with the text as ``body``, if it is not JSON.
        """
        text = self.text
        account = _Account()
        account.take_content(len(text))
        try:
            return _decode_json(without_fence(text), account)
        except (ValueError, _Failure) as error:
            why = unfinished_reason(self)
            message = "the text is not JSON (%s)%s: %r" % (
                error,
                "; " + why if why else "",
                _cut(text, MAX_QUOTED_LENGTH),
            )
            raise ResponseError(message, text) from None


def _text_of(content: Any) -> str:
    """The text of a message's or a delta's content, which may come as parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict) and content:  # structured output, already parsed
        return json.dumps(content, ensure_ascii=False)
    if not isinstance(content, list):
        return ""
    texts = []
    for part in content:
        if not isinstance(part, dict):
            texts.append(part)  # some servers list bare strings
        elif part.get("type") in ("text", "", None):
            texts.append(part.get("text"))
    return "".join(text for text in texts if isinstance(text, str))


def _says_finished(reason: Any) -> bool:
    """Whether a finish_reason is set.  Some servers send "" or "null" until it is."""
    return isinstance(reason, str) and reason not in ("", "null")


# The words in which servers say that an answer reached the limit of tokens.
_LIMIT_REASONS = ("length", "max_tokens")
# Those in which they say that it is whole.
_WHOLE_REASONS = (
    "stop",
    "tool_calls",
    "function_call",
    "eos",
    "end_turn",
    "stop_sequence",
    "tool_use",
    "complete",
    "completed",
    "done",
)


def unfinished_reason(completion: Completion) -> str:
    """Why the text may not be all of the answer, or "" if nothing says so."""
    refusal = completion.message.refusal if completion.message else None
    if refusal:
        return "the model refused: " + _cut(str(refusal), MAX_QUOTED_LENGTH)
    reason = completion.finish_reason or ""
    if not reason or reason.lower() in _WHOLE_REASONS:
        return ""
    end = _cut(reason, MAX_QUOTED_LENGTH)
    return _cut_off_reason(reason) or "the answer ended early: " + end


def _cut_off_reason(finish_reason: Any) -> str:
    """What cut off the answer, or "" if the finish_reason does not say so."""
    reason = str(finish_reason).lower()
    if reason in _LIMIT_REASONS:
        return "the answer was cut off at the limit of tokens"
    if reason == "content_filter":
        return "the answer was cut off by a content filter"
    return ""


def without_fence(text: str) -> str:
    """The text inside of a Markdown code fence, if it stands in one."""
    text = text.strip()
    fence = re.match("`{3,}|~{3,}", text)
    if fence is None or not text.endswith(fence.group()):
        return text
    size = fence.end()
    first_line, _, rest = text[size:-size].partition("\n")
    return rest if re.match(r"\s*[A-Za-z0-9]*\s*\Z", first_line[:50]) else text


class _Account:
    """What one answer may take.  All that grows with what a server sends draws on it.

    The work that an answer makes is linear in its bytes.  What it takes in memory is
    bounded by `MAX_JSON_MEMORY` and `MAX_JSON_GROWTH`.
    """

    def __init__(self, max_wire_bytes: int | None = None) -> None:
        self._max_wire_bytes = max_wire_bytes or MAX_WIRE_BYTES
        self._wire_bytes = 0  # with HTTP's framing
        self._content_bytes = 0  # unpacked
        self._memory = 0  # of what is kept of the content, beside its texts

    def take_wire(self, count: int) -> None:
        """So many bytes have come from the network."""
        self._wire_bytes += count
        if self._wire_bytes > self._max_wire_bytes:
            raise self._exceeded("is larger than %d bytes" % self._max_wire_bytes)

    def take_content(self, count: int) -> None:
        """So many bytes are there, without framing and compression."""
        self._content_bytes += count
        if self._content_bytes > MAX_ANSWER_BYTES:
            raise self._exceeded("is larger than %d bytes" % MAX_ANSWER_BYTES)

    def check_room(self, memory: int) -> None:
        """Raise if there is no room for so many bytes of memory."""
        room = MAX_JSON_MEMORY + MAX_JSON_GROWTH * self._content_bytes
        if self._memory + memory > room:
            raise self._exceeded("has more items than fit its limit of memory")

    def keep(self, memory: int) -> None:
        """So many bytes of memory are taken until the end."""
        self.check_room(memory)
        self._memory += memory

    @staticmethod
    def _exceeded(what: str) -> _Failure:
        return _Failure(ResponseError, "the answer " + what)


# What JSON takes in memory at most, in bytes: an object, a list, a field, an item.
_JSON_COSTS = {"{": 256, "[": 80, ":": 150, ",": 60}


def _json_memory(text: str) -> int:
    """How much memory the values of a JSON text may take, beside the text's own."""
    return sum(cost * text.count(sign) for sign, cost in _JSON_COSTS.items())


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


# NaN and Infinity are not JSON (RFC 8259 § 6); as null they can be sent back.
_DECODER: Any = json.JSONDecoder(
    object_hook=JSONObject, parse_float=_finite, parse_constant=lambda name: None
)
# A text below this many characters cannot take much memory, nor be deep enough to harm.
_SMALL_JSON = 10_000


def _decode_json(text: str, account: _Account | None = None, after: str = "") -> Any:
    """The value of a JSON text (RFC 8259).

    *account*: must have room for the value; `_Failure` if it has not.  *after*: how
    text begins that may follow.  Raises ``ValueError`` if it is not JSON.
    """
    text = text.lstrip("\ufeff \t\r\n")
    if account is not None and len(text) > _SMALL_JSON:
        text_memory = len(text) if text.isascii() else 4 * len(text)
        account.check_room(text_memory + _json_memory(text))
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if end != len(text):
        rest = text[end:].strip()
        if rest and not (after and rest.startswith(after)):
            raise json.JSONDecodeError("Extra data", text, end)
    is_flat = text.count("[") + text.count("{") <= MAX_JSON_DEPTH
    if not is_flat and _is_deeper(value, MAX_JSON_DEPTH):
        raise ValueError("it is nested deeper than %d levels" % MAX_JSON_DEPTH)
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested in more than so many levels."""
    layer = [value]
    for _ in range(levels):
        layer = [
            item
            for holder in layer
            if isinstance(holder, (dict, list))
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return any(isinstance(item, (dict, list)) for item in layer)


def _read_error_body(text: str, account: _Account) -> tuple[Any, str]:
    """What to keep of an error's body, and the sentence in it."""
    try:
        body = _decode_json(text, account)
    except (ValueError, _Failure):  # not JSON, or too much of it
        return text or None, _page_title(text)
    return body, _error_words(body) or json.dumps(body, ensure_ascii=False)


def _has_halves(text: str) -> bool:
    """Whether a JSON text may hold halves of surrogate pairs: only escapes can."""
    return "\\ud" in text or "\\uD" in text


def _mend(value: Any) -> Any:
    """The value, changed in place: halves that met are joined, U+FFFD for others."""
    if isinstance(value, str):
        if value.isascii() or not re.search("[\ud800-\udfff]", value):
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        for name in list(value):
            item = _mend(value.pop(name))
            value[_mend(name)] = item
    elif isinstance(value, list):
        for position, item in enumerate(value):
            value[position] = _mend(item)
    return value


def _parse_completion(text: str, account: _Account) -> Completion:
    """A whole answer; `_Failure` if the text is not one."""
    try:
        value = _decode_json(text, account, after="data: [DONE]")
    except ValueError as error:
        raise _not_a_completion(str(error), text) from None
    _raise_if_error(value)
    if not _checked_choices(value, "message"):
        raise _Failure(ResponseError, "the answer has no choice", body=value)
    if _has_halves(text):
        _mend(value)
    completion = Completion(value)
    for choice in completion["choices"]:
        if choice.get("message") is not None:
            _complete_message(choice["message"])
    _lift_usage(completion)
    return completion


def _not_a_completion(reason: str, text: str) -> _Failure:
    message = "not a chat completion (%s)" % reason
    return _Failure(ResponseError, message, _page_title(text), text)


def _raise_if_error(value: Any) -> None:
    """Raise `_Failure` if an answer or a chunk is an error in disguise."""
    failure = _reported_failure(value)
    if failure is not None:
        raise failure


def _reported_failure(value: Any) -> _Failure | None:
    """The failure that an answer or a chunk reports, or ``None``."""
    if isinstance(value, list) and value:
        value = value[0]
    error = _reported_error(value) if isinstance(value, dict) else None
    if not error:
        return None
    words = _error_words(error) or json.dumps(error)
    body = value
    if _error_object(value) is not error:  # it stands in a choice
        body = dict(value, error=error)
    code = str(_error_fields(body).get("code"))
    return _Failure(ResponseError, "the service reported", words, body, reason=code)


def _reported_error(value: dict[str, Any]) -> Any:
    """The error in an answer or a chunk, in the shapes that are seen; else ``None``."""
    if value.get("error"):
        return _error_object(value)
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        if choice.get("error") and isinstance(choice["error"], (str, dict)):
            return choice["error"]
        if choice.get("finish_reason") == "error":
            return _error_without_name(value) or "no reason was given"
    return None if choices else _error_without_name(value)


def _error_without_name(value: dict[str, Any]) -> Any:
    """The error in an answer that has none under "error"."""
    error = _error_object(value)
    if error is not value and not _says_success(error):
        return error
    if value.get("object") == "error" or value.get("detail"):
        return value
    named = (value.get(name) for name in ("message", "error_msg", "msg", "reason"))
    is_said = any(isinstance(words, str) and words for words in named)
    return value if is_said else None


def _says_success(error: Any) -> bool:
    """Whether a "base_resp" says that there is no error."""
    return isinstance(error, dict) and error.get("status_code") == 0


def _checked_choices(value: Any, holder: str) -> list[Any]:
    """What stands under "choices"; `_Failure` unless all of it are choices.

    *holder*: the field of a choice that holds its content, "message" or "delta".
    """
    if not isinstance(value, JSONObject):
        raise _malformed("not a JSON object", value)
    choices = value.choices
    if not isinstance(choices, list):
        raise _malformed("choices is not an array", value)
    for choice in choices:
        if not _is_choice(choice, holder):
            raise _malformed("a choice is malformed", value)
    return choices


def _malformed(reason: str, value: Any) -> _Failure:
    return _not_a_completion(reason, json.dumps(value))


def _is_choice(choice: Any, holder: str) -> bool:
    if not isinstance(choice, JSONObject):
        return False
    content = choice.get(holder)
    if holder == "delta" and content == []:
        return True  # see JSONObject.delta
    return content is None or isinstance(content, JSONObject)


def _complete_message(message: JSONObject) -> None:
    """Fill in what a message needs to be sent back: role, content, calls."""
    if not isinstance(message.get("role"), str) or not message["role"]:
        message["role"] = "assistant"
    if "content" in message:
        message["content"] = _content_to_send(message["content"])
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            _complete_call(call)


def _content_to_send(content: Any) -> Any:
    """A message's content in the form that requests have; anything else is dropped."""
    if isinstance(content, (str, dict)):
        return _text_of(content)
    if not isinstance(content, list):
        return None
    parts: list[Any] = []
    for part_type, group in itertools.groupby(content, type):
        if part_type is str:  # some servers list bare strings
            parts.append(JSONObject(type="text", text="".join(group)))
        elif part_type is JSONObject:
            parts += map(_part_with_type, group)
    return parts


def _part_with_type(part: JSONObject) -> JSONObject:
    if not isinstance(part.get("type"), str) or not part["type"]:
        part["type"] = "text"
    return part


def _complete_call(call: dict[str, Any]) -> None:
    """Fill in what a tool call needs to be answered: id, type, arguments."""
    if call.get("id") in (None, ""):
        call["id"] = _new_call_id()
    if call.get("type") in (None, ""):
        call["type"] = "function"
    function = call.get("function")
    if isinstance(function, dict):
        function["arguments"] = _arguments_text(function.get("arguments")) or "{}"


def _new_call_id() -> str:
    """An id for a tool call whose server gave it none, so that its result has one."""
    return "call_" + os.urandom(12).hex()


def _arguments_text(arguments: Any) -> Any:
    """Arguments as the JSON text that the API promises; some servers send an object."""
    if isinstance(arguments, (dict, list)) and arguments:
        return json.dumps(arguments, ensure_ascii=False)
    return arguments


def _lift_usage(completion: Completion) -> None:
    """Give the completion the usage that some servers put in another place."""
    if completion.get("usage"):
        return
    for place in (completion.get("x_groq"), *completion["choices"][-1:]):
        usage = place.get("usage") if isinstance(place, dict) else None
        if isinstance(usage, dict):
            completion["usage"] = _copied(usage)


# ------------------------------------------------------------------------------ rules
#
# A rule is a function of a name and a value.  It returns if the value is allowed, and
# raises TypeError or ValueError if it is not.  The message has the name, the value and
# what is allowed.


class NotGiven:
    """The type of `NOT_GIVEN`, which means "not sent" wherever a parameter stands."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


class Omit(NotGiven):
    """The type of `omit`, the OpenAI SDK's newer name for the same."""


NOT_GIVEN: Any = NotGiven()
omit: Any = Omit()


def _is_given(value: Any) -> bool:
    return value is not None and not isinstance(value, NotGiven)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without those that mean "not sent"."""
    return {name: value for name, value in values.items() if _is_given(value)}


def _quote(value: Any) -> str:
    """The value as it would be written in Python, cut to a bound."""
    if isinstance(value, (str, bytes)):
        value = value[: MAX_QUOTED_LENGTH + 1]
    try:
        return _cut(repr(value), MAX_QUOTED_LENGTH)
    except Exception:  # nested too deep, or an object whose __repr__ fails
        return "this " + type(value).__name__


def _wrong_type(name: str, value: Any, allowed: str) -> TypeError:
    return TypeError("%s must be %s, not %s" % (name, allowed, _quote(value)))


def _wrong_value(name: str, value: Any, allowed: str, hint: str = "") -> ValueError:
    return ValueError("%s must be %s, not %s%s" % (name, allowed, _quote(value), hint))


def _type_name(value: Any) -> str:
    return type(value).__name__


def _instance_of(
    expected: type, allowed: str, shown: Callable[[Any], str] = _quote
) -> Rule:
    """A rule for values of a type; *shown*: what a message shows of another value."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, expected):
            raise TypeError("%s must be %s, not %s" % (name, allowed, shown(value)))

    return check


_string = _instance_of(str, "a string")
_secret_string = _instance_of(str, "a string", _type_name)
_boolean = _instance_of(bool, "True or False")
_object = _instance_of(dict, "a dict")
_secret_object = _instance_of(dict, "a dict", _type_name)


def _nonempty(name: str, value: Any) -> None:
    _string(name, value)
    if not value:
        raise ValueError("%s must not be empty" % name)


def _number(low: float, high: float, hint: str = "") -> Rule:
    """A rule for numbers; *hint*: what to do with one that is out of range."""

    def check(name: str, value: Any) -> None:
        allowed = "a number from %s to %s" % (low, high)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise _wrong_type(name, value, allowed)
        if not low <= value <= high:  # NaN is neither
            raise _wrong_value(name, value, allowed, hint)

    return check


def _integer(low: int, hint: str = "") -> Rule:
    """A rule for integers; *hint*: see `_number`."""

    def check(name: str, value: Any) -> None:
        allowed = "an integer of at least %d" % low
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(name, value, allowed)
        if value < low:
            raise _wrong_value(name, value, allowed, hint)

    return check


def _one_of(*allowed: str) -> Rule:
    def check(name: str, value: Any) -> None:
        names = "one of " + ", ".join(map(repr, allowed))
        if not isinstance(value, str):
            raise _wrong_type(name, value, names)
        if value not in allowed:
            raise _wrong_value(name, value, names)

    return check


def _pattern(pattern: str, allowed: str) -> Rule:
    def check(name: str, value: Any) -> None:
        _string(name, value)
        if not re.match(pattern + r"\Z", value):
            raise _wrong_value(name, value, allowed)

    return check


def _optional(rule: Rule) -> Rule:
    def check(name: str, value: Any) -> None:
        if value is not None:
            rule(name, value)

    return check


def _list_of(rule: Rule) -> Rule:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, (list, tuple)):
            raise _wrong_type(name, value, "a list")
        for position, item in enumerate(value):
            rule("%s[%d]" % (name, position), item)

    return check


def _string_or_list_of(rule: Rule, allowed: str) -> Rule:
    def check(name: str, value: Any) -> None:
        if isinstance(value, str):
            return
        if not isinstance(value, (list, tuple)):
            raise _wrong_type(name, value, allowed)
        _list_of(rule)(name, value)

    return check


def _check_fields(
    name: str, value: Any, rules: Mapping[str, Rule], needed: Sequence[str] = ()
) -> None:
    """Check a dict by rules for its fields; other fields and ``None`` pass."""
    _object(name, value)
    for field in needed:
        if value.get(field) in (None, ""):
            raise ValueError("%s needs %r, which is missing or empty" % (name, field))
    for field, rule in rules.items():
        if value.get(field) is not None:
            rule("%s.%s" % (name, field), value[field])


_FUNCTION_RULES = {
    "name": _nonempty,
    "description": _string,
    "parameters": _object,
    "strict": _boolean,
}
_JSON_SCHEMA_RULES = {
    "name": _pattern("[A-Za-z0-9_-]{1,64}", "1 to 64 of A-Z a-z 0-9 _ -"),
    "schema": _object,
    "strict": _boolean,
    "description": _string,
}
_JSON_FORMAT_RULES = {"schema": _object, "name": _string, "description": _string}
_PROVIDER_RULES = {"allow_fallbacks": _boolean}


def _function(name: str, value: Any) -> None:
    _check_fields(name, value, _FUNCTION_RULES, needed=["name"])


def _tool(name: str, value: Any) -> None:
    """Check the definition of a function.  Other tools pass unchecked."""
    _check_fields(name, value, {"type": _string})
    kind = value.get("type")
    if kind == "function" or (kind is None and "function" in value):
        _check_fields(name, value, {"function": _function}, needed=["function"])


def _tool_choice(name: str, value: Any) -> None:
    if isinstance(value, str):
        # "any" is what Mistral's own API calls "required".
        _one_of("auto", "none", "required", "any")(name, value)
    elif not isinstance(value, dict):
        raise _wrong_type(name, value, "a string or a dict")
    elif value.get("type") == "function":
        _check_fields(name, value, {"function": _function}, needed=["function"])


def _provider(name: str, value: Any) -> None:
    _check_fields(name, value, _PROVIDER_RULES)


def _response_format(name: str, value: Any) -> None:
    """One of the forms that the API defines; other types pass."""
    _check_fields(name, value, {"type": _nonempty}, needed=["type"])
    if value["type"] == "json":
        _check_fields(name, value, _JSON_FORMAT_RULES)
    elif value["type"] == "json_schema":
        _check_fields(name, value, {"json_schema": _object}, needed=["json_schema"])
        form = value["json_schema"]
        _check_fields(name + ".json_schema", form, _JSON_SCHEMA_RULES, needed=["name"])
        if form.get("schema") is None:
            raise ValueError("%s.json_schema needs 'schema'" % name)


def _part(name: str, value: Any) -> None:
    _check_fields(name, value, {"type": _string}, needed=["type"])


_content = _string_or_list_of(_part, "a string or a list of parts")


def _message(name: str, value: Any) -> None:
    _check_fields(name, value, {"role": _string, "content": _content}, needed=["role"])
    spoken_to = value["role"] in ("system", "developer", "user", "tool")
    if spoken_to and value.get("content") is None:
        raise ValueError("%s needs a 'content'" % name)


_ANY_VALUE = "; extra_body={…} sends any value"
_REQUEST_RULES: dict[str, Rule] = {
    "model": _nonempty,
    "stream": _boolean,
    "temperature": _number(0, 2, _ANY_VALUE),
    "max_tokens": _integer(1, _ANY_VALUE),
    "top_p": _number(0, 1, _ANY_VALUE),
    "frequency_penalty": _number(-2, 2, _ANY_VALUE),
    "presence_penalty": _number(-2, 2, _ANY_VALUE),
    "stop": _string_or_list_of(_string, "a string or a list of strings"),
    "tools": _list_of(_tool),
    "tool_choice": _tool_choice,
    "provider": _provider,
    "response_format": _response_format,
}


def _check_json(name: str, value: Any, levels: int = MAX_JSON_DEPTH) -> None:
    """Check that JSON can hold the value (RFC 8259 § 4, 6, 8.1), and how deep it is."""
    if isinstance(value, str):
        if not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise ValueError("%s holds half a surrogate pair, which is not text" % name)
    elif isinstance(value, (dict, list, tuple)):
        if levels == 0:
            raise ValueError("%s is nested too deeply, or contains itself" % name)
        if isinstance(value, dict):
            _check_fields_of(name, value, levels)
        else:
            for position, item in enumerate(value):
                _check_json("%s[%d]" % (name, position), item, levels - 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _wrong_value(name, value, "a finite number")
    elif value is not None and not isinstance(value, int):
        allowed = "JSON (dict, list, str, finite number, bool or None)"
        raise _wrong_type(name, value, allowed)


def _check_fields_of(name: str, value: dict[Any, Any], levels: int) -> None:
    for key, item in value.items():
        _check_name(name, key)
        _check_json("%s.%s" % (name, key), item, levels - 1)


def _check_name(holder: str, name: Any) -> None:
    """Check the name of a field; json makes strings of the other types."""
    if not isinstance(name, (str, int, float, type(None))):
        raise _wrong_type("a name in " + holder, name, "a string")
    _check_json("a name in " + holder, name)


# --------------------------------------------------------------------------- messages


def system(text: str) -> dict[str, Any]:
    """A system message: instructions for the whole conversation."""
    _string("text", text)
    return {"role": "system", "content": text}


def user(*parts: str | dict[str, Any]) -> dict[str, Any]:
    """A user message: one text, or several texts and parts in any order.

    *parts*: str, or what `image`, `pdf`, `audio`, `video` and `attach` give.
    """
    if not parts:
        raise ValueError("user() needs a text or a part")
    if len(parts) == 1 and isinstance(parts[0], str):
        return {"role": "user", "content": parts[0]}
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        elif isinstance(part, dict):
            content.append(part)
        else:
            raise _wrong_type(
                "a part of user()",
                part,
                "a string or a part (for a file or bytes: image(…), attach(…))",
            )
    return {"role": "user", "content": content}


def assistant(text: str) -> dict[str, Any]:
    """An assistant message: what the model said, or is to be taken to have said."""
    _string("text", text)
    return {"role": "assistant", "content": text}


def tool_result(tool_call_id: str, content: Any) -> dict[str, Any]:
    """The message that answers a tool call.

    *tool_call_id*: the ``id`` of the call.  *content*: any JSON value: a str is sent as
    it is, a list of parts as parts, everything else as JSON text.
    """
    if tool_call_id in (None, ""):
        raise ValueError(
            "tool_call_id must be the id of the call that this answers, not %r: take "
            "call.id of a call in completion.tool_calls, where each has one"
            % (tool_call_id,)
        )
    _string("tool_call_id", tool_call_id)
    if not isinstance(content, str) and not _is_list_of_parts(content):
        _check_json("content", content)
        content = json.dumps(content, ensure_ascii=False)
    return {"role": "tool", "tool_call_id": tool_call_id, "content": content}


_PART_TYPES = ("text", "image_url", "input_audio", "file", "video_url", "refusal")


def _is_list_of_parts(value: Any) -> bool:
    """Whether it is content in parts, and no list of a tool's own records."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(it, dict) and it.get("type") in _PART_TYPES for it in value)


def json_schema(
    schema: Mapping[str, Any],
    name: str = "response",
    *,
    strict: bool = True,
    description: str | None = None,
) -> dict[str, Any]:
    """A ``response_format`` that asks for an answer by a JSON Schema.

    *name*: 1 to 64 of ``A-Z a-z 0-9 _ -``.
    """
    form = {"name": name, "schema": schema, "strict": strict}
    if description is not None:
        form["description"] = description
    response_format = {"type": "json_schema", "json_schema": form}
    _response_format("json_schema()", response_format)
    return response_format


# ------------------------------------------------------------------------ attachments


def image(
    source: Source, *, detail: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """An image part: PNG, JPEG, GIF or WebP.

    *source*, here and in the other helpers: a path, bytes, an open binary file, or an
    ``http(s):`` or ``data:`` URL.  A URL is passed on and never fetched.  *detail*:
    ``"auto"``, ``"low"`` or ``"high"``.  *media_type* overrides what the content or the
    name says.  Raises ``OSError`` for what cannot be read, and ``ValueError`` or
    ``TypeError`` for what the part cannot hold.
    """
    if detail is not None:
        _one_of("auto", "low", "high")("detail", detail)
    return _build_image(_typed("image", source, media_type), detail)


def pdf(
    source: Source, *, filename: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """A PDF part.  *source*: see `image`.  *filename*: what the model is told."""
    if filename is not None:
        _string("filename", filename)
    return _build_file(_typed("pdf", source, media_type), filename)


def audio(
    source: Source, *, format: str | None = None, media_type: str | None = None
) -> dict[str, Any]:
    """An audio part: WAV or MP3, never a URL.  *source*: see `image`.

    *format*: ``"wav"`` or ``"mp3"``, overrides what the content says.
    """
    if format is not None:
        _one_of("wav", "mp3")("format", format)
        media_type = "audio/" + format
    return _build_audio(_typed("audio", source, media_type))


def video(source: Source, *, media_type: str | None = None) -> dict[str, Any]:
    """A video part: MP4, MPEG, QuickTime or WebM.  *source*: see `image`."""
    return _build_video(_typed("video", source, media_type))


def attach(source: Source, *, media_type: str | None = None) -> dict[str, Any]:
    """The part that fits what *source* (see `image`) is.

    An image, PDF, audio, video or document, or for a text file a text part that names
    it.
    """
    content = _load("attach", source)
    if not content.url and not content.data and not content.name:
        raise content.error("empty")
    _set_type(content, media_type)
    if content.is_text():
        return _build_text(content)
    if not content.type:
        reason = "of no known type"
        if not content.url:
            reason += ", and not UTF-8 text"
        raise content.wrong_type(reason)
    _check_type(content, content.family())
    if content.family() == "image":
        return _build_image(content, None)
    if content.family() == "audio":
        return _build_audio(content)
    if content.family() == "video":
        return _build_video(content)
    return _build_file(content, None)


_ACCEPTED_TYPES = {  # by the kind of part
    "image": ("image/png", "image/jpeg", "image/gif", "image/webp"),
    "pdf": ("application/pdf",),
    "audio": ("audio/wav", "audio/mpeg"),
    "video": ("video/mp4", "video/mpeg", "video/quicktime", "video/webm"),
}
_TYPE_ALIASES = {  # other spellings, which some systems write
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "application/x-pdf": "application/pdf",
}
_OPENXML = "application/vnd.openxmlformats-officedocument."
# By the ending of a name: the system's own table differs from machine to machine.
_TYPES_BY_ENDING = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".pdf": "application/pdf",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel",
    ".ppt": "application/vnd.ms-powerpoint",
    ".docx": _OPENXML + "wordprocessingml.document",
    ".xlsx": _OPENXML + "spreadsheetml.sheet",
    ".pptx": _OPENXML + "presentationml.presentation",
    ".epub": "application/epub+zip",
    ".rtf": "application/rtf",
}
# What a file's first bytes say, the first that matches; "." stands for any byte.
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"%PDF-", "application/pdf"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"ID3[\x02-\x04]", "audio/mpeg"),
    # A frame header of MPEG audio, layer III.
    (rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x00-\xef]", "audio/mpeg"),
    # ISO base media: the "brand" after ftyp says which.
    (rb"\x00...ftyp(avif|avis)", "image/avif"),
    (rb"\x00...ftyp(hei|hev|mif1|msf1)", "image/heic"),
    (rb"\x00...ftyp(M4A|M4B)", "audio/mp4"),
    (rb"\x00...ftypqt", "video/quicktime"),
    (rb"\x00...ftyp", "video/mp4"),
    (rb"\x00...(moov|wide|mdat|free)", "video/quicktime"),
    (rb"\x00\x00\x01[\xba\xb3]", "video/mpeg"),
    (rb"\x1a\x45\xdf\xa3.{0,60}webm", "video/webm"),
    (rb"\x1a\x45\xdf\xa3", "video/x-matroska"),
)


def decode_text(data: bytes, encoding: str) -> str | None:
    """The text in a file: UTF-16 after a byte order mark, else in this encoding.

    ``None`` if it is not text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


class _Content:
    """A loaded source: where it is or what it holds, and what is known of its type."""

    def __init__(self, helper: str) -> None:
        self.helper = helper  # the function that was called, for messages
        self.name = ""  # the file's name, without its folder
        self.url = ""  # of a link, which is passed on; everything else has data
        self.data = ""  # in base64
        self.claim = ""  # the type that a data: URL names
        self.type = ""  # what _set_type() made of all that
        self.is_given = False  # the caller named the type

    def error(self, reason: str) -> ValueError:
        what = repr(_printable(self.name)) if self.name else "the source"
        return ValueError("%s: %s is %s" % (self.helper, what, reason))

    def wrong_type(self, reason: str) -> ValueError:
        example = _ACCEPTED_TYPES.get(self.helper, ("image/png",))[0]
        advice = "media_type=%r, or FILE;type=%s in the command" % (example, example)
        return self.error("%s (to override that: %s)" % (reason, advice))

    def family(self) -> str:
        """The kind of part that the type asks for."""
        if self.type == "application/pdf":
            return "pdf"
        return self.type.partition("/")[0]

    def head(self) -> bytes:
        return binascii.a2b_base64(self.data[:128])

    def is_text(self) -> bool:
        """Whether it has data that go as text: of no other type, and decodable."""
        if self.url or (self.type and not self.type.startswith("text/")):
            return False
        return self.text() is not None

    def text(self) -> str | None:
        """The data as text, or ``None`` if they are not text."""
        return decode_text(binascii.a2b_base64(self.data), "utf-8-sig")


def _typed(helper: str, source: Any, media_type: str | None) -> _Content:
    """A loaded source whose type fits the helper."""
    content = _load(helper, source)
    if content.url:
        # Nothing is fetched: where a link's name does not tell, the helper's word has
        # to do.
        content.type = _ACCEPTED_TYPES[helper][0]
    _set_type(content, media_type)
    _check_type(content, helper)
    return content


def _set_type(content: _Content, media_type: str | None) -> None:
    """Take the caller's word, else the first bytes, the URL's label, the name."""
    if media_type is not None:
        _pattern(r"[\w.+-]+/[\w.+-]+", "like 'image/png'")("media_type", media_type)
        content.is_given = True
        content.type = _normal_type(media_type)
        return
    by_name = _TYPES_BY_ENDING.get(os.path.splitext(content.name)[1].lower(), "")
    if content.url:
        content.type = by_name or content.type
        return
    found = _type_by_signature(content.head())
    is_container = found in ("video/mp4", "video/quicktime")
    if is_container and "audio/mp4" in (by_name, content.claim):
        found = "audio/mp4"  # the same container; its brand does not always tell
    content.type = found or content.claim or by_name


def _type_by_signature(head: bytes) -> str:
    for signature, media_type in _SIGNATURES:
        if re.match(signature, head, re.DOTALL):
            return media_type
    return ""


def _normal_type(media_type: str) -> str:
    media_type = media_type.lower()
    if media_type in ("audio/m4a", "audio/x-m4a"):
        return "audio/mp4"
    return _TYPE_ALIASES.get(media_type, media_type)


def _check_type(content: _Content, kind: str) -> None:
    """Refuse a content that a part of this kind cannot hold."""
    if content.url and "audio" in (kind, content.family()):
        raise content.error(
            "a URL, but the API takes audio as data only: download it first"
        )
    if not content.url and not content.data:
        raise content.error("empty")
    accepted = _ACCEPTED_TYPES.get(kind)
    if accepted is None or content.type in accepted:  # None: a document
        return
    if not content.type:
        raise content.wrong_type("of no known type")
    if content.is_given and kind == content.family() and kind in ("image", "video"):
        return  # the caller knows what the API has learned
    raise content.wrong_type(
        "%s; the API takes %s" % (_printable(content.type), ", ".join(accepted))
    )


def _build_text(content: _Content) -> dict[str, Any]:
    name = json.dumps(content.name or "text", ensure_ascii=False)
    text = "<file name=%s>\n%s\n</file>" % (name, content.text())
    return {"type": "text", "text": text}


def _build_image(content: _Content, detail: str | None) -> dict[str, Any]:
    image_url = {"url": _data_url(content)}
    if detail is not None:
        image_url["detail"] = detail
    return {"type": "image_url", "image_url": image_url}


def _build_video(content: _Content) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": _data_url(content)}}


def _build_audio(content: _Content) -> dict[str, Any]:
    audio_format = "wav" if content.type == "audio/wav" else "mp3"
    audio = {"data": content.data, "format": audio_format}
    return {"type": "input_audio", "input_audio": audio}


def _build_file(content: _Content, filename: str | None) -> dict[str, Any]:
    filename = filename or content.name
    if not filename:
        endings = (
            end for end, type_ in _TYPES_BY_ENDING.items() if type_ == content.type
        )
        filename = "document" + next(endings, ".bin")
    file = {"filename": filename, "file_data": _data_url(content)}
    return {"type": "file", "file": file}


def _data_url(content: _Content) -> str:
    return content.url or "data:%s;base64,%s" % (content.type, content.data)


def _load(helper: str, source: Any) -> _Content:
    """Read a source.  What its type is, is not decided here."""
    content = _Content(helper)
    if isinstance(source, str) and re.match(r"https?:", source, re.I):
        path = re.split("[?#]", source.partition(":")[2].lstrip("/"))[0]
        content.url = source
        content.name = urllib.parse.unquote(path.partition("/")[2].rpartition("/")[2])
    elif isinstance(source, str) and source[:5].lower() == "data:":
        _load_data_url(content, source)
    elif isinstance(source, (str, os.PathLike)):
        _load_path(content, source)
    elif hasattr(source, "read"):
        _load_file(content, source)
    else:
        _load_bytes(content, source)
    return content


def _load_data_url(content: _Content, url: str) -> None:
    """Take a data: URL (RFC 2397) apart; white space in its data is dropped."""
    head, _, data = url.partition(",")
    data = "".join(data.split())
    is_base64 = head.lower().endswith(";base64") and not len(data) % 4
    if not is_base64 or not re.match(r"[A-Za-z0-9+/]*={0,2}\Z", data):
        raise _wrong_value(
            content.helper + ": a data: URL", url, "data:TYPE/SUBTYPE;base64,…"
        )
    content.data = data
    content.claim = _normal_type(head[5:].partition(";")[0].strip())


def _load_path(content: _Content, path: Any) -> None:
    if os.path.isdir(path):
        shown = _printable(os.fsdecode(path))
        raise ValueError("%s: %r is a directory, not a file" % (content.helper, shown))
    with open(path, "rb") as file:
        _load_file(content, file)


def _load_file(content: _Content, file: Any) -> None:
    if not isinstance(file.read(0), bytes):
        raise _wrong_source(content, file)
    name = getattr(file, "name", "")
    if isinstance(name, (str, bytes)):
        name = os.path.basename(os.fsdecode(name))
        # A name that is not UTF-8 comes with surrogates, which JSON cannot hold.
        content.name = name.encode("utf-8", "surrogateescape").decode(
            "utf-8", "replace"
        )
    content.data = _base64_of_file(file)


def _load_bytes(content: _Content, source: Any) -> None:
    try:
        view = memoryview(source).cast("B")
    except TypeError:
        raise _wrong_source(content, source) from None
    content.data = binascii.b2a_base64(view, newline=False).decode("ascii")


def _wrong_source(content: _Content, source: Any) -> TypeError:
    return TypeError(
        "%s: the source must be a path, bytes, a file opened in binary mode or a URL, "
        "not %s" % (content.helper, type(source).__name__)
    )


def _base64_of_file(file: Any) -> str:
    """What is left of a file in base64; its bytes are never held as a whole."""
    encoded = io.BytesIO()
    rest = b""
    while True:
        block = file.read(BLOCK_BYTES)  # pipes and raw files may give less
        if block is None:
            raise BlockingIOError("a file that does not block has nothing to read yet")
        if not block:
            break
        block = rest + block
        end = len(block) - len(block) % 3  # base64 takes three bytes at a time
        encoded.write(binascii.b2a_base64(block[:end], newline=False))
        rest = block[end:]
    encoded.write(binascii.b2a_base64(rest, newline=False))
    return encoded.getvalue().decode("ascii")


# ---------------------------------------------------------------------------- request


def build_request(
    messages: Messages,
    model: str | None,
    *,
    stream: bool = False,
    extra_body: Mapping[str, Any] | None = None,
    **params: Unpack[BodyParams],
) -> dict[str, Any]:
    """The JSON body of a request: a new plain dict.  The arguments are not changed.

    *stream*: whether the answer is to come in pieces.

    *messages*: a str (one user message) or an iterable of messages: dicts, or objects
    with ``model_dump()``.  Of an assistant's message, what only answers have is left
    out.
    *model*: a str such as ``"anthropic/claude-sonnet-4.5"``.
    *temperature*: 0 to 2.  *top_p*: 0 to 1.  *max_tokens*: 1 or more.
    *frequency_penalty*, *presence_penalty*: -2 to 2.
    *stop*: a text, or several, before which the answer ends.
    *tools*: definitions of functions.
    *tool_choice*: ``"auto"``, ``"none"``, ``"required"``, or a dict that names a
    function.
    *provider*: routing, as in ``{"sort": "price"}``.
    *response_format*: see `json_schema`.
    *n*: how many choices; *seed*; *max_completion_tokens*; *reasoning_effort*;
    *stream_options*, as in ``{"include_usage": True}``: these are not checked.
    *extra_body*: merged into the body at last.

    Any other parameter is sent as it is.  ``None`` and `NOT_GIVEN` mean "not sent",
    except in *extra_body*.  Raises ``ValueError`` or ``TypeError``.
    """
    if model is None or model == "" or isinstance(model, NotGiven):
        raise ValueError(
            "model is missing (%r): pass model=…, or Client(model=…), "
            "or set SIRAYA_MODEL" % (model,)
        )
    listed = _list_of_messages(messages)
    body = _given({"model": model, "messages": listed, "stream": stream, **params})
    for name, rule in _REQUEST_RULES.items():
        if name in body:
            rule(name, body[name])
    if _is_given(extra_body):
        _secret_object("extra_body", extra_body)
        body.update(extra_body or {})
    for name, value in body.items():
        _check_name("the body", name)
        _check_json(name, value)
    return body


def _list_of_messages(messages: Any) -> list[Any]:
    """The messages as they are sent."""
    if isinstance(messages, str):
        return [user(messages)]
    if isinstance(messages, dict):
        raise TypeError("messages must be a list: write [message] for a single one")
    if isinstance(messages, (bytes, bytearray)) or not hasattr(messages, "__iter__"):
        raise _wrong_type("messages", messages, "a string or a list of messages")
    listed = list(map(_as_dict, messages))
    if not listed:
        raise ValueError("messages must not be empty")
    _list_of(_message)("messages", listed)
    return [_to_send_back(it) if it["role"] == "assistant" else it for it in listed]


def _as_dict(message: Any) -> Any:
    """A message as a dict; objects such as pydantic's can make one of themselves."""
    if isinstance(message, dict) or not hasattr(message, "model_dump"):
        return message
    fields = message.model_dump()
    if not isinstance(fields, dict):
        raise _wrong_type("a message's model_dump()", fields, "a dict")
    return {name: value for name, value in fields.items() if value is not None}


def _to_send_back(message: dict[str, Any]) -> dict[str, Any]:
    """A copy of an assistant's message as strict servers take it.

    It lacks what only answers have: null fields, and those that are made of the others.
    """
    kept = {}
    for name, value in message.items():
        is_empty = value is None or (name == "tool_calls" and not value)
        if not is_empty and name not in ("parsed", "annotations"):
            kept[name] = value
    if "tool_calls" in kept and "content" in message:  # some servers ask for the null
        kept["content"] = message["content"]
    audio = kept.get("audio")
    if isinstance(audio, dict) and audio.get("id"):
        kept["audio"] = {"id": audio["id"]}  # the user keeps the sound
    return kept


if TYPE_CHECKING:

    class BodyParams(TypedDict, total=False):
        """The parameters of `build_request`: see there.

        At run time any other one passes; for type checkers it goes in extra_body.
        """

        temperature: float | None
        max_tokens: int | None
        top_p: float | None
        frequency_penalty: float | None
        presence_penalty: float | None
        stop: str | Sequence[str] | None
        tools: Sequence[Mapping[str, Any]] | None
        tool_choice: str | Mapping[str, Any] | None
        provider: Mapping[str, Any] | None
        response_format: Mapping[str, Any] | None
        # Known, and not checked.
        n: int | None
        seed: int | None
        max_completion_tokens: int | None
        reasoning_effort: str | None
        reasoning: Mapping[str, Any] | None
        stream_options: Mapping[str, Any] | None
        usage: Mapping[str, Any] | None
        logprobs: bool | None
        top_logprobs: int | None
        parallel_tool_calls: bool | None
        user: str | None

    class Params(BodyParams, total=False):
        """The parameters of a call: these too are none of its body."""

        extra_body: Mapping[str, Any] | None
        timeout: float | None
        deadline: float | None
        max_retries: int | None
        extra_headers: Mapping[str, str] | None
        extra_query: Mapping[str, Any] | None

    class CreateParams(Params, total=False):
        messages: Required[Messages]
        model: str | None

    class Options(TypedDict, total=False):
        """The settings that `Client.with_options` changes."""

        api_key: str | Callable[[], str] | None
        base_url: str | None
        model: str | None
        timeout: float | None
        connect_timeout: float | None
        max_retries: int
        headers: Mapping[str, str] | None
        default_headers: Mapping[str, str] | None
        ssl_context: ssl.SSLContext | None
        proxy: str | None
        deadline: float | None


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
# What a JSON string carries as it is (RFC 8259 § 7).
_UNESCAPED = bytes(set(range(0x20, 0x100)) - set(b'"\\'))
# Stands for a long string; no text of a request can hold it.
_PLACEHOLDER = "\ud800"


class _RequestBody:
    """A request's body, encoded block by block while it is sent, anew for each attempt.

    Long strings (attachments) stay outside of the JSON and are never copied whole.
    ``length``: its Content-Length.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._long: list[str] = []
        short = _ENCODER.encode(self._without_long_strings(body))
        self._between = short.split(_PLACEHOLDER)
        self.length = sum(map(len, self.blocks()))

    def _without_long_strings(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > BLOCK_BYTES:
            self._long.append(value)
            return _PLACEHOLDER
        if isinstance(value, dict):
            return {
                name: self._without_long_strings(item) for name, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self._without_long_strings(item) for item in value]
        return value

    def blocks(self) -> Iterator[bytes]:
        """The body's bytes."""
        yield self._between[0].encode()
        for long, after in zip(self._long, self._between[1:]):
            for start in range(0, len(long), BLOCK_BYTES):
                block = long[start : start + BLOCK_BYTES].encode()
                if block.translate(None, _UNESCAPED):  # never so for base64
                    block = _ENCODER.encode(block.decode())[1:-1].encode()
                yield block
            yield after.encode()


# ----------------------------------------------------------------------------- events

Event = collections.namedtuple("Event", "event data id retry")
Event.__doc__ = """A Server-Sent Event.

``event``: its type, ``"message"`` by default.  ``data``: a str.  ``id``: the last event
id.  ``retry``: an int of milliseconds, or ``None``.
"""


class SSEParser:
    """An incremental parser of Server-Sent Events, for bytes that are cut at any place.

    It follows WHATWG HTML § 9.2.6.  Its cost is linear in the bytes.
    """

    def __init__(self) -> None:
        self._line = bytearray()  # the beginning of a line whose end has not come
        self._ended_with_cr = False  # a line feed that comes next belongs to that end
        # Until the first line is complete, a byte order mark may come.
        self._encoding = "utf-8-sig"
        self._type = ""  # of the event that is being read, and so the next two
        self._data: list[str] = []
        self._retry: int | None = None
        self._last_id = ""

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """The events that these bytes complete."""
        events: list[Event] = []
        for line in self._complete_lines(data):
            if line.startswith("data: "):  # as most lines do
                self._data.append(line[6:])
            elif line:
                self._take_field(line)
            else:
                self._dispatch(events)
        return events

    def _complete_lines(self, data: bytes | bytearray | memoryview) -> list[str]:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data must be bytes, not %s" % type(data).__name__)
        block = bytes(data)
        if self._ended_with_cr and block:
            self._ended_with_cr = False
            if block.startswith(b"\n"):
                block = block[1:]
        end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
        if not end:
            self._line += block
            return []
        self._ended_with_cr = block.endswith(b"\r")
        lines = block[:end]
        if self._line:
            lines = bytes(self._line) + lines
            self._line.clear()
        self._line += block[end:]
        text = lines.decode(self._encoding, "replace")  # no character is cut
        self._encoding = "utf-8"
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        complete = text.split("\n")
        complete.pop()  # what follows the last line end: nothing
        return complete

    def is_within_data(self) -> bool:
        """Whether a message's data has begun whose blank line has not come."""
        if self._type not in ("", "message", "error"):
            return False
        if self._data and self._data[-1][:99].strip():
            return True
        name, _, data = bytes(self._line[:99]).partition(b":")
        return name.endswith(b"data") and bool(data.strip())

    def _take_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        if value.startswith(" "):
            value = value[1:]
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._last_id = value
        elif name == "retry" and re.match(r"[0-9]{1,1000}\Z", value):
            self._retry = int(value)

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            event_type = self._type or "message"
            data = "\n".join(self._data)
            events.append(Event(event_type, data, self._last_id, self._retry))
        self._type = ""
        self._data = []
        self._retry = None


# ------------------------------------------------------------------------- assembling
#
# A fold: the chunks of a stream become one answer, a chunk at a time.  How the pieces
# of a value are put together is its kind.  Values come as they are said last, objects
# are merged by field, lists by what identifies their items.  _KINDS says which fields
# are of another kind than their values look like.  What is still growing is held in a
# _Collector: add() takes the next piece, value() returns what has arrived.

# Of items without an index: the types whose next item continues the one before.
_CONTINUED_TYPES = ("text", "thinking", "reasoning.text", "reasoning.summary")
# Said once for the whole answer; servers leave them empty in later chunks.
_FIRST_SAID_FIELDS = ("id", "model", "created")
# Fields of a chunk and of a choice that the fold takes by name, or drops.
_CHUNK_FIELDS = ("choices", "object", "obfuscation")
_CHOICE_FIELDS = ("index", "delta", "message", "finish_reason", "obfuscation")
# What a collector takes in memory, in bytes: itself, and what becomes of it at the end.
_COLLECTOR_MEMORY = 1000
# What each piece of a choice, a call or a part counts: so many bytes of memory.  It
# bounds the work that tiny pieces make, which may leave nothing behind.
_PIECE_MEMORY = 400


class _Collector:
    """A value that comes in pieces.  A piece of another type adds nothing."""

    types: tuple[type, ...] = (list,)  # of the piece that it can begin with

    def __init__(self, fold: _Fold) -> None:
        self._fold = fold

    def add(self, piece: Any) -> None:
        raise NotImplementedError

    def value(self) -> Any:
        raise NotImplementedError


def _value_of(kept: Any) -> Any:
    """What has arrived of a field."""
    return kept.value() if isinstance(kept, _Collector) else _copied(kept)


_EMPTY_PART = {"type": "text", "text": ""}


class _Text(_Collector):
    """A text that comes in pieces, or a list of parts whose texts do."""

    types: tuple[type, ...] = (str, list)

    def __init__(self, fold: _Fold) -> None:
        super().__init__(fold)
        self._pieces: list[str] = []
        self._parts: _MergedList | None = None

    def add(self, piece: Any) -> None:
        if isinstance(piece, str):
            if self._parts is None:
                self._pieces.append(piece)
            elif piece:
                self._parts.add([{"type": "text", "text": piece}])
        elif isinstance(piece, list) and piece:
            self._add_parts(piece)
        elif isinstance(piece, dict) and piece:
            self.add(json.dumps(piece, ensure_ascii=False))

    def _add_parts(self, parts: list[Any]) -> None:
        if self._parts is None:
            self._parts = _MergedList(self._fold)
            text = "".join(self._pieces)
            if text:
                self._parts.add([{"type": "text", "text": text}])
        self._parts.add([part for part in parts if part != _EMPTY_PART])

    def value(self) -> Any:
        if self._parts is not None:
            return self._parts.value()
        return "".join(self._pieces)


class _MessageText(_Text):
    """A message's content; an object is its JSON text."""

    types = (str, list, dict)


class _Base64(_Collector):
    """Base64 in pieces, each of which may have padding of its own."""

    types = (str,)

    def __init__(self, fold: _Fold) -> None:
        super().__init__(fold)
        self._pieces: list[str] = []

    def add(self, piece: Any) -> None:
        if isinstance(piece, str):
            self._pieces.append(piece)

    def value(self) -> str:
        contents, texts = [], []
        for piece in self._pieces:
            texts.append(piece)
            if piece.endswith("="):
                contents.append("".join(texts))
                texts = []
        contents.append("".join(texts))
        if len(contents) == 1 or (len(contents) == 2 and not contents[1]):
            return contents[0]  # no padding, or at the end alone
        try:
            decoded = [base64.b64decode(text, validate=True) for text in contents]
        except ValueError:
            return "".join(self._pieces)
        return base64.b64encode(b"".join(decoded)).decode("ascii")


class _Fields(_Collector):
    """An object whose fields come in pieces: they are merged by name.

    *name*: the field that holds the object.  *is_in_choice*: else it stands beside the
    choices, where a list takes the place of the one before, and nothing grows but what
    stands there by itself.
    """

    types = (dict,)

    def __init__(self, fold: _Fold, name: str = "", is_in_choice: bool = True) -> None:
        super().__init__(fold)
        self.fields: dict[str, Any] = {}
        self._name = name
        self._is_in_choice = is_in_choice

    def add(self, piece: Any) -> None:
        for name, value in piece.items() if isinstance(piece, dict) else ():
            known = self.fields.get(name)
            if isinstance(known, _Collector):
                known.add(value)
            elif name not in self.fields or value not in (None, known):
                self.fields[name] = self._begin(name, value)

    def _begin(self, name: str, value: Any) -> Any:
        """What is kept of a field that has not begun to grow."""
        if name not in self.fields or isinstance(value, list):
            self._fold.grow()
        # What follows an empty object or list says what it is.
        is_known = bool(value) or value == ""
        collector = self._collector_for(name, value) if is_known else None
        if collector is None:
            return value
        self._fold.keep(_COLLECTOR_MEMORY)
        collector.add(value)
        return collector

    def _collector_for(self, name: str, value: Any) -> _Collector | None:
        """The collector of a field's kind; ``None``: it is kept as it is said last."""
        if self._name == "logprobs" and isinstance(value, list):
            return _Tokens(self._fold)
        kind = _KINDS.get("%s.%s" % (self._name, name)) or _KINDS.get(name)
        if kind is None or not isinstance(value, kind.types):
            kind = _JoinedList  # if it is a list at all
        if isinstance(value, dict) and kind is not _MessageText:
            return _Fields(self._fold, name, self._is_in_choice)
        if not isinstance(value, kind.types):
            return None
        is_text_at_top = issubclass(kind, _Text) and not self._name
        if self._is_in_choice or is_text_at_top or kind is _Tokens:
            return kind(self._fold)
        return None

    def value(self) -> JSONObject:
        return JSONObject((name, _value_of(kept)) for name, kept in self.fields.items())


class _Tokens(_Collector):
    """A list to which each piece adds its items, equal ones too."""

    def __init__(self, fold: _Fold) -> None:
        super().__init__(fold)
        self._items: list[Any] = []

    def add(self, piece: Any) -> None:
        if isinstance(piece, list) and piece:
            self._fold.grow()
            self._items += piece

    def value(self) -> list[Any]:
        return list(self._items)


class _JoinedList(_Collector):
    """A list of which nothing is known: each piece adds the items that are new.

    A piece that begins with all that came before takes its place.
    """

    def __init__(self, fold: _Fold) -> None:
        super().__init__(fold)
        self._items: list[Any] = []
        self._known: set[int] = set()  # what tells the first items apart ...
        self._known_count = 0  # ... so many of them

    def add(self, piece: Any) -> None:
        if not isinstance(piece, list) or not piece:
            return
        self._fold.grow()
        size = len(self._items)
        if len(piece) >= size and piece[:size] == self._items:
            self._items += piece[size:]
            return
        self._known.update(map(_hash_of, self._items[self._known_count :]))
        for item in piece:
            item_hash = _hash_of(item)
            if item_hash not in self._known:
                self._known.add(item_hash)
                self._items.append(item)
        self._known_count = len(self._items)

    def value(self) -> list[Any]:
        return [_copied(item) for item in self._items]


def _hash_of(item: Any) -> int:
    if isinstance(item, (dict, list)):
        return hash(json.dumps(item, sort_keys=True))
    return hash((type(item), repr(item)))  # -1 and -2 have the same hash


class _MergedList(_Collector):
    """A list whose items come in pieces: those of one identity are one item."""

    def __init__(self, fold: _Fold) -> None:
        super().__init__(fold)
        self._items: list[Any] = []  # an _Fields, or a value as it came
        self._by_identity: dict[str, _Fields] = {}
        self._last_type: Any = None  # of the last item, if that is an object

    def identity_of(self, item: dict[str, Any]) -> str | None:
        """What is the same in all pieces of an item: its type and its index, if any.

        As text: a server could choose numbers that collide as keys of a dict.
        """
        if not isinstance(item.get("index"), int):
            return None
        item_type = item.get("type")
        is_encrypted = isinstance(item_type, str) and "encrypted" in item_type
        own_id = item.get("id") if is_encrypted else None  # each of these is whole
        return repr((item_type, item["index"], own_id))

    def add(self, piece: Any) -> None:
        if not isinstance(piece, list):
            return
        for item in piece:
            if isinstance(item, dict):
                self._add_item(item)
            else:
                self._fold.grow()
                self._items.append(item)
                self._last_type = None

    def _add_item(self, item: dict[str, Any]) -> None:
        self._fold.keep(_PIECE_MEMORY)
        identity = self.identity_of(item)
        known = self._known_item(identity, item.get("type"))
        if known is None:
            self._fold.keep(_COLLECTOR_MEMORY)
            known = _Fields(self._fold)
            self._items.append(known)
            self._last_type = item.get("type")
            if identity is not None:
                self._by_identity[identity] = known
        known.add(item)

    def _known_item(self, identity: str | None, item_type: Any) -> _Fields | None:
        if identity is not None:
            return self._by_identity.get(identity)
        if item_type in _CONTINUED_TYPES and item_type == self._last_type:
            return self._items[-1]  # type: ignore[no-any-return]
        return None

    def value(self) -> list[Any]:
        return [_value_of(item) for item in self._items]


class _ToolCalls(_Collector):
    """The tool calls of a message.  Servers differ in how they tell them apart."""

    def __init__(self, fold: _Fold) -> None:
        super().__init__(fold)
        self._calls: list[_ToolCall] = []
        # By the text of the index: see _MergedList.identity_of().  The last one with
        # it; under None the last of all.
        self._last: dict[str, _ToolCall] = {}
        # By the text of index and id; and of None and id.
        self._by_id: dict[str, _ToolCall] = {}

    def add(self, piece: Any) -> None:
        for item in piece if isinstance(piece, list) else ():
            if isinstance(item, dict):
                self._fold.keep(_PIECE_MEMORY)
                self._add_piece(item)

    def _add_piece(self, piece: dict[str, Any]) -> None:
        index = piece.get("index")
        call = self._call_of(piece, index)
        if call is None:
            self._fold.keep(_COLLECTOR_MEMORY)
            call = _ToolCall(self._fold, index)
            self._calls.append(call)
            self._last[repr(index)] = self._last[repr(None)] = call
        call.add(piece)
        if call.id and piece.get("id") == call.id:
            for place in (call.index, None):
                self._by_id.setdefault(repr((place, call.id)), call)

    def _call_of(self, piece: dict[str, Any], index: Any) -> _ToolCall | None:
        """The call that this piece continues, or ``None`` if it begins a new one.

        Its index, if it has one, narrows down which calls it may continue.  Of those:

            its id              its name    what it continues
            known               any         the call with this id
            unknown, or no id   no name     the last call
            unknown             a name      none; or the last call, if that has neither
            no id               a name      the last call, if the piece has an index
        """
        call_id = piece.get("id")
        if call_id:
            known = self._by_id.get(repr((index, call_id)))
            if known is not None:
                return known
        last = self._last.get(repr(index))
        if last is None or not _name_in(piece):
            return last
        if call_id:
            return None if last.id or last.name else last
        return last if index is not None else None

    def value(self) -> list[JSONObject]:
        in_order = sorted(self._calls, key=lambda call: call.position())
        return [call.value() for call in in_order]


class _ToolCall:
    def __init__(self, fold: _Fold, index: Any) -> None:
        self.index = index
        self.id: Any = ""
        self.name = ""
        self._fold = fold
        self._rest = _Fields(fold)  # everything but the id, the name and the index

    def add(self, piece: dict[str, Any]) -> None:
        self.id = self.id or piece.get("id") or ""
        name = _name_in(piece)
        if name and name != self.name:  # servers repeat it whole, or send it in pieces
            self.name += name
            self._fold.keep(len(self.name))  # many pieces would take quadratic time
        rest = {
            field: _without_name(value) if field == "function" else value
            for field, value in piece.items()
            if field not in ("id", "index") and value != ""
        }
        self._rest.add(rest)

    def position(self) -> float:
        return self.index if isinstance(self.index, int) else math.inf

    def value(self) -> JSONObject:
        self.id = self.id or _new_call_id()  # kept, so that it is the same each time
        call = JSONObject(id=self.id)
        call.update(self._rest.value())
        function = call.get("function")
        if isinstance(function, dict):
            call["function"] = JSONObject(name=self.name)
            call["function"].update(function)
        return call


def _name_in(piece: dict[str, Any]) -> str:
    """The function's name in a piece of a tool call, or ""."""
    function = piece.get("function")
    name = function.get("name") if isinstance(function, dict) else ""
    return name if isinstance(name, str) else ""


def _without_name(function: Any) -> Any:
    """The other fields of a function's piece; its arguments as text."""
    if not isinstance(function, dict):
        return function
    fields = {name: function[name] for name in function if name != "name"}
    if "arguments" in fields:
        fields["arguments"] = _arguments_text(fields["arguments"])
    return fields


# The kind of a field, by its name, perhaps with the name of what holds it.  Other
# values are of the kind that they look like: objects are _Fields, lists in a choice are
# _JoinedList, all else is kept as it is said last.
_KINDS: dict[str, type[_Collector]] = {
    "content": _MessageText,
    "refusal": _Text,
    "reasoning": _Text,
    "reasoning_content": _Text,
    "arguments": _Text,
    "transcript": _Text,
    "text": _Text,
    "thinking": _Text,
    "summary": _Text,
    "input": _Text,
    "audio.data": _Base64,
    "reasoning_details": _MergedList,
    "tool_calls": _ToolCalls,
    # Each chunk has those of its own tokens; so have all lists in logprobs.
    "token_ids": _Tokens,
}


def _is_text_field(name: str) -> bool:
    return issubclass(_KINDS.get(name, _Collector), _Text)


class _Choice:
    """One choice of an answer."""

    def __init__(self, fold: _Fold, index: int) -> None:
        self.index = index
        self.finish_reason: str | None = None  # the last one that says something
        self.message = _Fields(fold)
        self._rest = _Fields(fold)

    def add(self, choice: JSONObject) -> None:
        self.message.add(choice.get("delta"))
        if _says_finished(choice.get("finish_reason")):
            self.finish_reason = choice["finish_reason"]
        rest = {name: choice[name] for name in choice if name not in _CHOICE_FIELDS}
        self._rest.add(rest)

    def value(self) -> JSONObject:
        message = JSONObject(role=None, content=None)
        message.update(self.message.value())
        message.pop("obfuscation", None)
        _complete_message(message)
        choice = JSONObject(index=self.index, message=message)
        choice["finish_reason"] = self.finish_reason
        choice.update(self._rest.value())
        return choice


def _index_of(choice: Mapping[str, Any]) -> int:
    """A choice's index; a server that leaves it out has one choice."""
    index = choice.get("index")
    return index if type(index) is int else 0


class _Fold:
    """Folds the chunks of a stream into the `Completion` of the same whole answer."""

    def __init__(self, account: _Account) -> None:
        self.has_content = False  # a delta has brought more than a role
        self.has_grown = False  # by the last chunk, and by more than a text
        self._text = ""  # of the present chunk
        self._account = account
        self._choices: dict[str, _Choice] = {}  # by the index's text, see there
        self._fields = _Fields(self, is_in_choice=False)  # the chunks' other fields

    def grow(self) -> None:
        """More than a text is kept of the present chunk: draw on the account, once."""
        if not self.has_grown:
            self.has_grown = True
            self.keep(_json_memory(self._text))

    def keep(self, memory: int) -> None:
        """So many bytes of memory are taken; `_Failure` if there is no room."""
        self._account.keep(memory)

    def add(self, chunk: JSONObject, choices: list[JSONObject], text: str) -> None:
        """Take a chunk; *text*: its JSON.  `_Failure` if there is no room for it."""
        self._text = text
        self.has_grown = False
        self.keep(_PIECE_MEMORY * len(choices))
        for choice in choices:
            self.choice_at(_index_of(choice)).add(choice)
            if not self.has_content:
                delta = choice.get("delta") or {}
                self.has_content = any(delta[name] for name in delta if name != "role")
        rest = {name: chunk[name] for name in chunk if name not in _CHUNK_FIELDS}
        for name in _FIRST_SAID_FIELDS:
            if self._fields.fields.get(name):
                rest.pop(name, None)
        self._fields.add(rest)

    def choice_at(self, index: int) -> _Choice:
        choice = self._choices.get(repr(index))
        if choice is None:
            self.grow()
            self.keep(_COLLECTOR_MEMORY)
            choice = self._choices[repr(index)] = _Choice(self, index)
        return choice

    def is_finished(self, expected_choices: int) -> bool:
        """Whether all choices that were asked for have a finish_reason."""
        if len(self._choices) < max(expected_choices, 1):
            return False
        return all(choice.finish_reason for choice in self._choices.values())

    def has_choices(self) -> bool:
        return bool(self._choices)

    def completion(self) -> Completion:
        """The answer so far."""
        fields = self._fields.value()
        completion = Completion()
        for name in _FIRST_SAID_FIELDS:
            if name in fields:
                completion[name] = fields.pop(name)
        completion["object"] = "chat.completion"
        in_order = sorted(self._choices.values(), key=lambda choice: choice.index)
        completion["choices"] = [choice.value() for choice in in_order]
        completion.update(fields)
        _lift_usage(completion)
        return completion


class _OrdinaryChunk:
    """Knows the chunk that differs from the one before in its text alone.

    Nearly every chunk is such a one.  It needs no checks, and adds its text and nothing
    else.
    """

    def __init__(self) -> None:
        self.collector: Any = None  # what takes the text
        self.is_shown = False  # the text is that of `Stream.text_stream`
        # What is the same in the chunk, its only choice, and the delta; None: nothing.
        self._fields: Any = None
        self._choice: Any = None
        self._delta: Any = None
        self._name = ""  # the field with the text

    def piece_of(self, chunk: Any) -> str | None:
        """The text of an ordinary chunk; ``None``: it is none."""
        if self._fields is None or not isinstance(chunk, JSONObject):
            return None
        fields = chunk.copy()
        choices = fields.pop("choices", None)
        fields.pop("obfuscation", None)
        if fields != self._fields or not isinstance(choices, list):
            return None
        if len(choices) != 1 or not isinstance(choices[0], JSONObject):
            return None
        choice = choices[0].copy()
        delta = choice.pop("delta", None)
        if choice != self._choice or not isinstance(delta, JSONObject):
            return None
        delta = delta.copy()
        text = delta.pop(self._name, None)
        if delta != self._delta or not isinstance(text, str):
            return None
        return text

    def forget(self) -> None:
        """A chunk of another form has come, after which the same may add something."""
        self._fields = None

    def learn(self, chunk: JSONObject, fold: _Fold, shown_index: int | None) -> None:
        """Remember a chunk of one choice that was checked and added."""
        choice = chunk["choices"][0].copy()
        delta = choice.pop("delta", None) or {}
        names = [name for name in delta if _is_text_field(name) and delta[name]]
        if len(names) != 1 or not isinstance(delta[names[0]], str):
            return
        fields, delta = chunk.copy(), delta.copy()
        del fields["choices"], delta[names[0]]
        fields.pop("obfuscation", None)
        if not all(map(_adds_nothing_again, (fields, choice, delta))):
            return
        index = _index_of(choice)
        collector = fold.choice_at(index).message.fields.get(names[0])
        if isinstance(collector, _Text):
            self.collector = collector
            self.is_shown = names[0] == "content" and index == shown_index
            self._fields, self._choice, self._delta = fields, choice, delta
            self._name = names[0]


def _adds_nothing_again(fields: dict[str, Any]) -> bool:
    """Whether the fields would add nothing if they were said a second time."""
    for name, value in fields.items():
        if value and (isinstance(value, (dict, list)) or _is_text_field(name)):
            return False
    return True


# -------------------------------------------------------------------------- transport
#
# From the outside in:
#
#   _Transport      keeps the idle connections, and urllib's opener, so that programs
#                   find what they know: Request objects, audit events, tracing tools.
#   _Exchange       one request and its answer.  It owns the connection from before it
#                   is made until it is given back or closed.
#   _Connection     an http.client connection.  It owns the socket, and dispose() alone
#                   closes it.  A thread that waits for the socket is woken by shutdown.
#   _Response       http.client's parser of one answer, with stricter framing.
#   _Reader         buffers for that parser, as long as the connection lasts.
#   _SocketReader   reads the socket: sets its timeout to the time left, counts bytes.
#   _Limits         the time limits and the cancellation of one call.
#
# An exchange ends once, by whoever comes first:
#
#   release()       its thread has the whole answer: the connection is kept.
#   drop()          its thread gives up: the connection is disposed of.
#   close()         anybody cancels the call.  If its thread waits, it is woken and
#                   disposes of the connection; else that is done at once.
#
# Whatever the network does becomes a _Failure here: see _Exchange.

_NETWORK_ERRORS = (OSError, http.client.HTTPException, zlib.error)


class _Limits:
    """How long a call may take, and whether it was cancelled.

    *timeout*: seconds of silence while we wait.  *connect_timeout*: seconds for a step
    of connecting.  *deadline*: seconds for the whole call, from now; looking up the
    host's name, which nothing can interrupt, may take longer.  ``None``: no limit.
    """

    def __init__(
        self,
        timeout: float | None,
        connect_timeout: float | None,
        deadline: float | None,
    ) -> None:
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.deadline = deadline
        self.is_cancelled = False
        # Is released with that, and wakes wait().  An Event could not be set by a
        # signal handler that comes while it is being set.
        self._until_cancelled = threading.Lock()
        self._until_cancelled.acquire()
        self._started = time.monotonic()
        self._end = math.inf if deadline is None else self._started + deadline
        # The limit that holds at present: its name, its seconds, and how many of them
        # we have waited and heard nothing.
        self._name = ""
        self._patience = math.inf
        self._silence = 0.0
        # Whether any byte ends the silence; in a body, heard() does.
        self._counts_bytes = False

    def begin_step(self) -> None:
        """A step of connecting begins."""
        self._begin("connect_timeout", self.connect_timeout)

    def begin_request(self) -> None:
        """The connection is there, and each byte of the answer's head counts."""
        self._begin("timeout", self.timeout)
        self._counts_bytes = True

    def begin_body(self) -> None:
        """The head has come.  In the body, heard() tells what ends the silence."""
        self._begin("timeout", self.timeout)

    def _begin(self, name: str, seconds: float | None) -> None:
        self._name = name
        self._patience = math.inf if seconds is None else seconds
        self._silence = 0.0
        self._counts_bytes = False

    def heard(self) -> None:
        """The server said something."""
        self._silence = 0.0

    def add_silence(self, seconds: float) -> None:
        """So many seconds of waiting are silence, unless heard() follows."""
        self._silence += seconds

    def bytes_came(self, seconds: float) -> None:
        """Bytes came after so many seconds; in a body they may be a heartbeat."""
        if self._counts_bytes:
            self.heard()
        else:
            self.add_silence(seconds)

    def within(self, sock: Any, act: Callable[..., Any], *arguments: Any) -> Any:
        """Do something with a socket in the time that is left, or raise."""
        sock.settimeout(self.time_left())
        try:
            return act(*arguments)
        except socket.timeout as error:
            if error.errno is not None:
                raise  # a keep-alive probe failed; the timeout of a socket has no errno
            raise self.passed() from None

    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def time_left(self) -> float | None:
        """The seconds until the nearest limit; raises if one has passed."""
        if self.is_cancelled:
            raise self.cancellation()
        left = min(self._patience - self._silence, self._end - time.monotonic())
        if left <= 0:
            raise self.passed()
        return None if left == math.inf else left

    @staticmethod
    def cancellation() -> _Failure:
        return _Failure(APIConnectionError, "the call was cancelled")

    def passed(self) -> _Failure:
        """The failure for the limit that has passed."""
        left = self._patience - self._silence
        # Timers may fire some milliseconds early.
        if self._end - time.monotonic() <= min(0.01, left):
            message = "not done after %s s (deadline)" % self.deadline
        elif self._name == "connect_timeout":
            message = "timed out after %s s (connect_timeout)" % self._patience
        else:
            message = "no data for %s s (timeout)" % self._patience
        return _Failure(APITimeoutError, message, reason="time limit")

    def can_wait(self, seconds: float) -> bool:
        """Whether the deadline leaves that much time."""
        return time.monotonic() + seconds < self._end

    def wait(self, seconds: float) -> None:
        """Wait, or until the call is cancelled."""
        end = time.monotonic() + seconds
        while not self.is_cancelled and time.monotonic() < end:
            # In slices: on Windows, Ctrl-C cannot interrupt the waiting.
            left = max(0.0, end - time.monotonic())
            self._until_cancelled.acquire(timeout=min(1.0, left))

    def cancel(self) -> None:
        """From now on, whatever asks for the time left fails."""
        self.is_cancelled = True
        with contextlib.suppress(RuntimeError):  # it was cancelled before
            self._until_cancelled.release()


_Proxy = collections.namedtuple("_Proxy", "host port authorization")
# Where a connection leads: "http" or "https", host, port, and the proxy, or None.
_Route = collections.namedtuple("_Route", "scheme host port proxy")


def _log(stage: str, message: str, *values: Any, **attributes: Any) -> None:
    """Give a record to the logger "siraya_chat", if the program uses logging at all.

    It has the *stage* and the other *attributes*.  Its level is INFO at the stage
    "retrying", else DEBUG.
    """
    logging: Any = sys.modules.get("logging")
    if hasattr(logging, "getLogger"):
        level = 20 if stage == "retrying" else 10
        extra = dict(attributes, stage=stage)
        logging.getLogger("siraya_chat").log(level, message, *values, extra=extra)


# An interim answer (RFC 9110 § 15.2), whole; 101 is none: another protocol follows.
_INTERIM = rb"HTTP/1\.[01] 1(?!01)[0-9][0-9].*?\r?\n\r?\n"
_INTERIM_START = rb"HTTP/1\.[01] 1(?!01)"
# What a socket that does not wait raises where it would have to.
_WOULD_WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _SocketReader(io.RawIOBase):
    """Reads from a connection's socket, within the limits of its present call."""

    # Of the present exchange; an object of the class has its own.
    limits: Any = None
    account: Any = None

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.waits = True  # False: read what is there
        self.received = 0  # bytes of the present answer, with their framing
        self.has_ended = False  # the server has closed the connection
        self._early = bytearray()  # what came while the request was being sent

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.waits and not self._early:
            return self._wait_and_read(buffer)
        if not self._early:
            self._look()
        count = min(len(buffer), len(self._early))
        buffer[:count] = self._early[:count]
        del self._early[:count]
        return count if count or self.has_ended else None

    def _wait_and_read(self, buffer: Any) -> int:
        started = time.monotonic()
        count: int = self.limits.within(self.sock, self.sock.recv_into, buffer)
        self.limits.bytes_came(time.monotonic() - started)
        self._count(count)
        return count

    def _count(self, count: int) -> None:
        self.received += count
        self.has_ended = count == 0
        self.account.take_wire(count)

    def _look(self) -> None:
        """Take what has come, without waiting."""
        self.sock.settimeout(0)
        try:
            data = self.sock.recv(BLOCK_BYTES)
        except _WOULD_WAIT:
            return
        self._early += data
        self._count(len(data))

    def look_for_answer(self) -> bool:
        """Take what has come; whether it is an answer, or the connection's end.

        Over TLS, bytes on the socket need not be an answer: only those count that are
        there when they are decrypted.  Interim answers are dropped.
        """
        try:
            self._look()
        except OSError:  # reading the answer will tell
            return True
        interim = re.match(b"(%s)*" % _INTERIM, self._early, re.DOTALL)
        if interim is not None:  # it always matches, but nothing perhaps
            del self._early[: interim.end()]
        if self.has_ended or len(self._early) > MAX_INTERIM_BYTES:
            return True
        is_short = len(self._early) < len("HTTP/1.1 10")
        return not is_short and not re.match(_INTERIM_START, self._early)


class _Reader(io.BufferedReader):
    """The reader of a connection's answers.  A line that is cut off is an error."""

    raw: Any  # a _SocketReader
    last_line = b""
    last_status = (0, "")  # that was read, and its reason

    def makefile(self, mode: str) -> _Reader:
        """This reader: http.client takes it for the socket, and asks for a file."""
        return self

    def readline(self, size: int | None = -1) -> bytes:
        line = self.last_line = super().readline(size)
        if not line.endswith(b"\n") and len(line) != size:
            raise http.client.RemoteDisconnected("within a line")
        if b"\r" in line[:-2]:  # which the parser of headers takes for a line's end
            raise http.client.HTTPException("a line has a bare CR (RFC 9112 § 2.2)")
        return line

    def close(self) -> None:
        """Do nothing.  An answer calls it at its end, and there may be another."""


class _Response(http.client.HTTPResponse):
    """http.client's answer, with stricter framing.

    The private names of http.client that this module uses are those of the methods
    below, _check_close(), and _tunnel() in _Connection.  They are the same from CPython
    3.7 to 3.15.
    """

    fp: Any = None  # a _Reader; None in an object that Ctrl-C left half made

    def flush(self) -> None:
        """Do nothing: there is nothing to write.  close() calls it."""

    def _read_status(self) -> Any:
        """Read the status line.  Interim answers are skipped (RFC 9110 § 15.2)."""
        for _ in range(MAX_INTERIM_ANSWERS):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not re.match(rb"HTTP/1\.[01] +[0-9]{3}\s", self.fp.last_line):
                raise http.client.BadStatusLine("the status line is malformed")
            if status >= 200:
                self.fp.last_status = (status, reason.strip())
                return version, status, reason.strip()
            if status == 101:
                break
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("it sent only interim responses (1xx)")

    def begin(self) -> None:
        """Read the head.  Refuse one that leaves the body's length in doubt."""
        super().begin()
        if self.chunked:
            return  # which goes before Content-Length (RFC 9112 § 6.3)
        if "Transfer-Encoding" in self.headers:
            raise http.client.HTTPException("Transfer-Encoding is not chunked")
        said = self.headers.get_all("Content-Length", [])
        # It may be repeated, in one header or in several (RFC 9110 § 8.6).
        lengths = {length.strip() for length in ",".join(said)[:1000].split(",")}
        if len(lengths) > 1:
            raise http.client.HTTPException("there are two values of Content-Length")
        length = lengths.pop()
        if said and not re.match(r"[0-9]{1,18}\Z", length):
            raise http.client.HTTPException("Content-Length is not a number")
        if said and self.length is None:  # http.client takes no repeated one
            self.length = int(length)
            self.will_close = self._check_close()  # type: ignore[attr-defined]

    def _read_next_chunk_size(self) -> int:
        """Read the head of a chunk (RFC 9112 § 7.1); its extensions are dropped."""
        line = self.fp.readline(BLOCK_BYTES)
        if not line.endswith(b"\n"):
            raise http.client.HTTPException("the head of a chunk is too long")
        size = line.partition(b";")[0].strip()
        if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
            raise http.client.HTTPException("a chunk has no valid size")
        return int(size, 16)

    def _safe_read(self, size: int) -> bytes:
        """Read the line end behind a chunk: read1() asks for nothing else."""
        data: bytes = self.fp.read(size)
        if len(data) < size:
            raise http.client.IncompleteRead(data)
        if data != b"\r\n":
            raise http.client.HTTPException("a chunk is longer than its size says")
        return data


class _Connection(http.client.HTTPConnection):
    """A connection to a server, for one exchange after the other."""

    response_class = _Response
    sock: Any  # the reader, see below
    # The socket.  http.client's own name for it, "sock", is the reader: of all that a
    # socket can do, http.client asks only for a file to read answers from.
    own_socket: Any = None

    def __init__(self, route: _Route, context: ssl.SSLContext | None) -> None:
        place = route.proxy or route
        super().__init__(place.host, place.port)
        self.route = route
        self.context = context  # for https
        self.pid = os.getpid()  # a forked child must not use what its parent has opened
        self.sent_bytes = 0  # of the present request
        self.trouble = ""  # what it is if the present step of open() fails
        self._limits: Any = None  # those of the present call
        self._is_long = False  # the request takes time, in which an answer may come
        self._last_response: Any = None
        self._idle_since = (0.0, 0.0)  # by the monotonic and by the wall clock
        if route.proxy is not None and route.scheme == "https":
            target = _address(route.host, route.port)
            headers = {"Host": target}
            if route.proxy.authorization:
                headers["Proxy-Authorization"] = route.proxy.authorization
            self.set_tunnel(target.rpartition(":")[0], route.port, headers)

    def is_open(self) -> bool:
        return self.own_socket is not None

    def open(self, limits: _Limits) -> None:
        """Reach the server: TCP, the proxy's CONNECT (RFC 9110 § 9.3.6), TLS."""
        route = self.route
        self._limits = limits
        target = _address(route.host, route.port)
        self.trouble = "no connection to " + target
        if route.proxy is not None:
            self.trouble = "no connection to the proxy " + _address(
                self.host, self.port
            )
        _log("connecting", "connecting to %s", _address(self.host, self.port))
        self._open_socket()
        if route.proxy is not None and route.scheme == "https":
            self.trouble = "the proxy %s did not connect to %s" % (
                _address(self.host, self.port),
                target,
            )
            self._open_tunnel()
        if route.scheme == "https":
            self.trouble = "no secure connection to " + target
            self._start_tls()
        self._make_reader()

    def _open_socket(self) -> None:
        """Connect: the host's addresses are tried one after the other."""
        failure: Exception = OSError("the name has no address")
        host = self.host.encode("ascii")  # a str would import encodings.idna: 2 ms
        addresses = socket.getaddrinfo(host, self.port, 0, socket.SOCK_STREAM)
        for family, socket_type, protocol, _, address in addresses:
            self._limits.begin_step()
            try:
                sock = self.own_socket = socket.socket(family, socket_type, protocol)
                self._limits.within(sock, sock.connect, address)
                _set_socket_options(sock)
                return
            except (_Failure, OSError) as error:  # also of IPv6, which may be missing
                failure = error
            self.dispose()
        raise failure

    def _open_tunnel(self) -> None:
        self._limits.begin_step()
        self._make_reader()
        self.begin(self._limits, _Account(MAX_ERROR_BODY_BYTES), is_long=False)
        try:
            self._tunnel()  # type: ignore[attr-defined]
        except OSError:  # _tunnel() raises it for any status but 200, too
            status, reason = self.sock.last_status
            if status in (0, 200):  # it ended within its answer
                raise
            message = "it said %d %s" % (status, reason)
            may_retry = status in (408, 429) or status >= 500
            raise _Failure(APIConnectionError, message, may_retry=may_retry) from None

    def _start_tls(self) -> None:
        context: Any = self.context
        self._limits.begin_step()
        self.own_socket = context.wrap_socket(
            self.own_socket,
            server_hostname=self.route.host,
            do_handshake_on_connect=False,
        )
        self._limits.within(self.own_socket, self.own_socket.do_handshake)

    def _make_reader(self) -> None:
        self.sock = _Reader(_SocketReader(self.own_socket), BLOCK_BYTES // 2)

    def begin(self, limits: _Limits, account: _Account, is_long: bool) -> None:
        """A request begins; *is_long*: its body takes time to send."""
        self._limits = limits
        self._is_long = is_long
        self.sent_bytes = 0
        raw = self.sock.raw
        raw.limits, raw.account = limits, account
        raw.received = 0

    def send(self, data: Any) -> None:
        """Send bytes, or as many as the server waits for: see `look_for_answer`."""
        view = memoryview(data)
        while view and not self.look_for_answer():
            count = self._send_some(view[:SEND_BYTES])
            if count:
                self._limits.heard()
            view = view[count:]
            self.sent_bytes += count

    def look_for_answer(self) -> bool:
        """Whether a long request is answered already: the rest need not be sent."""
        return self._is_long and self.sock.raw.look_for_answer()

    def _send_some(self, data: memoryview) -> int:
        """How many bytes have left; 0: there may be something to read."""
        sock = self.own_socket
        if not self._is_long:
            return self._limits.within(sock, sock.send, data)  # type: ignore[no-any-return]
        ready = self._wait_for(selectors.EVENT_READ | selectors.EVENT_WRITE)
        if ready & selectors.EVENT_READ and self.look_for_answer():
            return 0  # before the connection is closed, which would lose the answer
        if not ready & selectors.EVENT_WRITE:
            return 0
        sock.settimeout(0)
        try:
            return sock.send(data)  # type: ignore[no-any-return]
        except ssl.SSLWantReadError:
            self._wait_for(selectors.EVENT_READ)
        except _WOULD_WAIT:
            pass
        return 0

    def _wait_for(self, events: int) -> int:
        """Wait for one of the events of `selectors`; returns those that came."""
        # select() fails above descriptor 1023.
        selector_class = getattr(selectors, "PollSelector", selectors.SelectSelector)
        started = time.monotonic()
        with selector_class() as selector:
            selector.register(self.own_socket, events)
            ready = selector.select(self._limits.time_left())
        if not ready:
            raise self._limits.passed()
        self._limits.add_silence(time.monotonic() - started)
        return ready[0][1]

    def receive_head(self) -> Any:
        """The answer's head, parsed by http.client."""
        self._last_response = None
        self._last_response = self.getresponse()
        return self._last_response

    def close(self) -> None:
        """Do nothing.  http.client calls it where an answer ends with the connection:
        that is still to be read, and dispose() closes.
        """

    def set_idle(self) -> None:
        self._idle_since = (time.monotonic(), time.time())

    def make_reusable(self, patience: float) -> bool:
        """Read the rest of the answer; whether another request can go out then.

        That takes at most *patience* seconds.  Then nothing may be left, and the server
        must not have closed the connection.
        """
        if not self._is_fresh():
            return False
        try:
            self._drain(patience)
            return self._is_silent()
        except (_Failure, *_NETWORK_ERRORS):
            return False

    def _is_fresh(self) -> bool:
        monotonic_time, wall_time = self._idle_since
        age = time.monotonic() - monotonic_time
        wall_age = time.time() - wall_time  # goes on while the machine sleeps
        return age < MAX_IDLE_SECONDS and 0 <= wall_age < MAX_IDLE_SECONDS

    def _drain(self, patience: float) -> None:
        """Read the rest of the last answer; `_Failure` if it takes too long."""
        response = self._last_response
        if not response.isclosed():
            self.begin(_Limits(None, None, patience), _Account(), is_long=False)
            while response.read1(BLOCK_BYTES):
                pass
            response.close()

    def _is_silent(self) -> bool:
        """Whether the server has sent nothing more, and not closed the connection."""
        raw = self.sock.raw
        raw.waits = False
        surplus = self.sock.peek(1)
        raw.waits = True
        return not surplus and not raw.has_ended

    def wake(self) -> None:
        """Wake the thread that waits for the socket: it finds the end."""
        sock = self.own_socket  # once: that thread may dispose of it meanwhile
        if sock is not None:
            _shut_down(sock)

    def dispose(self) -> None:
        """Close the connection; a forked child leaves its parent's open."""
        sock, self.own_socket = self.own_socket, None
        if sock is None:
            return
        if self.pid != os.getpid():
            os.close(socket.socket.detach(sock))  # our descriptor, and nothing else
            return
        _shut_down(sock)
        sock.close()

    __del__ = dispose


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # TLS's own would wait


def _address(host: str, port: int) -> str:
    return "%s:%d" % ("[%s]" % host if ":" in host else host, port)


def _set_socket_options(sock: socket.socket) -> None:
    """Send at once; look from time to time whether a silent peer is still there."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):
        option = getattr(socket, name, None)  # which there are depends on the platform
        if option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, KEEP_ALIVE_SECONDS)


class _Request(urllib.request.Request):
    """A request as urllib has it, and the exchange that carries it out."""

    def __init__(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: _RequestBody | None,
        exchange: _Exchange,
    ) -> None:
        host = exchange.route.host
        super().__init__(url, method=method, origin_req_host=host)
        self.headers = headers
        self.body = body
        self.exchange = exchange


class _Handler(urllib.request.BaseHandler):
    """urllib's handler of ``http:`` and ``https:``."""

    def add_parent(self, parent: Any) -> None:
        """Do not keep the opener, which keeps this: a reference cycle."""

    def http_open(self, request: Any) -> Any:
        """Answer the request; urllib calls this."""
        exchange = request.exchange
        exchange.open(request)
        return exchange

    https_open = http_open


class _Exchange:
    """A request and its answer as it arrives: `open`, then `read` to the end.

    ``status``, ``reason``, ``headers``: those of the answer.  Also, for tools that
    trace urllib, what else its answers have.  `open` and `read` are for one thread;
    `close` may be called from any, also from a signal handler.
    """

    status = 0
    reason = ""
    version = 0
    headers: Any = http.client.HTTPMessage()  # none, until the head has come

    def __init__(
        self, transport: _Transport, route: _Route, limits: _Limits, account: _Account
    ) -> None:
        self.route = route
        self.limits = limits
        self.stage = "connecting"  # then "sending", "waiting" and "answered"
        self.failure: _Failure | None = None  # why the body has ended too early
        self.sent_body = 0  # bytes of the request's body
        self.url = ""
        self._transport = transport
        self._account = account
        self._connection: Any = None
        self._is_sent = False  # all of the request
        self._response: Any = None
        self._content: Any = None  # the body's blocks, unpacked
        # close() has the call cancelled, then looks at _is_busy.  open() and read()
        # reset _is_busy, then look whether the call is cancelled.  So at least one of
        # them disposes of the connection.
        self._is_busy = False  # set by the thread that opens or reads
        # Acquired by the first that ends the exchange, and never released.
        self._ended = threading.Lock()

    def open(self, request: _Request) -> None:
        """Send the request and read the answer's head; raises `_Failure`."""
        self.url = request.full_url
        self._is_busy = True
        try:
            if not self._ask_kept(request):
                self._connect()
                self._ask(request)
        except BaseException:
            self.drop()
            raise
        finally:
            self._stop_work()

    def _stop_work(self) -> None:
        """The thread that opens or reads has done its work for now."""
        self._is_busy = False
        if self.limits.is_cancelled and self._connection is not None:
            self._connection.dispose()

    def _ask_kept(self, request: _Request) -> bool:
        """Ask on a kept connection; ``False``: there is none that is still open."""
        connection = self._connection = self._transport.take(self.route, self.limits)
        if connection is None:
            return False
        try:
            self._ask(request)
        except _Failure:
            if connection.sent_bytes > 0:  # then the server may have seen the request
                raise
            connection.dispose()
            return False
        return True

    def _connect(self) -> None:
        """Make a connection, or raise a failure that says at which step it failed."""
        connection = self._connection = self._transport.new_connection(self.route)
        try:
            connection.open(self.limits)
        except (_Failure, *_NETWORK_ERRORS) as error:
            failure = _failure_of(error)
            failure.message = "%s: %s" % (connection.trouble, failure.message)
            if failure.may_retry is None:
                is_untrusted = isinstance(error, ssl.SSLCertVerificationError)
                failure.may_retry = not is_untrusted
            raise failure from None

    def _ask(self, request: _Request) -> None:
        """Send the request and read the answer's head; raises `_Failure`."""
        self.limits.begin_request()
        try:
            self._send(request)
            self._receive_head()
        except (_Failure, *_NETWORK_ERRORS) as error:
            raise self._no_answer(error) from None
        self.limits.begin_body()

    def _send(self, request: _Request) -> None:
        connection, body = self._connection, request.body
        is_long = body is not None and body.length > SEND_BYTES
        connection.begin(self.limits, self._account, is_long)
        self.stage = "sending"
        method, target = request.get_method(), request.selector
        blocks = None if body is None else self._blocks(body)
        try:
            connection.request(method, target, blocks, request.headers)
            self._is_sent = not connection.look_for_answer()
        except (ConnectionError, ssl.SSLError):
            # A server that refuses a request need not read all of it.  Its answer may
            # be there all the same, and http.client lets us read it.
            self._is_sent = False

    def _receive_head(self) -> None:
        self.stage = "waiting"
        _log("waiting", "waiting for %s", _address(self.route.host, self.route.port))
        response = self._response = self._connection.receive_head()
        if not self._is_sent:
            response.will_close = True  # the server would wait for the rest
        self.status = response.status
        self.reason = response.reason
        self.version = response.version
        self.headers = response.headers
        self.stage = "answered"

    def _blocks(self, body: _RequestBody) -> Iterator[bytes]:
        """The body's bytes, until the server answers; the log is told as they go."""
        logged = -math.inf
        for block in body.blocks():
            if self._connection.look_for_answer():
                return
            if time.monotonic() - logged >= LOG_SECONDS:
                logged = time.monotonic()
                _log_sending(self.sent_body, body.length)
            yield block
            self.sent_body += len(block)
        _log_sending(self.sent_body, body.length)

    def _no_answer(self, error: Exception) -> _Failure:
        """The failure of a request that brought no readable head of an answer."""
        failure = _failure_of(error)
        failure.message = "no answer from %s: %s" % (
            self.url.partition("?")[0],
            failure.message,
        )
        proxy = self.route.proxy
        if proxy is not None:
            failure.message += " (through the proxy %s)" % _address(
                proxy.host, proxy.port
            )
        has_passed = failure.error_class is APITimeoutError
        is_unanswered = self._connection.sock.raw.received == 0
        is_unsent = self._connection.sent_bytes == 0
        failure.may_retry = is_unsent or (is_unanswered and not has_passed)
        failure.reason = "time limit" if has_passed else "no answer"
        return failure

    def read(self) -> bytes:
        """The next block of content, as it arrives; ``b""`` at its end.

        Then ``failure`` says why more was to come; ``None``: the content is whole.
        """
        if self.failure is not None:
            return b""
        self._is_busy = True
        try:
            return self._next_block()
        except (_Failure, *_NETWORK_ERRORS) as error:
            self.failure = _failure_of(error)
            self.drop()
            return b""
        finally:
            self._stop_work()

    def _next_block(self) -> bytes:
        if self._connection.pid != os.getpid():
            message = "it belongs to the process that this one was forked from"
            raise _Failure(APIConnectionError, message)
        if self._content is None:
            coding = self.headers.get("Content-Encoding", "").strip().lower()[:50]
            self._content = _content_of(self._response, coding)
        block = next(self._content, b"")
        if self.limits.is_cancelled:  # then what looks like the end may be none
            raise self.limits.cancellation()
        return block

    def release(self) -> None:
        """The answer is complete: keep the connection for another request.

        What follows [DONE] is read when the connection is used again.
        """
        if self._response.will_close:
            self.drop()
        elif self._claim_end():
            self._transport.keep(self._connection)

    def drop(self) -> None:
        """Close the connection; for the thread that opens or reads."""
        if self._claim_end() and self._connection is not None:
            self._connection.dispose()

    def close(self) -> None:
        """Cancel the call and close the connection, even if another thread waits."""
        self.limits.cancel()
        connection = self._connection
        if not self._claim_end() or connection is None:
            return
        if self._is_busy and connection.pid == os.getpid():
            connection.wake()  # the thread that waits disposes of it
        else:
            connection.dispose()

    def _claim_end(self) -> bool:
        """Whether this call is the first that ends the exchange."""
        return self._ended.acquire(blocking=False)

    def getcode(self) -> int:
        return self.status

    code = property(getcode)

    def info(self) -> Any:
        return self.headers

    def geturl(self) -> str:
        return self.url


def _log_sending(sent: int, total: int) -> None:
    message = "sending %d of %d bytes"
    _log("sending", message, sent, total, sent=sent, total=total)


# Content-Encodings that are none; the last three are mistakes that servers make.
_NO_CODINGS = ("", "identity", "none", "utf-8", "binary")


def _content_of(response: _Response, coding: str) -> Iterator[bytes]:
    """The blocks of an answer's body, unpacked."""
    if coding in ("gzip", "x-gzip", "deflate"):
        return _inflate(_blocks_of(response), coding)
    if coding in _NO_CODINGS:
        return _blocks_of(response)
    raise _Failure(ResponseError, "unexpected Content-Encoding %r" % coding)


def _blocks_of(response: _Response) -> Iterator[bytes]:
    """The blocks of an answer's body as they arrive, however small."""
    while True:
        block = response.read1(BLOCK_BYTES)
        if not block:
            break
        yield block
    if response.length:
        raise ConnectionError("the last %d bytes are missing" % response.length)
    response.close()


def _inflate(blocks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """Unpack ``gzip`` or ``deflate`` (RFC 9110 § 8.4.1)."""
    decoder: Any = None
    members = 0
    for received in blocks:
        block = received
        while block:
            if decoder is None or decoder.eof:  # gzip may have several members
                decoder = _decompressor(coding, block)
                members += 1
            if members > MAX_GZIP_MEMBERS:
                message = "the answer has more than %d gzip members" % MAX_GZIP_MEMBERS
                raise _Failure(ResponseError, message)
            yield from _decompress(decoder, block)
            block = decoder.unused_data.lstrip(b"\0")  # zeros may pad the end
    if decoder is not None and not decoder.eof:
        raise ConnectionError("the compressed content is incomplete")


def _decompress(decoder: Any, block: bytes) -> Iterator[bytes]:
    """What a block unpacks to, little at a time."""
    packed = block
    while True:
        before = decoder.copy()
        try:
            content = decoder.decompress(packed, BLOCK_BYTES)
        except zlib.error:
            salvaged = _salvaged(before, packed)
            if salvaged:
                yield salvaged
            raise
        if not content:
            break
        yield content
        if decoder.eof:  # its unconsumed_tail belongs to what follows
            break
        packed = decoder.unconsumed_tail


def _salvaged(decoder: Any, packed: bytes) -> bytes:
    """What unpacks of damaged data before the damage: less than a block."""
    content = bytearray()
    with contextlib.suppress(zlib.error):
        for byte in packed:
            content += decoder.decompress(b"%c" % byte, BLOCK_BYTES)
    return bytes(content)


def _decompressor(coding: str, block: bytes) -> Any:
    if coding == "deflate" and block[0] & 15 != 8:
        return zlib.decompressobj(-zlib.MAX_WBITS)  # some servers leave zlib's head out
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, as the head says


class _Transport:
    """Sends requests, and keeps the connections for the next ones.

    *proxy*: ``None`` for those of the system and the environment, ``""`` for none, a
    URL.
    """

    def __init__(self, proxy: str | None, context: ssl.SSLContext | None) -> None:
        self.settings = (proxy, context)
        self._proxy = proxy
        self._context = context
        # An opener without redirects, cookies, passwords, files and other schemes.
        self._opener = urllib.request.OpenerDirector()
        self._opener.add_handler(_Handler())
        # No lock: a deque's methods are atomic, and at the moment of a fork another
        # thread could hold it.
        self._idle: collections.deque[_Connection] = collections.deque()
        self._known_routes: dict[tuple[str, str, int], _Route] = {}

    def send(self, request: _Request) -> None:
        """Send a request: see `_Exchange.open`."""
        proxy = request.exchange.route.proxy
        if proxy is not None and request.type == "http":
            request.selector = request.full_url
            if proxy.authorization:
                request.headers["Proxy-Authorization"] = proxy.authorization
        request.headers.setdefault("Host", request.host)
        self._opener.open(request)

    def route_to(self, scheme: str, host: str, port: int) -> _Route:
        """The way to a server; ``ValueError`` for an unusable proxy."""
        target = (scheme, host, port)
        if target not in self._known_routes:
            proxy = _find_proxy(self._proxy, scheme, host, port)
            self._known_routes[target] = _Route(scheme, host, port, proxy)
        return self._known_routes[target]

    def new_connection(self, route: _Route) -> _Connection:
        context = None
        if route.scheme == "https":
            if self._context is None:  # it takes 10 ms and more: only when needed
                self._context = _default_context()
            context = self._context
        return _Connection(route, context)

    def take(self, route: _Route, limits: _Limits) -> _Connection | None:
        """A kept connection that can be used again, or ``None``."""
        left = limits.time_left() or math.inf
        give_up = time.monotonic() + min(DRAIN_SECONDS, left / 2)
        for connection in self._idle.copy():
            if connection.route != route or connection.pid != os.getpid():
                continue
            try:
                self._idle.remove(connection)
            except ValueError:  # another thread has taken it
                continue
            if connection.make_reusable(max(0.001, give_up - time.monotonic())):
                return connection
            connection.dispose()
        return None

    def keep(self, connection: _Connection) -> None:
        connection.set_idle()
        self._idle.appendleft(connection)  # the freshest is the first to be used
        if len(self._idle) > MAX_IDLE_CONNECTIONS:
            with contextlib.suppress(IndexError):
                self._idle.pop().dispose()

    def close(self) -> None:
        """Close the idle connections."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().dispose()


def _failure_of(error: Exception) -> _Failure:
    """The failure that an error of the network is."""
    if isinstance(error, _Failure):
        return error
    is_damaged = isinstance(error, zlib.error)
    error_class = ResponseError if is_damaged else APIConnectionError
    return _Failure(error_class, _describe(error))


def _describe(error: BaseException) -> str:
    """What a network error says, in words.

    It may be of somebody else's layer, such as a replacement of the ssl module.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        message = getattr(error, "verify_message", None) or str(error)
        advice = _certificate_advice(getattr(error, "verify_code", 0))
        return "the server's certificate could not be verified: %s%s" % (
            message,
            advice,
        )
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended within the answer"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection"
    strerror = getattr(error, "strerror", None)
    return "%s (%s)" % (strerror or error, type(error).__name__)


# OpenSSL's X509_V_ERR_…: the authority is not known; only its strict mode refuses it.
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_BROKEN_RULES = range(80, 94)


def _certificate_advice(code: int) -> str:
    """How to go on after a certificate was refused with this code."""
    if code in _UNKNOWN_AUTHORITY:
        return (
            ".  To trust the certificate authority of a company, name its file in "
            "SSL_CERT_FILE, or pass an ssl_context" + _store_advice()
        )
    if code in _BROKEN_RULES:
        return (
            ".  The certificate, or its authority's, breaks a rule on which Python "
            "insists from 3.13 on: have it made anew, or pass an ssl_context with "
            "verify_flags &= ~ssl.VERIFY_X509_STRICT"
        )
    return ""


def _default_context() -> ssl.SSLContext:
    """The system's certificate authorities, SSL_CERT_FILE and SSL_CERT_DIR."""
    try:
        context = ssl.create_default_context()
    except OSError as error:  # such as that of a file that SSLKEYLOGFILE names
        message = "no secure connections: %s (%s)" % (_describe(error), error.filename)
        raise _Failure(APIConnectionError, message) from None
    for variable, argument in (("SSL_CERT_FILE", "cafile"), ("SSL_CERT_DIR", "capath")):
        path = os.environ.get(variable)
        if path:  # one that is missing or malformed would be ignored
            try:
                context.load_verify_locations(**{argument: path})
            except OSError as error:
                message = "%s names %s, which cannot be used: %s" % (
                    variable,
                    _quote(path),
                    _describe(error),
                )
                raise _Failure(APIConnectionError, message) from None
    return context


def _store_advice() -> str:
    """A hint, if this system has no certificate authorities at all."""
    paths = ssl.get_default_verify_paths()
    with contextlib.suppress(OSError):
        if paths.cafile is not None or (paths.capath and os.listdir(paths.capath)):
            return ""
    return "; this Python has no certificate authorities: the file %s is missing" % (
        paths.openssl_cafile
    )


def _find_proxy(setting: str | None, scheme: str, host: str, port: int) -> Any:
    """The proxy by the setting, or else by the environment or the system."""
    if setting is not None:
        return _parse_proxy("proxy", setting) if setting else None
    proxies = urllib.request.getproxies()
    name = scheme if proxies.get(scheme) else "all"
    url = proxies.get(name)
    if not url or urllib.request.proxy_bypass(_address(host, port)):
        return None
    for entry in proxies.get("no", "").split(","):
        if _is_bypassed(entry.strip(), host, port):
            return None
    return _parse_proxy(name + "_proxy", url)


def _is_bypassed(entry: str, host: str, port: int) -> bool:
    """Whether an entry of no_proxy names this host.

    ``*``, a name, a suffix (with or without ``*`` or a dot in front), an address, or a
    block of addresses such as ``10.0.0.0/8``; all but the last may have a port.
    """
    if entry in ("", "*"):
        return entry == "*"
    if "/" in entry or entry.count(":") > 1:
        return _is_in_block(entry, host, port)
    name, _, wanted_port = entry.partition(":")
    if wanted_port and wanted_port != str(port):
        return False
    name = name.lower()
    if name.startswith("*"):
        name = name[1:]
    name = name.lstrip(".")
    return host.lower() == name or host.lower().endswith("." + name)


def _is_in_block(entry: str, host: str, port: int) -> bool:
    import ipaddress

    bracketed = re.match(r"\[(.*)\](?::([0-9]+)|(/[0-9]+))?\Z", entry)
    if bracketed:
        entry = bracketed.group(1) + (bracketed.group(3) or "")
        if bracketed.group(2) not in (None, str(port)):
            return False
    try:
        block = ipaddress.ip_network(entry, strict=False)
        return ipaddress.ip_address(host) in block
    except ValueError:  # one of them is malformed
        return False


def _parse_proxy(name: str, url: str) -> _Proxy:
    """A proxy's URL taken apart.  It may hold a password: no error shows it."""
    scheme, separator, _ = url.strip().partition("://")
    if not separator:
        return _parse_proxy(name, "http://" + url.strip())
    if scheme.lower() != "http":
        shown = scheme if re.match(r"[A-Za-z0-9+.-]{1,20}\Z", scheme) else "its scheme"
        raise ValueError(
            "%s: %s is not supported, only plain HTTP proxies are: http://HOST:PORT"
            % (name, shown)
        )
    try:
        place = urllib.parse.urlsplit(url.strip())
        host = (place.hostname or "").encode("idna").decode("ascii")
        port = place.port or 80
        rest = place.path.strip("/") + place.query + place.fragment
        if rest or not re.match(r"[A-Za-z0-9._:%-]+\Z", host):
            raise ValueError
    except ValueError:
        raise ValueError(
            "%s must be http://HOST:PORT or http://USER:PASSWORD@HOST:PORT (it is not "
            "shown, since it may hold a password)" % name
        ) from None
    return _Proxy(host, port, _basic_authorization(place))


def _basic_authorization(place: Any) -> str:
    """The credentials in a URL as a header's value (RFC 7617), or ""."""
    if place.username is None:
        return ""
    user_name = urllib.parse.unquote(place.username)
    password = urllib.parse.unquote(place.password or "")
    pair = "%s:%s" % (user_name, password)
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


# ---------------------------------------------------------------------------- streams


# What ended a body too early, by the error that it is.
_BREAK_OFFS = {
    APIConnectionError: "the connection was lost",
    APITimeoutError: "a time limit passed",
    ResponseError: "the answer broke off",
}
# How an event stream begins; anything else is a document.
_EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")


class _Answer:
    """The body of an answer: bytes in, chunks and a `Completion` out.

    It is the same for whole and for streamed answers.  The first bytes say whether the
    body is a JSON document or an event stream, whatever was asked for.  It touches no
    socket.
    """

    def __init__(self, expected_choices: int, account: _Account) -> None:
        # Those that nobody has taken, each with the text in it, see _TextOfChoice, and
        # its size: the characters of its JSON.
        self.chunks: collections.deque[tuple[JSONObject, str, int]]
        self.chunks = collections.deque()
        self.is_complete = False
        self.said_something = False  # the last block held more than heartbeats
        self.length = 0  # of what came: characters of the text, bytes of a document
        self.is_document: bool | None = None  # else an event stream; None: not known
        self._expected_choices = expected_choices
        self._account = account
        self._start = bytearray()  # what came before that was known
        self._body = bytearray()  # of a document
        self._document: Completion | None = None
        self._parser = SSEParser()
        self._fold = _Fold(account)
        self._text = _TextOfChoice(expected_choices)
        self._ordinary = _OrdinaryChunk()
        self._has_messages = False  # the chunks have messages in place of deltas
        self._may_have_halves = False  # of surrogate pairs

    def feed(self, block: bytes) -> None:
        """Take bytes; `_Failure` for an error and for a malformed chunk."""
        size = len(block)
        self.said_something = False
        if self.is_document is None:
            block = self._look_at_start(block)
        if self.is_document:
            self._body += block
            self.length += len(block)
            self.said_something = True
        elif block:
            self._take_events(self._parser.feed(block))
            if self._parser.is_within_data():
                self.said_something = True
        if not self.is_complete:
            self._account.take_content(size)  # at last: what had come is not lost

    def _look_at_start(self, block: bytes) -> bytes:
        """Decide by the first bytes what the body is; returns what is to be read."""
        # Blank lines before the first event say nothing.
        start = (bytes(self._start) + block).lstrip(b" \t\r\n")
        if start.startswith(b"\xef\xbb\xbf"):
            start = start[:3] + start[3:].lstrip(b" \t\r\n")
        self._start.clear()
        first = start[3:9] if start.startswith(b"\xef\xbb\xbf") else start[:6]
        if first.startswith(_EVENT_STARTS):
            self.is_document = False
            return start
        starts = (*_EVENT_STARTS, b"\xef\xbb\xbf")
        is_short = len(first) < 6
        if is_short and any(known.startswith(first) for known in starts):
            self._start += start
            return b""
        self.is_document = True
        return start

    def _take_events(self, events: list[Event]) -> None:
        for event in events:
            if not self.is_complete:
                self._take_event(event)

    def _take_event(self, event: Event) -> None:
        data = event.data.strip()
        if data.startswith("[DONE]"):
            self._take_done()
        elif event.event == "error":
            body, words = _read_error_body(data, self._account)
            words = words or "no reason was given"
            raise _Failure(ResponseError, "the service reported", words, body)
        elif data:
            self._take_data(data, is_message=event.event == "message")

    def _take_done(self) -> None:
        if not self.has_choices():
            message = "the service gave no answer: its stream has no choice"
            raise _Failure(ResponseError, message)
        self.is_complete = True

    def _take_data(self, data: str, is_message: bool) -> None:
        """Take a chunk.  Events of other types may be heartbeats, which are skipped."""
        try:
            chunk = _decode_json(data, self._account)
        except ValueError as error:
            if is_message:
                raise _not_a_completion(str(error), data) from None
            return
        if not is_message and not _is_chunk(chunk):
            return
        self.said_something = True
        self._may_have_halves = self._may_have_halves or _has_halves(data)
        piece = self._ordinary.piece_of(chunk)
        if piece is None:
            self._take_unusual_chunk(chunk, data)
        else:
            self._ordinary.collector.add(piece)
            self._give(chunk, piece if self._ordinary.is_shown else "", len(data))

    def _give(self, chunk: JSONObject, text: str, size: int) -> None:
        if self._may_have_halves:
            text = self._text.whole_characters(text)
        self.length += len(text)
        self.chunks.append((chunk, text, size))

    def _take_unusual_chunk(self, chunk: Any, data: str) -> None:
        """Take a chunk that may be an error; the text beside an error is not lost."""
        reported = _reported_failure(chunk)
        if reported is not None:
            if not _has_choices(chunk):
                raise reported
            chunk = _without_error(chunk)
        choices = _checked_choices(chunk, "delta")
        for choice in choices:
            if choice.get("delta") is None and _is_object(choice.get("message")):
                self._take_message(choice)
        self._ordinary.forget()
        self._fold.add(chunk, choices, data)
        self._give(chunk, self._text.read(choices), len(data))
        if len(choices) == 1 and not self._fold.has_grown:
            self._ordinary.learn(chunk, self._fold, self._text.index)
        if reported is not None:
            raise reported

    def _take_message(self, choice: JSONObject) -> None:
        """Take a message in place of a delta, as some servers stream.

        Others repeat the whole message in the last chunk, which adds nothing.
        """
        if self._has_messages or not self._fold.has_content:
            self._has_messages = True
            choice["delta"] = choice.pop("message")

    def end(self, is_whole: bool) -> str:
        """The body has ended.  Returns what could not be used of it.

        *is_whole*: by HTTP's framing nothing is missing.  Sets ``is_complete`` if the
        answer is there.
        """
        if self.is_document is None:
            self.is_document, self._body = True, self._start
        if self.is_document:
            return self._end_document(is_whole)
        rest = self._end_events(is_whole)
        if self._fold.is_finished(self._expected_choices):
            self.is_complete = True
        return rest

    def _end_document(self, is_whole: bool) -> str:
        text = self.document_text()
        if not is_whole:
            return text
        self._body.clear()
        if not text.strip():
            raise _Failure(ResponseError, "the answer is empty")
        self._document = _parse_completion(text, self._account)
        self.is_complete = True
        return ""

    def _end_events(self, is_whole: bool) -> str:
        """Finish an event whose blank line did not come.

        Where the body was cut off, so may the event be: only [DONE] is taken then.
        """
        for event in self._parser.feed(b"\n\n"):
            is_done = event.data.lstrip().startswith("[DONE]")
            if not is_whole and not is_done:
                return event.data  # type: ignore[no-any-return]
            try:
                self._take_events([event])
            except _Failure:
                if event.event == "error" or _is_json(event.data):
                    raise
                return event.data  # type: ignore[no-any-return]
        return ""

    def document_text(self) -> str:
        """What has come of a document that is not whole."""
        return self._body.decode("utf-8-sig", "replace")

    def give_document(self) -> None:
        """Make a whole answer the only chunk of a stream."""
        if self._document is None:
            return
        chunk = JSONObject(self._document, object="chat.completion.chunk")
        chunk["choices"] = [
            _as_delta(choice, position)
            for position, choice in enumerate(self._document["choices"])
        ]
        self._give(chunk, self._text.read(chunk["choices"]), self.length)

    def has_choices(self) -> bool:
        """Whether a part of the answer has arrived."""
        return self._fold.has_choices()

    def completion(self) -> Completion:
        """The answer so far."""
        if self._document is not None:
            return self._document
        completion = self._fold.completion()
        if self._may_have_halves:
            _mend(completion)
        return completion

    def rest_of_text(self) -> str:
        """What is left of the text behind the last chunk."""
        return self._text.rest()


def _is_chunk(value: Any) -> bool:
    """Whether the data of an event of an unknown type is a chunk, and no heartbeat."""
    if not isinstance(value, dict):
        return False
    return isinstance(value.get("choices"), list) or bool(value.get("error"))


def _is_json(data: str) -> bool:
    try:
        _decode_json(data)
    except ValueError:
        return False
    return True


def _has_choices(chunk: Any) -> bool:
    """Whether there are choices beside the error that a chunk reports."""
    choices = chunk.choices if _is_object(chunk) else None
    if not isinstance(choices, list) or not choices:
        return False
    return all(_is_choice(choice, "delta") for choice in choices)


def _without_error(chunk: JSONObject) -> JSONObject:
    """A copy of a chunk without the error that it reports, which may show a key."""
    copy = _copied(chunk)
    for name in (*_ERROR_NAMES, *_WORD_NAMES):
        copy.pop(name, None)
    for choice in copy.choices:
        choice.pop("error", None)
    return copy  # type: ignore[no-any-return]


def _as_delta(choice: JSONObject, position: int) -> JSONObject:
    """A whole answer's choice as a chunk has it."""
    delta = JSONObject(choice)
    delta["delta"] = delta.pop("message", None)
    delta.setdefault("index", position)
    return delta


class _TextOfChoice:
    """Takes the text out of chunks: that of choice 0, or of the only one.

    Half of a surrogate pair waits for the other half.
    """

    def __init__(self, expected_choices: int) -> None:
        # Of the choice that is read.  None: the first that comes; choice 0 takes over
        # if it comes later.
        self.index = None if expected_choices <= 1 else 0
        self._half = ""

    def read(self, choices: list[JSONObject]) -> str:
        """The text of a chunk's choices, which may end in half a pair."""
        text = ""
        for choice in choices:
            index = _index_of(choice)
            if self.index is None or index == 0:
                self.index = index
            if index == self.index:
                text += _text_of(choice.delta.content)
        return text

    def whole_characters(self, text: str) -> str:
        """The text, with the half that waited before it."""
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return _mend(text[: len(text) - len(self._half)])  # type: ignore[no-any-return]

    def rest(self) -> str:
        """The half that waits in vain."""
        half, self._half = self._half, ""
        return _mend(half)  # type: ignore[no-any-return]


class _Reading:
    """The reading of an answer from an exchange, and how it ended.

    ``answer.is_complete`` and ``failure`` are set by the reading thread alone.
    """

    def __init__(self, exchange: _Exchange, answer: _Answer) -> None:
        self.answer = answer
        self.failure: _Failure | None = None
        self._exchange = exchange

    def is_open(self) -> bool:
        return self.failure is None and not self.answer.is_complete

    def read_more(self) -> None:
        """Read a block, and perhaps the end."""
        try:
            block = self._exchange.read()
            if block:
                self._take(block)
            else:
                self._end()
        except _Failure as failure:
            self._fail(failure)
        except BaseException:  # such as Ctrl-C: what a read has lost is not known
            self._fail(_Failure(ResponseError, "the reading was interrupted"))
            raise

    def _take(self, block: bytes) -> None:
        self.answer.feed(block)
        if self.answer.said_something:
            self._exchange.limits.heard()
        if self.answer.is_complete:
            self._exchange.release()

    def _end(self) -> None:
        """There is no more to read: is the answer there?"""
        lost = self._exchange.failure
        if lost is None:
            self._exchange.release()
        elif self._exchange.limits.is_cancelled:
            message = "the stream was closed before its end"
            raise _Failure(ResponseError, message)
        rest = self.answer.end(is_whole=lost is None)
        if self.answer.is_complete:
            return
        if lost is None:
            lost = _Failure(ResponseError, "the answer is not complete")
            what = "the stream ended"
        else:
            what = _BREAK_OFFS[lost.error_class]
        unit = "bytes" if self.answer.is_document else "characters"
        length = "%d %s" % (self.answer.length, unit)
        message = "%s after %s: %s" % (what, length, lost.message)
        raise _Failure(lost.error_class, message, body=rest or None)

    def _fail(self, failure: _Failure) -> None:
        if failure.body is None:
            failure.body = self.answer.document_text() or None
        self.failure = failure.with_traceback(None)  # which would hold the request
        self._exchange.drop()


class Stream:
    """An answer as it is generated: an iterator over its chunks (`JSONObject`).

    The end of the loop means that the answer is complete.  Whatever cuts it short,
    `close` included, is a `StreamError` after the last chunk.  `close` (from any
    thread), leaving ``with`` and dropping the stream end the request.  A stream is for
    one consumer.

    ``headers``: those of the HTTP answer, a case-insensitive mapping.  ``request_id``:
    a str or ``None``.
    """

    def __init__(
        self,
        exchange: _Exchange,
        answer: _Answer,
        leave: Callable[[_Failure], SirayaError],
    ) -> None:
        self.headers: Mapping[str, str] = exchange.headers
        self.request_id = exchange.headers.get("x-request-id")
        self._exchange = exchange
        self._answer = answer
        self._reading = _Reading(exchange, answer)
        self._leave = leave  # makes the error that reaches the user

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> JSONObject:
        taken = self.take()
        if taken is None:
            raise StopIteration
        return taken[0]

    def take(self) -> tuple[JSONObject, str, int] | None:
        """The next chunk, the first choice's text in it, and the size of its JSON.

        ``None`` at the end.
        """
        chunks = self._answer.chunks
        while not chunks:
            if self._answer.is_complete:
                return None
            failure = self._reading.failure
            if failure is not None:
                failure.partial = self._so_far()
                raise self._leave(failure)
            self._reading.read_more()
            if self._answer.is_complete:
                self._answer.give_document()
        return chunks.popleft()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the request.  Chunks that have arrived can still be read."""
        self._exchange.close()

    def __del__(self) -> None:
        if hasattr(self, "_leave"):  # else it was interrupted before it had all
            self.close()

    @property
    def text_stream(self) -> Iterator[str]:
        """The pieces of the first choice's text, as they arrive."""
        taken = self.take()
        while taken is not None:
            text = taken[1]
            if text:
                yield text
            taken = self.take()
        rest = self.rest_of_text()
        if rest:
            yield rest

    def rest_of_text(self) -> str:
        """What is left of the text behind the last chunk."""
        return self._answer.rest_of_text()

    def get_final_completion(self) -> Completion:
        """Read what is left.

        Returns the `Completion` that the answer would have been without streaming.
        Raises `StreamError` if it is not complete.
        """
        while self.take() is not None:
            pass
        return self._so_far()

    def _so_far(self) -> Completion:
        completion = self._answer.completion()
        completion._set_headers(self.headers)
        return completion


# ----------------------------------------------------------------------------- client

# Not for the caller to set: they say how long the body is.
_FRAMING_HEADERS = ("content-length", "transfer-encoding")
_LOOPBACK = r"(localhost|127\.[0-9.]+|::1)\Z"


class _Endpoint:
    """A base URL taken apart: where the API is."""

    def __init__(self, name: str, url: str) -> None:
        _secret_string(name, url)
        url = url.strip()
        if url.startswith(("'", '"')) or url.endswith(("'", '"')):
            raise ValueError("%s must not be in quotes: %s" % (name, _shown_url(url)))
        try:
            place = urllib.parse.urlsplit(url)
            host = place.hostname or ""
            if not host.isascii():
                host = _ascii_host(host)
            port = place.port
        except ValueError:  # a malformed port, IPv6 address or name
            raise self._wrong_url(name, url) from None
        is_plain = re.match(r"https?://[^\s\x00-\x1f#@\\]+\Z", url, re.I)
        if not is_plain or port == 0 or not _is_host(host):
            raise self._wrong_url(name, url)
        if not re.match(r"[!-~]*\Z", place.path + place.query):
            raise self._wrong_url(name, url)
        self.scheme = place.scheme.lower()
        self.host = host
        self.port = port or (443 if self.scheme == "https" else 80)
        self.netloc = "[%s]" % host if ":" in host else host
        if port is not None:
            self.netloc += ":%d" % port
        self.path = place.path.rstrip("/")
        if self.path.endswith("/chat/completions"):
            self.path = self.path[: -len("/chat/completions")].rstrip("/")
        self.query = place.query

    @staticmethod
    def _wrong_url(name: str, url: str) -> ValueError:
        return _wrong_value(name, _shown_url(url), "http(s)://HOST[:PORT][/PATH]")

    def base_url(self) -> str:
        """The base URL in its plainest form."""
        return self.url("")

    def url(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        """The URL of a path below the base URL, with a query beside its own."""
        url = "%s://%s%s%s" % (self.scheme, self.netloc, self.path, path)
        queries = [self.query] if self.query else []
        given = _given(query or {})
        if given:
            queries.append(urllib.parse.urlencode(given, doseq=True))
        return url + "?" + "&".join(queries) if queries else url


def _shown_url(url: str) -> str:
    """A URL without what may be secret in it: name, password and query."""
    url = url.partition("?")[0]
    lookalikes = "\uff20\ufe6b"  # which urllib takes for @
    _, at, after = re.sub("[%s]" % lookalikes, "@", url).rpartition("@")
    if not at:
        return url
    scheme = re.match(r"https?://", url, re.I)
    return (scheme.group() if scheme else "") + "…@" + after


def _is_host(host: str) -> bool:
    """Whether it is an address, or a name whose labels DNS allows (RFC 1035 § 2.3)."""
    name = host[:-1] if host.endswith(".") else host
    has_labels = all(0 < len(label) < 64 for label in name.split("."))
    return has_labels and bool(re.match(r"[A-Za-z0-9._:-]+\Z", host))


def _ascii_host(host: str) -> str:
    """A host name in its ASCII form; ``ValueError`` for lookalikes."""
    encoded = host.encode("idna")
    if encoded.decode("idna") != host:
        raise ValueError
    return encoded.decode("ascii")


# Headers and parameters of a query that tell the service who calls.
_KEY_NAMES = frozenset(
    """
    authorization x-api-key api-key apikey x-goog-api-key x-auth-token auth-token
    x-access-token access-token token key cookie subscription-key
    ocp-apim-subscription-key code sig signature
    """.split()
)
# Others whose values are secret.
_SECRET_NAMES = _KEY_NAMES | {"proxy-authorization", "password", "secret"}
# Those whose values may look like a key, and are none.
_PLAIN_NAMES = (
    r"user-agent|(http-)?referer|x-title|api-version|accept.*|content-type|host"
    r"|.*idempotency-key|.*(request|trace|span|correlation)-?id|traceparent|tracestate"
)


def _secrets_in(fields: Iterable[tuple[str, str]]) -> list[str]:
    """The secrets in headers, or in the parameters of a query."""
    secrets = []
    for field, text in fields:
        name = field.lower().replace("_", "-")
        may_be_key = not re.match(_PLAIN_NAMES + r"\Z", name) and _looks_like_key(text)
        if name in _SECRET_NAMES or may_be_key:
            secrets += _spellings(text)
            for key in text.split(None, 1)[1:]:  # "Bearer KEY" (RFC 9110 § 11.4)
                secrets += _spellings(key)
    return secrets


def _spellings(secret: str) -> list[str]:
    """A secret as it is, and as URLs and JSON may write it."""
    quoted = urllib.parse.quote(secret, safe="")
    in_lower_case = re.sub("%..", lambda code: code.group().lower(), quoted)
    return [secret, quoted, in_lower_case, secret.replace("/", r"\/")]


def _parameters(query: str) -> list[tuple[str, str]]:
    """The parameters of a query, with values as they are meant and as they are written.

    One may stand without a name.
    """
    parameters = urllib.parse.parse_qsl(query)
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        parameters.append((name, value) if equals else ("", part))
    return parameters


def _looks_like_key(text: str) -> bool:
    """Whether a value has the look of keys: long, no space, letters and digits."""
    has_both = re.search("[A-Za-z]", text) and re.search("[0-9]", text)
    return len(text) >= 16 and bool(has_both) and not re.search(r"\s", text)


def _secrets_of_proxy(proxy: _Proxy | None) -> list[str]:
    """The credentials of a proxy, as they are sent and as they are written."""
    if proxy is None or not proxy.authorization:
        return []
    encoded = proxy.authorization.partition(" ")[2]
    pair = base64.b64decode(encoded).decode()
    name, _, password = pair.partition(":")
    names = [name] if _looks_like_key(name) else []
    return [encoded, pair, *_spellings(password), *names]


def _has_key(fields: Iterable[tuple[str, str]]) -> bool:
    """Whether one of the headers or parameters may tell the service who calls."""
    return any(name.lower().replace("_", "-") in _KEY_NAMES for name, _ in fields)


def _check_headers(name: str, headers: Any) -> dict[str, Any]:
    """Headers as RFC 9110 § 5 allows them.  No value is shown: it may be a secret."""
    if headers is None:
        return {}
    if not hasattr(headers, "items"):
        raise TypeError("%s must be a dict, not %s" % (name, type(headers).__name__))
    checked: dict[str, Any] = {}
    for field, value in headers.items():
        if not isinstance(field, str) or not re.match(
            r"[A-Za-z0-9!#$%&'*+.^`|~_-]+\Z", field
        ):
            raise ValueError(
                "%s: %s is not a valid header name" % (name, _quote(field))
            )
        if field.lower() in _FRAMING_HEADERS:
            raise ValueError("%s: %s cannot be set" % (name, field))
        if isinstance(value, NotGiven):  # takes the client's away
            checked[field.title()] = value
            continue
        if not isinstance(value, str) or not re.match(r"[\t -~\xa0-\xff]*\Z", value):
            raise ValueError(
                "%s: the value of %s must be one line of Latin-1" % (name, field)
            )
        checked[field.title()] = value
    return checked


def _check_key(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(
            "%s must be a string, or a plain function that returns one, not %s"
            % (name, type(value).__name__)
        )
    key = value.strip()
    name += " (SIRAYA_API_KEY)"
    if " " in key:
        raise ValueError("%s has spaces: is it still a placeholder?" % name)
    if not re.match(r"[!-~]*\Z", key):
        raise ValueError(
            "%s must contain only printable ASCII characters (its value is not shown)"
            % name
        )
    if key.startswith(("'", '"')) or key.endswith(("'", '"')):
        raise ValueError("%s must not be in quotes" % name)
    return key


def _key_or_function(name: str, value: Any) -> None:
    if not callable(value):
        _check_key(name, value)


def _proxy_setting(name: str, value: Any) -> None:
    _secret_string(name, value)
    if value:
        _parse_proxy(name, value)


def _model(name: str, value: Any) -> None:
    _string(name, value)
    if value.startswith(("'", '"')) or value.endswith(("'", '"')):
        message = "%s (SIRAYA_MODEL) must not be in quotes: %s"
        raise ValueError(message % (name, _quote(value)))


_ssl_context = _instance_of(ssl.SSLContext, "an ssl.SSLContext")


def _seconds(name: str, value: Any) -> None:
    """Seconds that the system can count: it has milliseconds in 31 bits."""
    if hasattr(value, "connect") and hasattr(value, "read"):
        raise TypeError(
            "%s must be a number of seconds, not an object of httpx: "
            "timeout=60, connect_timeout=5" % name
        )
    _number(0.001, 1_000_000)(name, value)


# The settings of a client.
_SETTING_RULES: dict[str, Rule] = {
    "api_key": _key_or_function,
    "base_url": _secret_string,  # and what _Endpoint makes of it
    "model": _optional(_model),
    "timeout": _optional(_seconds),
    "connect_timeout": _optional(_seconds),
    "deadline": _optional(_seconds),
    "max_retries": _integer(0),
    "headers": _check_headers,
    "ssl_context": _optional(_ssl_context),
    "proxy": _optional(_proxy_setting),
}
_settings_of = operator.attrgetter(*_SETTING_RULES)
# The arguments of a call that are not parameters of its body.
_CALL_OPTION_RULES: dict[str, Rule] = {
    "timeout": _optional(_seconds),
    "deadline": _optional(_seconds),
    "max_retries": _optional(_integer(0)),
    "extra_headers": _check_headers,
    "extra_query": _optional(_secret_object),
}


class _Service:
    """What a client's settings come to, checked and taken apart: whom to ask, and how.

    It is made anew when a setting has changed.
    """

    def __init__(self, settings: dict[str, Any], transport: _Transport) -> None:
        check_settings(settings)
        headers = settings["headers"]
        # A copy, or None: the user's own may change in place.
        self._given_headers = None if headers is None else dict(headers.items())
        self._values = tuple(settings.values())
        self.settings = settings
        self.transport = transport
        self.endpoint = _Endpoint("base_url", settings["base_url"])
        self.route = transport.route_to(
            self.endpoint.scheme, self.endpoint.host, self.endpoint.port
        )
        self.headers = _check_headers("headers", headers)
        fields = [*_given(self.headers).items(), *_parameters(self.endpoint.query)]
        api_key = settings["api_key"]
        self.has_key_function = callable(api_key)
        self._key = "" if callable(api_key) else _check_key("api_key", api_key)
        self.secrets = _secrets_in(fields) + _secrets_of_proxy(self.route.proxy)
        self.secrets += _spellings(self._key)
        self.has_other_key = _has_key(fields)
        self.is_loopback = _is_loopback(self.endpoint.host)
        # The last host on the way that can read the key, since it goes in plain http.
        self.far_reader = "" if self.endpoint.scheme == "https" else self._far_host()

    def is_made_of(self, values: tuple[Any, ...]) -> bool:
        """Whether these are still the values of the settings."""
        return (
            values == self._values and self.settings["headers"] == self._given_headers
        )

    def key(self) -> str:
        """The key at this moment, or ""."""
        if self.has_key_function:
            return _check_key("api_key", self.settings["api_key"]())
        return self._key

    def _far_host(self) -> str:
        """The proxy's host or the server's, if it is another machine's; or ""."""
        proxy = self.route.proxy
        if proxy is not None and not _is_loopback(proxy.host):
            return proxy.host  # type: ignore[no-any-return]
        return "" if self.is_loopback else self.endpoint.host


def _is_loopback(host: str) -> bool:
    return bool(re.match(_LOOPBACK, host))


def check_settings(settings: dict[str, Any]) -> None:
    for name, rule in _SETTING_RULES.items():
        rule(name, settings[name])


class Call:
    """One call of the user: its attempts, time limits, cancellation and log lines.

    `BaseClient._prepare` makes it, `run` carries it out in this thread, and `cancel`
    ends it from another one.  All that failed on the way leaves through `leave`.
    """

    def __init__(
        self,
        service: _Service,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        options: dict[str, Any],
        read_answer: Callable[[Call, _Exchange, _Account], Any],
    ) -> None:
        settings = {**service.settings, **options}
        self.body = body
        self._service = service
        self._method = method
        self._url = service.endpoint.url(path, options.get("extra_query"))
        self._shown_url = self._url.partition("?")[0]  # a query may hold a key
        self._encoded = None if body is None else _RequestBody(body)
        self._limits = _Limits(
            settings["timeout"], settings["connect_timeout"], settings["deadline"]
        )
        self._max_retries = settings["max_retries"]
        self._own_headers = service.headers
        self._read_answer = read_answer
        self._secrets = list(service.secrets)
        self._has_other_key = service.has_other_key
        self._exchange: Any = None  # of the present attempt
        n = (body or {}).get("n")
        self.expected_choices = n if isinstance(n, int) else 1
        self._add_options(options)

    def _add_options(self, options: dict[str, Any]) -> None:
        """Headers and a query of this call alone."""
        headers = _check_headers("extra_headers", options.get("extra_headers"))
        if headers or options.get("extra_query"):
            self._own_headers = {**self._own_headers, **headers}
            query = self._url.partition("?")[2]
            fields = [*_given(headers).items(), *_parameters(query)]
            self._secrets += _secrets_in(fields)
            self._has_other_key = self._has_other_key or _has_key(fields)

    def has_key(self) -> bool:
        """Whether the call tells the service who calls."""
        return bool(self._service.settings["api_key"]) or self._has_other_key

    def cancel(self) -> None:
        """End the call, from any thread, at whatever stage it is."""
        self._limits.cancel()
        exchange = self._exchange
        if exchange is not None:
            exchange.close()

    def run(self) -> Any:
        """Carry the call out: the answer, or the error of the last attempt."""
        attempt = 0
        while True:
            outcome = self._attempt()
            if not isinstance(outcome, _Failure):
                self._forget_request()
                return outcome
            wait = self._wait_before_retry(outcome, attempt)
            if wait is None:
                self._forget_request()
                raise self.leave(outcome, attempt + 1)
            attempt += 1
            reason = _one_line(self._masked(outcome.reason), 50)
            _log(
                "retrying",
                "%s: retrying in %.1f s (%d of %d)",
                reason,
                wait,
                attempt,
                self._max_retries,
                reason=reason,
                seconds=wait,
                attempt=attempt,
                total=self._max_retries,
            )
            self._limits.wait(wait)
            if self._limits.is_cancelled:
                raise self.leave(outcome, attempt)

    def _forget_request(self) -> None:
        """Let go of attachments: a stream, or an error, may keep the call for long."""
        self.body = self._encoded = None

    def _wait_before_retry(self, failure: _Failure, attempt: int) -> float | None:
        """The seconds to wait before the next attempt; ``None``: there is none."""
        if not failure.may_retry or attempt >= self._max_retries:
            return None
        if self._limits.is_cancelled:
            return None
        wait = _retry_after(self._exchange.headers)
        if wait is None:
            doublings = min(attempt + 1, 10)  # far beyond it, there is no such float
            span = min(MAX_BACKOFF, MIN_BACKOFF * 2.0**doublings)
            wait = random.uniform(MIN_BACKOFF, span)
        elif wait > MAX_RETRY_AFTER:
            return None
        wait = max(wait, MIN_BACKOFF)
        return wait if self._limits.can_wait(wait) else None

    def _attempt(self) -> Any:
        """Send the request once: the answer, or a `_Failure`."""
        headers = self._headers()
        service, account = self._service, _Account()
        exchange = _Exchange(service.transport, service.route, self._limits, account)
        self._exchange = exchange
        started = time.monotonic()
        try:
            service.transport.send(
                _Request(self._method, self._url, headers, self._encoded, exchange)
            )
        except _Failure as failure:
            self._log_attempt(exchange, failure.error_class.__name__, started)
            return failure.with_traceback(None)  # which would hold the request
        exchange.headers = self._masked_headers(exchange.headers)
        self._log_attempt(exchange, str(exchange.status), started)
        try:
            if exchange.status >= 300:
                raise self._status_failure(exchange, account)
            return self._read_answer(self, exchange, account)
        except _Failure as failure:
            exchange.drop()  # no effect if it was read whole
            return failure.with_traceback(None)

    def _headers(self) -> dict[str, str]:
        """The headers of an attempt; the key may be another one each time."""
        is_stream = self.body is not None and self.body.get("stream") is True
        headers = {
            "User-Agent": "siraya_chat/" + __version__,
            "Accept": "text/event-stream" if is_stream else "application/json",
            "Accept-Encoding": "identity",
        }
        if self._encoded is not None:
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(self._encoded.length)
        key = self._service.key()
        if key:
            headers["Authorization"] = "Bearer " + key
            if self._service.has_key_function:
                self._secrets += _spellings(key)
        elif not self._has_other_key and not self._service.is_loopback:
            raise SirayaError(_missing_key())
        headers.update(self._own_headers)
        return _given(headers)

    def _masked(self, value: Any) -> Any:
        """A text or a JSON value without the keys that the call has used.

        Those of five characters or fewer stay: they would be parts of ordinary words.
        """
        return _mask(value, self._masked_secrets())

    def _masked_secrets(self) -> list[str]:
        secrets = {secret for secret in self._secrets if len(secret) > 5}
        # The longest first, since one may begin another.
        return sorted(secrets, key=len, reverse=True)

    def _masked_headers(self, headers: http.client.HTTPMessage) -> Any:
        """An answer's headers without the keys: users print them."""
        fields = [list(field) for field in headers.items()]
        text = "\n".join(map("\n".join, fields))
        if self._masked(text) == text:
            return headers
        copy = http.client.HTTPMessage()
        for name, value in self._masked(fields):
            copy[name] = value  # adds one, where there is one of that name
        return copy

    def _log_attempt(self, exchange: _Exchange, outcome: str, started: float) -> None:
        seconds = time.monotonic() - started
        request_id = exchange.headers.get("x-request-id", "-")
        _log(
            exchange.stage,
            "%s %s: %s in %.3f s, request id %s, %d bytes sent",
            self._method,
            self._shown_url,
            outcome,
            seconds,
            _printable(request_id),
            exchange.sent_body,
            seconds=seconds,
            status=exchange.status,
        )

    def _status_failure(self, exchange: _Exchange, account: _Account) -> _Failure:
        """The failure of an attempt that was answered with another status than 2xx."""
        text = _read_text(exchange, account, MAX_ERROR_BODY_BYTES)[0]
        body, said = _read_error_body(text, account)
        status = exchange.status
        error_class = _STATUS_ERRORS.get(status)
        if error_class is None:
            is_5xx = 500 <= status < 600
            error_class = InternalServerError if is_5xx else APIStatusError
        if status < 400 and exchange.headers.get("Location"):
            place = re.split("[?#]", exchange.headers["Location"])[0]
            said = "redirected to %s, which is not followed; set base_url to that URL"
            said %= _cut(place, MAX_QUOTED_LENGTH)
        message = "HTTP %d %s" % (status, exchange.reason)
        may_retry = _may_retry_status(status)
        return _Failure(error_class, message, said, body, may_retry, str(status))

    def leave(self, failure: _Failure, attempts: int = 1) -> SirayaError:
        """The error that a failure is to the user.

        The keys are taken out of all that it holds, each as a whole.  Then its message
        is made printable, and cut.
        """
        message, said, body = self._masked(
            [failure.message, failure.said, failure.body]
        )
        said = _mask_end(said, self._masked_secrets())
        if isinstance(body, str):
            body = _mask_end(body, self._masked_secrets())
        if said:
            message += ": " + _cut(said, 10 * MAX_MESSAGE_LENGTH)
        end = self._advice(failure) + self._history(attempts)
        message = _one_line(message, MAX_MESSAGE_LENGTH - len(end)) + end
        headers = self._exchange.headers
        if failure.partial is not None:
            error: Any = StreamError(message, body, failure.partial)
        elif issubclass(failure.error_class, APIStatusError):
            status = failure.status or self._exchange.status
            return failure.error_class(message, body, status, headers)
        else:
            error = failure.error_class(message, body)
        if isinstance(error, ResponseError):
            error.retry_after = _retry_after(headers)
        return error  # type: ignore[no-any-return]

    def _advice(self, failure: _Failure) -> str:
        """What to try, if the failure looks like a mistake in the settings."""
        status = self._exchange.status
        proxy = self._exchange.route.proxy
        if status in (401, 407) and proxy is not None:
            place = _address(proxy.host, proxy.port)
            return "; it came through the proxy " + place
        body = failure.body if isinstance(failure.body, str) else ""
        is_page = body.lstrip()[:1] == "<"
        is_elsewhere = is_page or "unexpected endpoint" in failure.said.lower()
        if status in (404, 405) or (200 <= status < 300 and is_elsewhere):
            return "; " + _cut(self._path_advice(), MAX_QUOTED_LENGTH)
        if 200 < status < 300:
            return "; the status was %d" % status
        return ""

    def _path_advice(self) -> str:
        advice = "the URL was " + self._shown_url
        if "/v1/v1/" in self._shown_url:
            return advice + ": base_url has /v1 twice"
        if not re.search(r"/v[0-9]+[a-z0-9]*/", self._shown_url):
            return advice + ": most servers want base_url to end in /v1"
        return advice

    def _history(self, attempts: int) -> str:
        """How often and how long the call was tried, if more than once."""
        if attempts == 1:
            return ""
        words = "tried %d times in %.1f s" % (attempts, self._limits.elapsed())
        request_id = self._exchange.headers.get("x-request-id")
        if request_id:
            words += ", request id " + _one_line(request_id, 100)
        return " (%s)" % words


def _missing_key() -> str:
    message = (
        "no API key: set the environment variable SIRAYA_API_KEY, "
        "or pass Client(api_key=…)"
    )
    if os.environ.get("OPENAI_API_KEY"):
        message += "; OPENAI_API_KEY is not read, so that no other service gets its key"
    return message


def _may_retry_status(status: int) -> bool:
    """Whether a status says "not now".

    504 and 524 do not: a gateway gave up waiting, and the model may still be at work.
    """
    is_5xx = 500 <= status < 600
    return status in _RETRIED_STATUSES or (is_5xx and status not in (504, 524))


# Statuses, and codes of an error that is all of a whole answer of 2xx.
_RETRIED_STATUSES = (408, 409, 429)


def _read_text(
    exchange: _Exchange, account: _Account, limit: int = MAX_ANSWER_BYTES
) -> tuple[str, _Failure | None]:
    """The body as text, and the failure that kept it from being whole.

    *limit*: in bytes.  A longer body is cut.
    """
    content = bytearray()
    block = exchange.read()
    while block and len(content) <= limit:
        exchange.limits.heard()
        account.take_content(len(block))
        content += block
        block = exchange.read()
    if block:
        exchange.drop()
    elif exchange.failure is None:
        exchange.release()
    return content[:limit].decode("utf-8-sig", "replace"), exchange.failure


def _read_completion(call: Call, exchange: _Exchange, account: _Account) -> Completion:
    """The whole answer, also if it comes as an event stream; else `_Failure`."""
    answer = _Answer(call.expected_choices, account)
    reading = _Reading(exchange, answer)
    while reading.is_open():
        reading.read_more()
        answer.chunks.clear()
    failure = reading.failure
    if failure is None:
        return _with_headers(answer.completion(), exchange)
    if answer.has_choices():
        failure.partial = _with_headers(answer.completion(), exchange)
    elif answer.is_document and exchange.failure is None:
        failure.may_retry = _is_refusal_for_now(failure)
    raise failure


def _with_headers(completion: Completion, exchange: _Exchange) -> Completion:
    completion._set_headers(exchange.headers)
    return completion


# What may stand beside an error that is all of an answer.
_BESIDE_ERRORS = {*_ERROR_NAMES, *_WORD_NAMES, *_CODE_NAMES} | {
    "object",
    "type",
    "param",
    "status",
    "success",
    "id",
    "request_id",
    "created",
    "timestamp",
}


def _is_refusal_for_now(failure: _Failure) -> bool:
    """Whether a whole document of 2xx is nothing but an error that says "not now".

    This is the one case in which a request is sent again after a 2xx.  A code of 5xx in
    a 2xx is not retried, since the model may have run.
    """
    body = failure.body
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict) or not _BESIDE_ERRORS.issuperset(body):
        return False
    if not isinstance(body.get("message", ""), str):  # it may be an answer's
        return False
    error = _error_fields(body)
    if "choices" in error or "usage" in error:  # that stand within the error
        return False
    return str(error.get("code")) in map(str, _RETRIED_STATUSES)


def _open_stream(call: Call, exchange: _Exchange, account: _Account) -> Stream:
    answer = _Answer(call.expected_choices, account)
    return Stream(exchange, answer, call.leave)


class _List(list):  # type: ignore[type-arg]
    """A list that is its own ``data``, as a page of the OpenAI SDK has."""

    @property
    def data(self) -> list[JSONObject]:
        return self


def _read_list(call: Call, exchange: _Exchange, account: _Account) -> list[JSONObject]:
    text, failure = _read_text(exchange, account)
    if failure is not None:
        failure.body = text
        raise failure
    return _parse_list(text, account)


def _parse_list(text: str, account: _Account) -> list[JSONObject]:
    try:
        value = _decode_json(text, account)
    except ValueError as reason:
        message = "not a list of models (%s)" % reason
        raise _Failure(ResponseError, message, _page_title(text), text) from None
    items = _listed_in(value)
    if not isinstance(items, list) or not all(map(_is_object, items)):
        _raise_if_error(value)
        raise _Failure(ResponseError, "not a list of models", body=value)
    return _List(items)


def _listed_in(value: Any) -> Any:
    """What a body says that there is: under one of two names, or the body itself."""
    if not isinstance(value, dict):
        return value
    for name in ("data", "models"):
        if name in value:
            return [] if value[name] is None else value[name]
    return None


class _Door:
    """One of the OpenAI SDK's ways to a call, such as ``client.chat``.

    *place*: how a program writes it.  *found*: what stands there.
    """

    def __init__(self, place: str, **found: Any) -> None:
        self._place = place
        vars(self).update(found)

    def __getattr__(self, name: str) -> Any:
        raise _no_attribute(vars(self).get("_place", "client"), name)


class _Completions(_Door):
    """``client.chat.completions`` of the OpenAI SDK."""

    _client: Any

    def create(
        self,
        *,
        messages: Messages,
        model: str | None = None,
        stream: bool | None = False,
        **params: Any,
    ) -> Any:
        """`Client.stream` if *stream* is true, else `Client.complete`."""
        if _is_given(stream):
            _boolean("stream", stream)
        if stream:
            return self._client.stream(messages, model, **params)
        return self._client.complete(messages, model, **params)

    def parse(
        self,
        *,
        messages: Messages,
        response_format: Any,
        model: str | None = None,
        **params: Any,
    ) -> Any:
        """`Client.complete` with an answer by the schema of a class.

        *response_format*: a class like pydantic's models, with ``model_json_schema()``
        and ``model_validate_json()``.  What the latter makes of the text stands in
        ``choices[0].message.parsed``, ``None`` beside a refusal.  An answer that was
        cut off is a `ResponseError`.
        """
        if not hasattr(response_format, "model_validate_json"):
            raise _wrong_type(
                "response_format",
                response_format,
                "a class with model_json_schema() and model_validate_json()",
            )
        schema = _strict_schema(response_format.model_json_schema())
        form = json_schema(schema, response_format.__name__)
        params["response_format"] = form
        read_answer = functools.partial(_read_parsed, response_format)
        call = self._client._prepare(messages, model, False, params, read_answer)
        return self._client._run(call)


class AsyncCompletions(_Completions):
    """``client.chat.completions`` of an asynchronous client."""

    async def create(self, **arguments: Any) -> Any:
        return await super().create(**arguments)

    async def parse(self, **arguments: Any) -> Any:
        return await super().parse(**arguments)


def _read_parsed(
    parsed_class: Any, call: Call, exchange: _Exchange, account: _Account
) -> Completion:
    """A whole answer, with an object of the class in each message that has a text."""
    completion = _read_completion(call, exchange, account)
    for choice in completion["choices"]:
        cut_off = _cut_off_reason(choice.finish_reason)
        if cut_off:
            message = "there is nothing to parse: " + cut_off
            raise _Failure(ResponseError, message, body=completion.text)
        message = choice.get("message")
        if message is None:
            continue
        text = without_fence(_text_of(message.content))
        message["parsed"] = None
        if text and not message.refusal:
            message["parsed"] = parsed_class.model_validate_json(text)
    return completion


def _strict_schema(schema: Any, root: Any = None, within: tuple[str, ...] = ()) -> Any:
    """A JSON Schema as strict structured output needs it, as the OpenAI SDK makes it.

    A copy.  No object has additional properties, and each property is required.
    *within*: the references that are being resolved.
    """
    if not isinstance(schema, dict):
        return schema
    root = schema if root is None else root
    reference = schema.get("$ref")
    if isinstance(reference, str) and len(schema) > 1:  # nothing may stand beside it
        if reference in within:
            return {"$ref": reference}
        beside = {name: part for name, part in schema.items() if name != "$ref"}
        merged = {**_referred(root, reference), **beside}
        return _strict_schema(merged, root, (*within, reference))
    make_strict = functools.partial(_strict_schema, root=root, within=within)
    strict = {
        name: _strict_part(name, part, make_strict) for name, part in schema.items()
    }
    if strict.get("type") == "object":
        strict.setdefault("additionalProperties", False)
    if isinstance(strict.get("properties"), dict):
        strict["required"] = list(strict["properties"])
    if len(strict.get("allOf", ())) == 1:
        strict.update(strict.pop("allOf")[0])
    if strict.get("default", NOT_GIVEN) is None:  # "null" in the type says as much
        del strict["default"]
    return strict


def _strict_part(name: str, part: Any, make_strict: Callable[[Any], Any]) -> Any:
    """A field of a schema, in which the schemas are made strict."""
    if name in ("$defs", "definitions", "properties") and isinstance(part, dict):
        return {field: make_strict(inner) for field, inner in part.items()}
    if name in ("anyOf", "allOf") and isinstance(part, list):
        return [make_strict(inner) for inner in part]
    return make_strict(part) if name == "items" else part


def _referred(root: Any, reference: str) -> Any:
    """What a reference such as "#/$defs/Step" stands for."""
    found = root
    for name in reference.split("/")[1:]:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ValueError("the schema refers to %r, which is not there" % reference)
    return found


class _Models(_Door):
    """``client.models`` of the OpenAI SDK."""

    _client: Any

    def list(self, **options: Any) -> Any:
        """What the service offers: see `Client.list_models`."""
        return self._client.list_models(**options)

    def retrieve(self, model: str, **options: Any) -> Any:
        """The entry of the list with this ``id``, or `NotFoundError`."""
        _nonempty("model", model)
        read_answer = functools.partial(_read_model, model)
        return self._client._run(self._client._prepare_list(options, read_answer))


def _read_model(
    name: str, call: Call, exchange: _Exchange, account: _Account
) -> JSONObject:
    for model in _read_list(call, exchange, account):
        if model.get("id") == name:
            return model
    failure = _Failure(NotFoundError, "the service lists no model %s" % _quote(name))
    failure.status = 404
    raise failure


# Names of the OpenAI SDK that are not here, on purpose, and what to use in their place.
_NOT_HERE = {
    "responses": "client.chat.completions",
    "completions": "client.chat.completions",
    "embeddings": "a plain HTTP request: this client speaks chat completions alone",
    "images": "a model that draws, through client.chat.completions",
    "audio": "audio(…) in a message, through client.chat.completions",
    "files": "pdf(…), image(…) or attach(…) in a message",
    "batches": "a pool of threads, or AsyncClient",
    "moderations": "a plain HTTP request: this client speaks chat completions alone",
    "with_raw_response": "the answer's own .headers and .request_id",
    "with_streaming_response": "client.stream(…)",
    "client.chat.completions.stream": "create(stream=True), or client.stream(…)",
    "http_client": "timeout=, proxy= and ssl_context=",
    "organization": 'headers={"OpenAI-Organization": …}',
    "project": 'headers={"OpenAI-Project": …}',
    "default_query": "a query in base_url, or extra_query= in a call",
    "AzureOpenAI": 'Client(base_url="https://…?api-version=…", headers={"Api-Key": …})',
    "DefaultHttpxClient": "timeout=, proxy= and ssl_context= of Client",
    "Timeout": "seconds: Client(timeout=60, connect_timeout=5)",
    "types": "the dicts that user(…), image(…) and json_schema(…) make, and JSONObject",
    "chat": "a client: Client().chat.completions",
    "models": "a client: Client().models",
    "LengthFinishReasonError": "ResponseError",
    "ContentFilterFinishReasonError": "ResponseError",
    "APIResponseValidationError": "ResponseError",
}
_NOT_HERE["AsyncAzureOpenAI"] = _NOT_HERE["AzureOpenAI"].replace(
    "Client", "AsyncClient"
)
_NOT_HERE["DefaultAsyncHttpxClient"] = _NOT_HERE["DefaultHttpxClient"]


def _no_attribute(owner: str, name: str) -> AttributeError:
    """The error for an attribute that an object of the SDK would have, or not."""
    instead = _NOT_HERE.get("%s.%s" % (owner, name)) or _NOT_HERE.get(name)
    if instead is None:
        return AttributeError("%s has no attribute %r" % (owner, name))
    return AttributeError("%s.%s is not here: use %s" % (owner, name, instead))


def __getattr__(name: str) -> Any:
    """Python asks here for a name that the module has not."""
    error = _no_attribute(__name__, name)
    if name in _NOT_HERE and (name[0].isupper() or name == "types"):
        # Of an AttributeError the words would be lost in "from siraya_chat import …".
        raise ImportError(str(error), name=__name__)
    raise error


if TYPE_CHECKING:
    # client.chat as type checkers see it: Whole is what create() gives without
    # stream=True, and Pieces with it.
    Whole = TypeVar("Whole", covariant=True)
    Pieces = TypeVar("Pieces", covariant=True)
    Result = TypeVar("Result")
    Awaited = Coroutine[Any, Any, Result]

    class TypedCompletions(Protocol[Whole, Pieces]):
        @overload
        def create(
            self, *, stream: Literal[True], **params: Unpack[CreateParams]
        ) -> Pieces: ...
        @overload
        def create(
            self, *, stream: Literal[False] | None = ..., **params: Unpack[CreateParams]
        ) -> Whole: ...
        @overload
        def create(
            self, *, stream: bool, **params: Unpack[CreateParams]
        ) -> Whole | Pieces: ...
        def parse(
            self,
            *,
            messages: Messages,
            response_format: Any,
            model: str | None = ...,
            **params: Any,
        ) -> Whole: ...

    class TypedChat(Protocol[Whole, Pieces]):
        @property
        def completions(self) -> TypedCompletions[Whole, Pieces]: ...

    class TypedModels(Protocol[Whole, Pieces]):
        def list(self, **options: Any) -> Whole: ...
        def retrieve(self, model: str, **options: Any) -> Pieces: ...


class BaseClient:
    """The settings of `Client` and `AsyncClient`, and the calls made of them.

    Threads and forked processes can share it.  It can be pickled if *ssl_context* is
    not set.

    *api_key*: a str, or a function without arguments that returns one; it is called
    before each attempt.  *base_url*: may end with a slash or ``/chat/completions``, and
    may have a query.  *model*: for calls that name none.  These three default to
    ``SIRAYA_API_KEY``, ``SIRAYA_BASE_URL`` (or https://llm.siraya.pro/v1) and
    ``SIRAYA_MODEL``.

    *timeout*: how many seconds the server may send no data while we wait for it.
    *connect_timeout*: seconds for each step of connecting: an address, the proxy, TLS.
    *deadline*: seconds for a whole call, the lookup of the host's name excepted.
    ``None``: no limit.
    *max_retries*: how many times a failed call is retried: no connection, no answer, or
    a status of 408, 409, 429 or 5xx but 504 and 524.
    *headers*, or *default_headers*: go with every request.
    *ssl_context*: an ``ssl.SSLContext`` in place of the system's trust store,
    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.
    *proxy*: ``None`` takes the environment's or the system's, ``""`` none, ``http://…``
    that one.

    All can be read and set as attributes; the next call checks and uses them.
    """

    # The OpenAI SDK's ways to a call.  "Client().chat" must work after the client is
    # gone, so they hold more than a weak reference; a reference to the client would be
    # a cycle.  So they hold a twin, which has the same __dict__ but not these.
    __slots__ = ("__dict__", "__weakref__", "beta", "chat", "models")
    _completions_class = _Completions

    def __init__(
        self,
        api_key: str | Callable[[], str] | None = None,
        base_url: str | None = None,
        *,
        model: str | None = None,
        timeout: float | None = 600.0,
        connect_timeout: float | None = 10.0,
        max_retries: int = 2,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        deadline: float | None = None,
        default_headers: Mapping[str, str] | None = None,
        **others: Any,
    ) -> None:
        for name, value in others.items():
            if value is not None or name not in _NOT_HERE:
                raise _no_argument(type(self).__name__, name)
        url = _or_environment(base_url or None, "SIRAYA_BASE_URL") or DEFAULT_BASE_URL
        self.api_key = _or_environment(api_key, "SIRAYA_API_KEY") or ""
        self.base_url = _Endpoint("base_url", url).base_url()
        self.model = _or_environment(model or None, "SIRAYA_MODEL")
        self.timeout = _or_default(timeout, 600.0)
        self.connect_timeout = _or_default(connect_timeout, 10.0)
        self.max_retries = _or_default(max_retries, 2)
        self.headers = _or_default(headers, None)
        if self.headers is None:
            self.headers = _or_default(default_headers, None)
        self.ssl_context = _or_default(ssl_context, None)
        self.proxy = _or_default(proxy, None)
        self.deadline = _or_default(deadline, None)
        self._has_warned = False  # of a key that goes over plain http
        self._transport = _Transport(self.proxy, self.ssl_context)
        self._service: Any = None  # what the settings come to; made by the first call
        check_settings(self._settings())
        self._add_ways()

    def _add_ways(self) -> None:
        twin = type(self).__new__(type(self))
        twin.__dict__ = self.__dict__
        completions = self._completions_class("client.chat.completions", _client=twin)
        self.chat: Any = _Door("client.chat", completions=completions)
        self.beta: Any = _Door("client.beta", chat=self.chat)
        self.models: Any = _Models("client.models", _client=twin)

    def __getattr__(self, name: str) -> Any:
        raise _no_attribute("client", name)

    def _settings(self) -> dict[str, Any]:
        return dict(zip(_SETTING_RULES, _settings_of(self)))

    def _current_service(self) -> _Service:
        """Whom to ask, by the settings as they are now."""
        values, service = _settings_of(self), self._service
        if service is None or not service.is_made_of(values):
            settings = dict(zip(_SETTING_RULES, values))
            transport_settings = (settings["proxy"], settings["ssl_context"])
            if transport_settings != self._transport.settings:
                self._transport = _Transport(*transport_settings)
            service = self._service = _Service(settings, self._transport)
        return service  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return "%s(base_url=%r, model=%r)" % (
            type(self).__name__,
            _shown_url(str(self.base_url)),
            self.model,
        )

    def __getstate__(self) -> dict[str, Any]:
        return self._settings()

    def __setstate__(self, settings: dict[str, Any]) -> None:
        self.__init__(**settings)  # type: ignore[misc]

    def _close_idle(self) -> None:
        """Close the idle connections.  The client remains usable."""
        self._transport.close()

    def with_options(self, **changes: Unpack[Options]) -> Self:
        """A client that differs in these settings.  It shares the kept connections."""
        if "default_headers" in changes:
            changes["headers"] = changes.pop("default_headers")
        for name in changes:
            if name not in _SETTING_RULES:
                raise _no_argument("with_options", name)
        given = {
            name: value
            for name, value in changes.items()
            if not isinstance(value, NotGiven)
        }
        client = type(self)(**{**self._settings(), **given})
        if client._transport.settings == self._transport.settings:
            client._transport = self._transport
        client._has_warned = self._has_warned
        return client

    copy = with_options

    def _prepare(
        self,
        messages: Messages,
        model: str | None,
        is_stream: bool,
        params: Mapping[str, Any],
        read_answer: Callable[[Call, _Exchange, _Account], Any] | None = None,
    ) -> Call:
        """A call that is checked and not yet sent: see `Call`.

        *read_answer*: makes what the call returns; default: a `Stream` or `Completion`.
        """
        params = dict(params)
        wanted = params.pop("stream", None)
        if _is_given(wanted) and wanted is not is_stream:
            raise TypeError(
                "complete() returns a whole answer, and stream() its pieces: "
                "stream=%s does not fit" % _quote(wanted)
            )
        options = take_options(params)
        body = build_request(messages, model or self.model, stream=is_stream, **params)
        if read_answer is None:
            read_answer = _open_stream if is_stream else _read_completion
        return self._new_call("POST", "/chat/completions", body, options, read_answer)

    def _prepare_list(
        self,
        params: Mapping[str, Any],
        read_answer: Callable[[Call, _Exchange, _Account], Any] = _read_list,
    ) -> Call:
        """A call for the list of models."""
        params = dict(params)
        options = take_options(params)
        for name in params:
            raise _no_argument("list_models", name)
        return self._new_call("GET", "/models", None, options, read_answer)

    def _new_call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        options: dict[str, Any],
        read_answer: Callable[[Call, _Exchange, _Account], Any],
    ) -> Call:
        service = self._current_service()
        call = Call(service, method, path, body, options, read_answer)
        if service.far_reader and call.has_key() and not self._has_warned:
            self._has_warned = True
            place = service.far_reader
            message = "the API key is sent unencrypted (plain http) to " + place
            warnings.warn(message, stacklevel=_levels_to_caller())
        return call


def _or_default(value: Any, default: Any) -> Any:
    return default if isinstance(value, NotGiven) else value


def _or_environment(value: Any, variable: str) -> Any:
    """A setting; where it is not given, the environment's, or ``None``."""
    if value is None or isinstance(value, NotGiven):
        return os.environ.get(variable, "").strip() or None
    return value


def _no_argument(function: str, name: str) -> TypeError:
    """The error for an argument that a function of the SDK would take, or not."""
    instead = _NOT_HERE.get(name)
    if instead is None:
        return TypeError("%s() has no argument %r" % (function, name))
    return TypeError("%s() has no argument %r: use %s" % (function, name, instead))


def take_options(params: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a call out of its parameters, and check them."""
    options = {}
    for name in _SETTING_RULES:
        if name in params and name not in _CALL_OPTION_RULES:
            raise TypeError(
                "%s is a setting of the client: Client(%s=…), or with_options(%s=…)"
                % (name, name, name)
            )
    for name, rule in _CALL_OPTION_RULES.items():
        value = params.pop(name, NOT_GIVEN)
        if isinstance(value, NotGiven):
            continue
        rule(name, value)
        # None means "no limit" for the seconds, and the client's for the retries.
        if name != "max_retries" or value is not None:
            options[name] = value
    return options


def _levels_to_caller() -> int:
    """How far up the stack the first caller outside of this file stands."""
    levels = 1
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals is globals():
        frame = frame.f_back
        levels += 1
    return levels


class Client(BaseClient):
    # BaseClient's text with another first sentence.
    __doc__ = (
        "A client for a chat-completions server."
        + (str(BaseClient.__doc__).partition(".")[2])
    )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections.  The client remains usable."""
        self._close_idle()

    def _run(self, call: Call) -> Any:
        """Carry out a call: see `BaseClient._prepare`."""
        return call.run()

    def complete(
        self,
        messages: Messages,
        model: str | None = None,
        **params: Unpack[Params],
    ) -> Completion:
        """The whole answer.

        Beside the parameters below, for this call alone: ``timeout``, ``deadline``,
        ``max_retries``, ``extra_headers`` and ``extra_query``.  Raises ``ValueError``
        and ``TypeError`` before anything is sent, then `APIConnectionError`,
        `APIStatusError` or `ResponseError`.
        """
        call = self._prepare(messages, model, False, params)
        return call.run()  # type: ignore[no-any-return]

    def stream(
        self,
        messages: Messages,
        model: str | None = None,
        **params: Unpack[Params],
    ) -> Stream:
        """The answer as it is generated.

        Takes and raises what `complete` does.  Errors after the answer has begun are
        raised by the `Stream`.
        """
        call = self._prepare(messages, model, True, params)
        return call.run()  # type: ignore[no-any-return]

    def list_models(self, **options: Any) -> ModelList:
        """The models that the service lists, a `JSONObject` each.

        *options*: ``timeout``, ``deadline``, ``max_retries``, ``extra_headers``,
        ``extra_query``.
        """
        return self._prepare_list(options).run()  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @property
        def chat(self) -> TypedChat[Completion, Stream]: ...
        @property
        def models(self) -> TypedModels[ModelList, Model]: ...


# The name that programs of the OpenAI SDK import.
OpenAI = Client


# ---------------------------------------------------------------------------- asyncio
#
# Each call runs in a daemon thread of its own, by the same code as Client's.  The event
# loop and the thread meet in one place: _Handover.

# Chunks that may wait for a consumer; beyond that the server has to wait too.  A large
# one counts as one for each so many characters.
_READ_AHEAD = 100
_READ_AHEAD_CHARACTERS = 1000


class _Handover:
    """Hands what a thread makes of a call to a task, a bounded number of items ahead.

    *work*: makes the items, each with its size; it runs in the thread.  The end is an
    error, or an item that is ``None``.
    """

    def __init__(self, call: Call, work: Callable[[Call], Iterator[Any]]) -> None:
        import asyncio
        import queue

        self._call = call
        self._work = work
        self._loop = asyncio.get_running_loop()
        # Each an item, an error, and the room that it takes.  The end stays, and is
        # given again and again.
        self._arrived: collections.deque[tuple[Any, Any, int]] = collections.deque()
        # A token for each item that may be added.  No semaphore: close() may come in
        # the middle of itself, from __del__ or a signal handler.
        self._room: Any = queue.SimpleQueue()
        for _ in range(_READ_AHEAD):
            self._room.put(None)
        self._is_closed = False  # set by close()
        self._waiter: Any = None  # the future that the consumer waits for
        self._start_thread()

    def _start_thread(self) -> None:
        import contextvars

        run = contextvars.copy_context().run  # the task's variables hold there, too
        thread = threading.Thread(
            target=run, args=(self._run,), name="siraya_chat", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise SirayaError(
                "no thread can be started for this call: %s" % error
            ) from None

    def _run(self) -> None:
        try:
            for item, size in self._work(self._call):
                self._put(item, None, size)
        except BaseException as error:
            self._put(None, error, 0)

    def _put(self, item: Any, error: BaseException | None, size: int) -> None:
        room = min(_READ_AHEAD, 1 + size // _READ_AHEAD_CHARACTERS)
        for _ in range(room):
            if not self._is_closed:  # else what is left is taken without waiting
                self._room.get()
        self._arrived.append((item, error, room))
        waiter = self._waiter
        try:
            if waiter is not None:
                self._loop.call_soon_threadsafe(_wake, waiter)
        except RuntimeError:  # the loop is closed: nobody reads any more
            self.close()

    async def take(self) -> Any:
        """The next item; ``None`` at the end.  Raises the error that ended the work."""
        while not self._arrived:
            await self._wait()
        item, error, room = self._arrived[0]
        if error is not None:
            raise error
        if item is not None:
            self._arrived.popleft()
            for _ in range(room):
                self._room.put(None)
        return item

    async def _wait(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("another task waits for this stream's next chunk")
        self._waiter = self._loop.create_future()
        # The thread may have added an item before it could see the waiter.
        if self._arrived:
            self._waiter = None
            return
        try:
            await self._waiter
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the request, at whatever stage it is."""
        self._is_closed = True
        self._call.cancel()
        self._room.put(None)  # the thread may wait for it, and then finds this closed


def _wake(waiter: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _answer_of(call: Call) -> Iterator[Any]:
    yield call.run(), 0


def _chunks_of(call: Call) -> Iterator[Any]:
    """A call's `Stream`, then what that gives."""
    stream = call.run()
    yield stream, 0
    taken = stream.take()
    while taken is not None:
        yield taken, taken[2]
        taken = stream.take()
    yield None, 0


class AsyncStream:
    """`Stream` for asyncio: read with ``async for``.

    A task that is cancelled while it waits for a chunk ends the request.
    """

    def __init__(self, handover: _Handover, stream: Stream) -> None:
        self.headers: Mapping[str, str] = stream.headers
        self.request_id: str | None = stream.request_id
        self._handover = handover
        self._stream = stream

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> JSONObject:
        taken = await self._handover.take()
        if taken is None:
            raise StopAsyncIteration
        return taken[0]  # type: ignore[no-any-return]

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the request.  Chunks that have arrived can still be read."""
        self._handover.close()

    aclose = close

    def __del__(self) -> None:
        self._handover.close()

    @property
    async def text_stream(self) -> AsyncIterator[str]:
        """The pieces of the first choice's text, as they arrive."""
        taken = await self._handover.take()
        while taken is not None:
            text = taken[1]
            if text:
                yield text
            taken = await self._handover.take()
        rest = self._stream.rest_of_text()
        if rest:
            yield rest

    async def get_final_completion(self) -> Completion:
        """Read what is left: see `Stream.get_final_completion`."""
        async for _ in self:
            pass
        return self._stream.get_final_completion()


class AsyncClient(BaseClient):
    # BaseClient's text with another first sentence.
    __doc__ = "`Client` for asyncio." + str(BaseClient.__doc__).partition(".")[2]

    _completions_class = AsyncCompletions

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the idle connections.  The client remains usable."""
        self._close_idle()

    async def _run(self, call: Call) -> Any:
        """Carry out a call: see `BaseClient._prepare`."""
        return await _Handover(call, _answer_of).take()

    async def complete(
        self,
        messages: Messages,
        model: str | None = None,
        **params: Unpack[Params],
    ) -> Completion:
        """The whole answer: see `Client.complete`."""
        call = self._prepare(messages, model, False, params)
        return await self._run(call)  # type: ignore[no-any-return]

    async def stream(
        self,
        messages: Messages,
        model: str | None = None,
        **params: Unpack[Params],
    ) -> AsyncStream:
        """The answer as it is generated: see `Client.stream`."""
        call = self._prepare(messages, model, True, params)
        handover = _Handover(call, _chunks_of)
        return AsyncStream(handover, await handover.take())

    async def list_models(self, **options: Any) -> ModelList:
        """The models that the service lists: see `Client.list_models`."""
        call = self._prepare_list(options)
        return await self._run(call)  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @property
        def chat(self) -> TypedChat[Awaited[Completion], Awaited[AsyncStream]]: ...
        @property
        def models(self) -> TypedModels[Awaited[ModelList], Awaited[Model]]: ...


# The name that programs of the OpenAI SDK import.
AsyncOpenAI = AsyncClient


def _describe_parameters() -> None:
    """Have help() say what the parameters of a call are, as `build_request` does."""
    parameters = str(build_request.__doc__).partition("*messages*")[2]
    functions: list[Any] = [build_request, BaseClient.with_options]
    for client in (Client, AsyncClient):
        for method in (client.complete, client.stream):
            text = "%s\n*messages*%s" % (method.__doc__, parameters)
            # Some versions of Python take the indentation out of docstrings, some not.
            method.__doc__ = re.sub("\n +", "\n", text)
            functions.append(method)
    for function in functions:  # what they say otherwise is for type checkers alone
        function.__annotations__ = {
            name: "Any" if annotation.startswith("Unpack[") else annotation
            for name, annotation in function.__annotations__.items()
        }


_describe_parameters()


# ----------------------------------------------------------------------- command line
#
# Of the library it uses the public names and the text helpers.
#
#   _parse_arguments()           what the command line says
#   _read_input(), _write()      standard streams, however they were left
#   _StandardError                      standard error: lines, and the status line
#   _Output                      standard output: the answer
#   _History                     the conversation, and the file where it is kept
#   _Turn                        a request, and its answer as it is printed
#   _Command                     a run of the command, made of all these
#   _turns()                     what is typed at a terminal

# It is also the table of the options, and fits a terminal of 24 lines.
_HELP = """\
usage: siraya-chat [options] [prompt ...]    text that is piped in is added
  -m, --model MODEL      default: $SIRAYA_MODEL or %s
  -s, --system TEXT      system message; @FILE reads it from a file
  -a, --attach FILE      file or URL; - is standard input; FILE;type=image/png
  -o, --option KEY=VALUE timeout=60, temperature=0, stream=false; repeatable
  --schema FILE_OR_JSON  answer by this JSON Schema; prints the JSON alone
  -j, --json             print the response as JSON; streamed, a chunk a line
  -u, --usage            print tokens and cost on standard error
  -c, --chat             a conversation at the terminal; exit or Ctrl-D ends it
  --history FILE         go on with the conversation in FILE; keep each turn
  --models               list the models of the service
  -v, --verbose          print attempts, retries and times on standard error
  -n, --dry-run          print the request and send nothing; needs no key
  --base-url URL         default: $SIRAYA_BASE_URL or %s
  --version              print the version
  -h, --help             print this help
examples:
  git diff | siraya-chat -s "You are a strict reviewer." "Review this."
  siraya-chat -a cat.png "What is in this image?"
  siraya-chat --schema bill.json -a bill.pdf "Extract the total."
  while read -r line; do siraya-chat "$line" </dev/null; done <questions.txt
environment: SIRAYA_API_KEY (options can be seen), https_proxy, SSL_CERT_FILE
exit status: 0 done; 1 failed, or no answer; 2 usage error; 130 Ctrl-C
""" % (DEFAULT_MODEL, DEFAULT_BASE_URL)
# What -o cannot set: an option or an argument does, or it is none of a request.
_NOT_FOR_O = """
    model messages api_key base_url connect_timeout headers proxy ssl_context
    """.split()
# How the library tells programs what is wrong, and how the command tells its user.
_OWN_WORDS = {
    ", or pass Client(api_key=…)": "",
    "media_type='image/png', or ": "",
    " in the command": "",
    "media_type must": ";type= must",
    "attach: ": "",
    "json_schema().json_schema.schema": "--schema",
    "base_url must": "--base-url (SIRAYA_BASE_URL) must",
    "extra_body={…} sends": "-o 'extra_body={…}' sends",
    "a dict": "a JSON object",
    "True or False": "true or false",
}
# Errors of the service or the network: exit status 1.
_FAILURES = (APIConnectionError, APIStatusError, ResponseError)
# What would move a terminal's cursor or turn its text round; line ends and tabs may
# stay.
_DRIVES_TERMINAL = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
_MAX_INPUT_BYTES = 64 << 20
# Of the process's own terminal: keyboard and screen.
_TERMINAL_NAMES = ("CONIN$", "CONOUT$") if os.name == "nt" else ("/dev/tty", "/dev/tty")
# Seconds in which a pasted line follows the one before it.
_PASTE_SECONDS = 0.05


def _parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """The options by their long names, and the words of the prompt."""
    from getopt import GetoptError, gnu_getopt

    letters, names, long_names = "", [], {}
    # Lines of the help such as "  -m, --model MODEL".
    for letter, name, value in re.findall(r"\n  (?:-(.), )?--(\S+)( [A-Z])?", _HELP):
        names.append(name + "=" if value else name)
        if letter:
            letters += (letter + ":") if value else letter
            long_names["-" + letter] = "--" + name
    try:
        given, words = gnu_getopt(arguments, letters, names)
    except GetoptError as error:
        advice = "see --help; a prompt that begins with a hyphen needs -- before it"
        raise ValueError("%s; %s" % (error.msg, advice)) from None
    options: dict[str, Any] = {"words": words, "--attach": [], "--option": []}
    for spelling, value in given:
        name = long_names.get(spelling, spelling)
        if not value and name[2:] + "=" in names:
            raise ValueError("%s: its value is empty" % spelling)
        if name in ("--attach", "--option"):
            options[name].append(value)
        else:
            options[name] = value
    return options


def _as_text(argument: str) -> str:
    """An argument as text: bytes that the locale does not know are UTF-8."""
    try:
        return argument.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise ValueError("an argument is not UTF-8: " + argument) from None


@contextlib.contextmanager
def _errors_about(what: str) -> Iterator[None]:
    """Put what an error is about before its message."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError("%s: %s" % (_as_text(what), reason)) from None


def _is_terminal(stream: Any) -> bool:
    return stream is not None and bool(stream.isatty())


def _bytes_of(stream: Any) -> Any:
    """The bytes of a standard stream, without a buffer.

    ``None`` for an object without bytes that a program put in its place.
    """
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def _encoding_of(stream: Any) -> str:
    """UTF-8 for the process's pipes and files, unless a variable names another."""
    named = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    is_own = stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    if is_own and not named and not _is_terminal(stream):
        return "utf-8"
    return getattr(stream, "encoding", None) or "utf-8"


def _wait_until_ready(stream: Any, event: int, seconds: float | None = None) -> bool:
    """Wait until a stream can be read or written, or the seconds are over.

    Returns whether it can.  A program that shares a standard stream may have left it
    non-blocking: the flag is that program's too, and stays.  Windows has neither.
    """
    if sys.platform == "win32":
        return False
    with selectors.SelectSelector() as selector:
        selector.register(stream, event)
        return bool(selector.select(seconds))


def _write(stream: Any, text: str) -> None:
    """Write to a standard stream, at once and to the last byte."""
    raw = _bytes_of(stream)
    if raw is None:
        print(text, end="", file=stream, flush=True)
        return
    text = text.replace("\n", os.linesep)
    rest = memoryview(text.encode(_encoding_of(stream), "replace"))
    while rest:
        count = raw.write(rest)
        if count is None:
            _wait_until_ready(raw, selectors.EVENT_WRITE)
        else:
            rest = rest[count:]


def _read_input(errors: _StandardError) -> bytes:
    """All of standard input.  One that cannot be read, as under nohup, is empty."""
    raw = _bytes_of(sys.stdin)
    if raw is None:
        return sys.stdin.read().encode() if sys.stdin else b""
    if _is_terminal(sys.stdin):
        errors.report("reading what you type; Ctrl-D ends it")
    data = bytearray()
    while len(data) <= _MAX_INPUT_BYTES:
        try:
            block = raw.read(BLOCK_BYTES)
        except OSError as error:
            if data:
                raise ValueError("standard input: %s" % error) from None
            return b""
        if block is None:
            _wait_until_ready(raw, selectors.EVENT_READ)
        elif block:
            data += block
        else:
            return bytes(data)
    raise ValueError("standard input: more than 64 MiB")


def _read_input_text(errors: _StandardError) -> str:
    """Standard input without a byte order mark and the line ends around it."""
    data, encoding = _read_input(errors), _encoding_of(sys.stdin)
    text = decode_text(data, encoding)
    if text is None:  # perhaps since head -c cut the last character
        whole = re.sub(rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z", b"", data)
        text = decode_text(whole, encoding)
        if text is None:
            raise ValueError("standard input is not UTF-8 text; for a file use -a -")
        errors.report("standard input ends within a character, which is left out")
    return text.lstrip("\ufeff").strip("\r\n")


class _StandardError:
    """Standard error: lines, and at a terminal a line of status that comes and goes."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._has_status_line = False  # a status line is on the screen
        is_seen = _is_terminal(sys.stdin) and _is_terminal(sys.stderr)
        self._shows_status_line = is_seen and os.environ.get("TERM", "dumb") != "dumb"

    def _print(self, text: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):  # which changes no exit status
                _write(self._stream, text)

    def report(self, what: object) -> None:
        """Print a line, in one piece, since other programs write there too."""
        self.clear_status_line()
        self._print("siraya-chat: %s\n" % _one_line(str(what), MAX_MESSAGE_LENGTH))

    def show_status_line(self, text: str) -> None:
        if self._shows_status_line and self._is_in_foreground():
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._print("\r\x1b[K" + _cut(text, max(1, columns - 1)))
            self._has_status_line = True

    def clear_status_line(self) -> None:
        if self._has_status_line and self._is_in_foreground():
            self._print("\r\x1b[K")
        self._has_status_line = False

    def _is_in_foreground(self) -> bool:
        """Whether the terminal is the command's own at this moment: no shell's "&"."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, AttributeError):  # another's terminal; Windows
            return False

    def exit_status_of(self, work: Callable[..., int], *arguments: Any) -> int:
        """Do a work; returns the exit status.  What ends it early is reported."""
        try:
            return work(*arguments)
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            raise
        except (OSError, *_FAILURES) as error:
            self.report(getattr(error, "strerror", None) or error)
            return 1
        except (SirayaError, ValueError, TypeError, RecursionError) as error:
            what, comma, value = str(error).partition(", not '")
            for words, own_words in _OWN_WORDS.items():
                what = what.replace(words, own_words)
            self.report(what + comma + value)
            return 2

    @contextlib.contextmanager
    def follow_library(self, is_verbose: bool) -> Iterator[None]:
        """Tell what the library warns of and logs."""
        # A program that calls main() has its own ways, which are put back.
        with contextlib.ExitStack() as before:
            before.callback(setattr, warnings, "showwarning", warnings.showwarning)
            warnings.showwarning = lambda message, *_: self.report(message)
            if is_verbose or self._shows_status_line:
                import logging

                handler: Any = logging.Handler()
                handler.emit = self._print_record if is_verbose else self._show_record
                logger = logging.getLogger("siraya_chat")
                before.callback(logger.removeHandler, handler)
                before.callback(logger.setLevel, logger.level)
                logger.addHandler(handler)
                logger.setLevel(logging.DEBUG)
            yield

    def _print_record(self, record: Any) -> None:
        sent = getattr(record, "sent", None)
        if sent in (None, 0) or sent == record.total:
            self.report(record.getMessage())

    def _show_record(self, record: Any) -> None:
        text = record.getMessage()
        if hasattr(record, "sent"):
            percent = 100 * record.sent // record.total
            text = "sending %.1f MB: %d %%" % (record.total / 1e6, percent)
        is_over = hasattr(record, "status")
        is_quick = getattr(record, "total", 1e6) < 1e6 and record.stage == "sending"
        if not is_over and not is_quick:
            self.show_status_line(text)


class _Output:
    """Standard output: the answer."""

    def __init__(self, errors: _StandardError, is_needed: bool = True) -> None:
        if sys.stdout is None:
            raise OSError("standard output is closed")
        sys.stdout.flush()  # what a program that calls main() wrote
        self.is_terminal = sys.stdout.isatty()
        self._errors = errors
        self._is_needed = is_needed  # else it is no harm if nobody reads it to its end
        self.is_read = True  # its reader has not left
        self._last = "\n"  # the last character

    def write(self, text: str) -> None:
        if self.is_terminal:
            text = re.sub(_DRIVES_TERMINAL, "", text)
        if not text:
            return
        self._errors.clear_status_line()
        self._last = text[-1]
        try:
            _write(sys.stdout, text)
        except BrokenPipeError:  # the reader has had enough, as in … | head
            self.is_read = False
            if self._is_needed:
                raise
        except OSError as error:
            raise OSError("standard output: %s" % error.strerror) from None

    def end_line(self, text: str = "") -> None:
        """Print a text, and a line end unless there is one, in one piece."""
        last = text[-1:] or self._last
        self.write(text if last == "\n" else text + "\n")


class _History:
    """The conversation so far; with --history it is kept in a file of JSON Lines."""

    def __init__(self, options: dict[str, Any], errors: _StandardError) -> None:
        self.messages: list[Any] = []
        self.model = ""  # of the last answer, if the file says so
        self._path = options.get("--history", "")
        self._beginning: list[Any] = []  # of an empty file
        if self._path:
            with _errors_about("--history " + self._path):
                self._load(errors, is_dry_run="--dry-run" in options)
        if "--system" in options:
            self._beginning = [system(_read_system(options["--system"]))]
            if self.messages and self.messages[0].get("role") == "system":
                del self.messages[0]
            self.messages[:0] = self._beginning

    def _load(self, errors: _StandardError, is_dry_run: bool) -> None:
        is_new = not os.path.exists(self._path)
        if not is_new and not os.path.isfile(self._path):
            raise ValueError("not a regular file")
        if is_new and is_dry_run:
            return
        with open(self._path, "rb") if is_dry_run else self._open() as file:
            lines = file.read().lstrip(b"\xef\xbb\xbf").splitlines()
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._load_line(number, line.strip(), errors)

    def _load_line(self, number: int, line: bytes, errors: _StandardError) -> None:
        if line.startswith(b"["):
            raise ValueError("a JSON list; " + _how_to_convert(self._path))
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            if not self.messages and not line.startswith(b"{"):
                raise ValueError("line %d is not a message in JSON" % number) from None
            errors.report("--history: line %d is broken, and left out" % number)
            return
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ValueError("line %d is not a message in JSON" % number)
        self.model = message.pop("model", "")
        self.messages.append(message)

    def _open(self) -> Any:
        """The file, locked; what is written goes to its end."""
        for_owner = functools.partial(os.open, mode=0o600)  # if it is a new one
        file = open(self._path, "a+b", buffering=0, opener=for_owner)
        _lock(file)
        file.seek(0)
        return file

    def add(self, question: dict[str, Any], words: str, model: str) -> None:
        """Keep a turn."""
        answer = assistant(words)
        self.messages += [question, answer]
        if self._path:
            try:
                with _signals_wait():
                    self._append(question, dict(answer, model=model))
            except OSError as error:
                raise OSError("--history: not saved: %s" % error.strerror) from None

    def _append(self, *turn: Any) -> None:
        with self._open() as file:
            before = file.read()
            lines = turn if before.strip() else (*self._beginning, *turn)
            text = "".join(_to_json(line) + "\n" for line in lines)
            if before and not before.endswith(b"\n"):
                text = "\n" + text
            data = text.encode("utf-8", "replace")
            while data:  # once, unless the disk is full: the next write says so
                data = data[file.write(data) :]


def _how_to_convert(path: str) -> str:
    """What to do with a history of the older form, one JSON list."""
    from shlex import quote

    return (
        'to convert it: python3 -c "import json, sys; [print(json.dumps(m)) '
        "for m in json.load(open(sys.argv[1], 'rb'))]\" %s > %s"
    ) % (quote(path), quote(path + "l"))


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Have the signals that end the command wait, where the system can."""
    import signal

    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lock(file: Any) -> None:
    """Lock the file, if the system can.

    It waits `LOCK_SECONDS` at most: a command holds the lock for a moment.  One that
    lasts longer is that of a program around this one, such as flock(1).
    """
    give_up = time.monotonic() + LOCK_SECONDS
    while not _try_to_lock(file) and time.monotonic() < give_up:
        time.sleep(0.01)


def _try_to_lock(file: Any) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 30)  # where nobody reads
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # EACCES is Windows's word for it; others have no locks
        return error.errno != errno.EACCES
    return True


class _Turn:
    """A request, and its answer as it is printed."""

    def __init__(
        self,
        ask: Callable[[], Completion | Stream],
        is_stream: bool,
        options: dict[str, Any],
        output: _Output,
    ) -> None:
        self.completion: Any = None  # once it is whole
        self._ask = ask
        self._output = output
        self._prints_json = "--json" in options
        self._has_schema = "--schema" in options
        # The text is printed at the end, and not piece by piece.
        is_whole = self._has_schema or not is_stream
        self._is_held = is_whole and not self._prints_json
        self._pieces: list[str] = []
        self.text = ""  # of the answer, as far as it came

    def run(self) -> None:
        """Ask, and print the answer, or as much of it as comes."""
        try:
            self._receive(self._ask())
        finally:
            self.text = "".join(self._pieces)
            rest = self.text if self._is_held else ""
            self._output.end_line(without_fence(rest) if self._has_schema else rest)

    def _receive(self, answer: Completion | Stream) -> None:
        if isinstance(answer, Completion):
            self._take(answer, answer.text)
            self.completion = answer
            return
        with answer as stream:
            for chunk, text, _ in iter(stream.take, None):
                self._take(chunk, text)
            self._take(None, stream.rest_of_text())
            self.completion = stream.get_final_completion()

    def _take(self, chunk: JSONObject | None, text: str) -> None:
        self._pieces.append(text)
        if self._prints_json and chunk is not None:
            self._output.end_line(_to_json(chunk))
        elif not self._prints_json and not self._is_held:
            self._output.write(text)

    def refusal(self) -> str:
        """The words in which the model refused."""
        message = self.completion.message if self.completion else None
        return str(message.refusal or "") if message else ""

    def problems(self) -> Iterator[str]:
        """What the answer lacks, if it is missing or not whole."""
        refusal, reason = self.refusal(), unfinished_reason(self.completion)
        if refusal:  # which unfinished_reason() would cut
            yield "the model refused: " + refusal
        elif reason:
            yield reason
        elif self.completion.finish_reason is None:
            yield "the service does not say whether the answer is whole"
        for call in self.completion.tool_calls:
            function = getattr(call, "function", None)
            yield "the model wants to call: %s" % getattr(function, "name", None)
        if not self.text.strip() and not refusal and not self.completion.tool_calls:
            yield "the answer is empty"

    def is_answered(self) -> bool:
        """Whether there is an answer; with --json a refusal or a call is one too."""
        others = self.refusal() or self.completion.tool_calls
        return bool(self.text.strip() or (self._prints_json and others))


def _describe_usage(completion: Completion) -> str:
    """All that the service counts, and the cost."""
    usage = completion.usage if isinstance(completion.usage, dict) else {}
    told = {"cost": completion.cost, **usage}.items()
    numbers = ["%s: %s" % item for item in told if type(item[1]) in (int, float)]
    return ", ".join(numbers) or "usage unknown"


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class _Command:
    """A run of the command."""

    def __init__(self, options: dict[str, Any], errors: _StandardError) -> None:
        self._options = options
        self._errors = errors
        self._output = _Output(errors, is_needed="--history" not in options)
        self._client = _client_for(options)
        self._params = _read_params(options)
        # Of the first turn.
        self._parts = [self._attachment(value) for value in options["--attach"]]
        self._history = _History(options, errors)
        model = self._history.model
        if model and model != self._client.model:
            message = "--history: the last answer is of %s, the next of %s"
            errors.report(message % (model, self._client.model))

    def run(self) -> int:
        """Do what the options ask for; returns the exit status."""
        with self._client:
            prompt = self._first_prompt()
            is_dry_run = "--dry-run" in self._options
            if "--chat" in self._options and not is_dry_run and _has_terminal():
                return self._converse(_turns(prompt))
            if not prompt and not self._parts:
                if "--chat" in self._options:
                    raise ValueError("-c: no prompt, and no terminal to type one")
                raise ValueError("no prompt: give some words, pipe a text, or use -c")
            return self._show_request(prompt) if is_dry_run else self._turn(prompt)

    def _attachment(self, value: str) -> dict[str, Any]:
        """The part for a value of -a: FILE, URL or -, each perhaps with ;type=…"""
        name, separator, media_type = value.rpartition(";type=")
        if not separator or value.startswith("data:"):
            name, media_type = value, ""
        source: Any = _read_input(self._errors) if name == "-" else name
        with _errors_about("-a " + _cut(name, MAX_QUOTED_LENGTH)):
            return attach(source, media_type=media_type or None)

    def _first_prompt(self) -> str:
        """The words and the text that is piped in; "" if there is neither."""
        words = self._options["words"]
        files = list(filter(os.path.isfile, words))
        if files:
            self._errors.report(
                "%s is only a word here; -a attaches it" % _as_text(files[0])
            )
        is_input = words == ["-"]
        texts = [] if is_input else [" ".join(map(_as_text, words))]
        if is_input or not _is_terminal(sys.stdin):
            texts.append(_read_input_text(self._errors))
        return "\n\n".join(text for text in texts if text.strip())

    def _converse(self, turns: Iterator[str]) -> int:
        """Turn after turn, as they are typed; returns the exit status."""
        self._body("hi")  # a mistake ends a conversation before it begins
        advice = "%s; Ctrl-C stops an answer, Ctrl-D ends" % self._client.model
        self._errors.report(advice)
        for text in turns:
            if text == "/help":
                self._errors.report(advice)
            else:
                self._errors.exit_status_of(self._turn, text)
            if not self._output.is_read:
                break
        return 0

    def _turn(self, prompt: str) -> int:
        """Ask, print the answer, keep both; returns the exit status."""
        self._body(prompt)  # a mistake is one before anything is sent
        messages = self._messages(prompt)
        is_stream = self._params["stream"]
        ask = self._client.stream if is_stream else self._client.complete
        call = functools.partial(ask, messages, **self._params)
        turn = _Turn(call, is_stream, self._options, self._output)
        try:
            turn.run()
        finally:
            # Services refuse an empty message, and a tool call without its result.
            words = turn.text if turn.text.strip() else turn.refusal()
            if words:
                self._history.add(messages[-1], words, str(self._client.model))
                self._parts = []
        if "--usage" in self._options:
            self._errors.report(_describe_usage(turn.completion))
        if "--schema" in self._options and turn.text:
            turn.completion.json()
        problems = "; ".join(turn.problems())
        if problems:
            self._errors.report(problems)
        return 0 if turn.is_answered() else 1

    def _messages(self, prompt: str) -> list[Any]:
        texts = [prompt] if prompt else []
        return [*self._history.messages, user(*texts, *self._parts)]

    def _body(self, prompt: str) -> dict[str, Any]:
        """The request's body, checked."""
        params = dict(self._params)
        take_options(params)
        body = build_request(self._messages(prompt), self._client.model, **params)
        if "--json" not in self._options and body.get("n", 1) != 1:
            raise ValueError("-o n: several answers are printed by -j alone")
        return body

    def _show_request(self, prompt: str) -> int:
        text = json.dumps(self._body(prompt), indent=2, ensure_ascii=False)
        if self._output.is_terminal:
            text = re.sub("([A-Za-z0-9+/]{60})[A-Za-z0-9+/]{240,}=*", r"\1…", text)
        self._output.end_line(text)
        return 0


def _client_for(options: dict[str, Any]) -> Client:
    url, model = options.get("--base-url"), options.get("--model")
    client = Client(base_url=url, model=model)
    client.model = client.model or DEFAULT_MODEL
    return client


def _list_models(options: dict[str, Any], errors: _StandardError) -> int:
    if options["words"] or "--dry-run" in options:
        raise ValueError("--models asks nothing: it takes no words, and no -n")
    with _client_for(options) as client:
        models = client.list_models(**_given_params(options))
    names = [_printable(str(model.get("id"))) for model in models]
    is_json = "--json" in options
    _Output(errors).end_line(_to_json(models) if is_json else "\n".join(names))
    return 0


def _read_params(options: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a question, "stream" always among them."""
    params: dict[str, Any] = {}
    if "--schema" in options:
        params["response_format"] = json_schema(_read_schema(options["--schema"]))
    params.update(_given_params(options))
    if params.get("stream") is None:
        params["stream"] = True
    if "--usage" in options and params["stream"] is True:
        params.setdefault("stream_options", {"include_usage": True})
    return params


def _given_params(options: dict[str, Any]) -> dict[str, Any]:
    """The parameters that -o gives."""
    params = {}
    for option in map(_as_text, options["--option"]):
        key, equals, value = option.partition("=")
        if not equals or not key or key != key.strip():
            raise ValueError("-o must be KEY=VALUE, without spaces, not %r" % option)
        if key in _NOT_FOR_O:
            raise ValueError("-o: %s cannot be set by it" % key)
        params[key] = _parse_value(value)
    return params


def _parse_value(value: str) -> Any:
    """JSON if it parses, else a string.  .2 is a number too."""
    try:
        return json.loads(re.sub(r"\A(-?)\.(?=\d)", r"\g<1>0.", value))
    except (ValueError, RecursionError):
        return value


def _read_schema(value: str) -> Any:
    """The JSON Schema that a value of --schema is, or that the file holds."""
    if not value.lstrip().startswith("{"):
        with _errors_about("--schema " + value), open(value, "rb") as file:
            return json.load(file)
    if ":" in value and '"' not in value:  # so PowerShell hands it over
        raise ValueError("--schema: not JSON: quotes lost? use a file")
    with _errors_about("--schema"):
        return json.loads(_as_text(value))


def _read_system(value: str) -> str:
    """The text that a value of -s is, or that the file behind its @ holds."""
    if not value.startswith("@"):
        return _as_text(value)
    with _errors_about("-s " + value), open(value[1:], encoding="utf-8-sig") as file:
        return file.read().strip("\n")


def _turns(first: str) -> Iterator[str]:
    """The first turn, if there is one, and those that are typed.  A pasted text is one.

    Ctrl-C gives up what is being typed.
    """
    if first:
        yield first
    with contextlib.suppress(Exception):  # there may be none, or one that knows less
        import readline

        if os.environ.get("TERM", "dumb") != "dumb":
            readline.parse_and_bind("set enable-bracketed-paste on")
    lines: list[str] = []
    is_open = True
    while is_open:
        try:
            with _at_terminal():
                lines.append(input("" if lines else "> "))
                if _wait_until_ready(0, selectors.EVENT_READ, _PASTE_SECONDS):
                    continue
        except KeyboardInterrupt:
            lines = []
        except EOFError:
            is_open = False
        turn = "\n".join(lines).strip()
        lines = []
        if turn in ("exit", "quit"):
            return
        if turn:
            yield turn


@contextlib.contextmanager
def _at_terminal() -> Iterator[None]:
    """Make descriptors 0 and 1 the terminal: input() edits lines nowhere else."""
    kept = os.dup(0), os.dup(1)
    try:
        for descriptor, name in enumerate(_TERMINAL_NAMES):
            if not os.isatty(descriptor):
                terminal = os.open(name, os.O_RDWR)
                os.dup2(terminal, descriptor)
                os.close(terminal)
        yield
    except (EOFError, KeyboardInterrupt):
        print(flush=True)  # leaves the line of the prompt
        raise
    finally:
        for descriptor, copy in enumerate(kept):
            os.dup2(copy, descriptor)
            os.close(copy)


def _has_terminal() -> bool:
    """Whether somebody can type, and input() would read that."""
    if sys.stdin is None or sys.stdin is not sys.__stdin__:
        return False
    try:
        with _at_terminal():
            return True
    except OSError:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """The command line.

    *argv*: the arguments; default: those of the process.  Returns the exit status: 0
    done, 1 the service or the network failed or there is no answer, 2 a usage
    error, 130 interrupted.
    """
    errors = _StandardError()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return errors.exit_status_of(_run_command, errors, arguments)
    except BrokenPipeError:  # the reader has had enough, as in … | head
        return 0
    finally:
        errors.clear_status_line()


def _run_command(errors: _StandardError, arguments: Sequence[str]) -> int:
    options = _parse_arguments(arguments)
    if "--help" in options:
        _Output(errors).write(_HELP)
        return 0
    if "--version" in options:
        _Output(errors).write("siraya_chat %s\n" % __version__)
        return 0
    with errors.follow_library("--verbose" in options):
        if "--models" in options:
            return _list_models(options, errors)
        return _Command(options, errors).run()


def run_as_command() -> None:
    """The entry point of the process: `main`, and death by the signal that ended it.

    A terminal that is closed, or a request to end the process, keeps the words that
    came, as Ctrl-C does, and ends a conversation too.
    """
    import signal

    ended_by = [signal.SIGINT]

    def end(number: Any, frame: Any) -> None:
        ended_by[0] = number
        raise SystemExit(130)

    for name in ("SIGTERM", "SIGHUP"):
        number: Any = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)
    try:
        status = main()
    except SystemExit:
        status = 130
    if status == 130 and os.name == "posix":
        signal.signal(ended_by[0], signal.SIG_DFL)
        os.kill(os.getpid(), ended_by[0])
    sys.exit(status)


if __name__ == "__main__":
    run_as_command()
